"""What sessions on the real Claude Code share: an account's limit, processes started ahead, room and memory."""

import statistics
import time

import pytest
import trio

import triologue as tri
from tests.support.live import open_live_manager
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli


async def wait_until_ready(place: CleanPlace, count: int) -> set[int]:
    """The pids of Claude Code that run once there are so many, and sleep: they have started."""
    with trio.fail_after(20):
        while len(found := agents(place)) != count:
            await trio.sleep(0.05)
    return found


def agents(place: CleanPlace) -> set[int]:
    """The pids of Claude Code that run."""
    return {each.pid for each in processes_with(place.marker) if "--output-format" in each.command}


@pytest.mark.slow
async def test_a_429_closes_the_gate_for_the_account(place: CleanPlace) -> None:
    once = tri.Options(env={"CLAUDE_CODE_MAX_RETRIES": "0"})
    other = tri.Options(env={"CLAUDE_CODE_MAX_RETRIES": "0", "ANTHROPIC_API_KEY": "another"})
    async with open_live_manager(place, once) as manager:
        with pytest.raises(tri.TurnFailed) as caught:
            await manager.session("a").ask('[[error 429 "come back later"]]')
        assert caught.value.result is not None
        assert caught.value.result.api_error_status == 429
        turns = [await manager.session(key).send("hi") for key in "ab"]
        assert (await manager.session("c", options=other).ask("hi")).result == "echo[1]: hi"
        assert [(turn.state, turn.outcome) for turn in turns] == [("waiting", None)] * 2
        assert manager.session("b").pid is None
        assert [(await turn.cancel()).kind for turn in turns] == ["cancelled"] * 2


@pytest.mark.slow
async def test_a_new_session_gets_the_process_that_was_started_ahead(place: CleanPlace) -> None:
    agent, options = tri.ClaudeCode(environ=place.env), tri.Options(cwd=place.cwd)
    limits = tri.Limits(max_live=2)
    async with tri.open_manager(agent, options=options, limits=limits, prewarm=1) as manager:
        ready = await wait_until_ready(place, 1)
        assert (await manager.session("a").ask("hi")).result == "echo[1]: hi"
        assert {manager.session("a").pid} == ready
        both = await wait_until_ready(place, 2)
        # One that goes on starts its own, and the one that was started ahead makes room for it.
        fork = tri.Options(resume=manager.session("a").session_id, fork_session=True)
        await manager.session("b", options=fork).ask("on")
        assert agents(place) == ready | {manager.session("b").pid}
        assert both - ready
        assert manager.session("a").pid in ready
    assert agents(place) == set()


@pytest.mark.slow
async def test_a_start_ahead_saves_the_time_of_a_start(place: CleanPlace) -> None:
    agent, options = tri.ClaudeCode(environ=place.env), tri.Options(cwd=place.cwd)

    async def first_turn(manager: tri.SessionManager, key: str) -> float:
        began = time.monotonic()
        await manager.session(key).ask("hi")
        return time.monotonic() - began

    async with tri.open_manager(agent, options=options, limits=tri.Limits(max_live=8)) as manager:
        cold = [await first_turn(manager, f"cold {number}") for number in range(3)]
    async with tri.open_manager(agent, options=options, limits=tri.Limits(max_live=8), prewarm=3) as manager:
        await wait_until_ready(place, 3)
        await trio.sleep(3)
        warm = [await first_turn(manager, f"warm {number}") for number in range(3)]
    print(f"first turn: cold {statistics.median(cold):.3f} s, prewarmed {statistics.median(warm):.3f} s")
    assert statistics.median(warm) < 0.8 * statistics.median(cold)
