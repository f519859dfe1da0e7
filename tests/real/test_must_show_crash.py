"""The real Claude Code dies in the middle of a turn: the turn ends with a typed error, and the conversation goes on."""

import os
import signal

import pytest

import triologue as tri
from tests.support.live import bash, open_live_manager, read_story, wait_written
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace, find_claude
from tests.support.signpost import open_signpost, sleepers
from triologue.actors import Turn
from triologue.manager import Subscription

pytestmark = pytest.mark.real_cli

GOES_ON = "[[say half]] [[wait gate]] [[say never]]"


def kill(session: tri.Session, number: signal.Signals) -> int:
    pid = session.pid
    assert pid is not None
    os.kill(pid, number)
    return pid


async def crash_of(turn: Turn) -> tri.AgentCrashed:
    """Why a turn failed whose agent died."""
    outcome = await turn.wait()
    assert (outcome.kind, outcome.result, outcome.reason) == ("failed", None, "AgentCrashed")
    with pytest.raises(tri.TurnFailed) as failure:
        outcome.unwrap()
    assert isinstance(failure.value.__cause__, tri.AgentCrashed)
    return failure.value.__cause__


async def wait_state(events: Subscription, state: str) -> tri.StateChanged:
    """The event that tells of the next change to this state."""
    async for event in events:
        if isinstance(event.message, tri.StateChanged) and event.message.state == state:
            return event.message
    raise AssertionError("a subscription has no end")


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [
        (signal.SIGKILL, -9),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGSEGV, -11, marks=pytest.mark.slow),
    ],
)
async def test_mid_stream(place: CleanPlace, number: signal.Signals, exit_code: int) -> None:
    async with open_live_manager(place, tri.Options(include_partial_messages=True)) as manager:
        session = manager.session("a")
        await session.ask("first")
        session_id = session.session_id
        turn = await session.send(GOES_ON)
        async for message in turn:
            if tri.text(message) == "half":
                break
        await wait_written(place, GOES_ON)
        pid = kill(session, number)
        assert (await crash_of(turn)).exit_code == exit_code
        assert (session.state, session.pid) == ("hibernated", None)
        # Nothing of the turn is lost that was said, and who reads late comes to its end.
        assert [message async for message in turn if isinstance(message, tri.ResultMessage)] == []
        assert (await session.ask("and now?")).result == f"echo[3]: first | {GOES_ON} | and now?"
        assert session.session_id == session_id
        assert session.pid != pid


async def test_mid_tool_and_the_tools_that_it_orphaned_are_gone(place: CleanPlace) -> None:
    async with (
        open_signpost(place.cwd) as post,
        open_live_manager(place, tri.Options(allowed_tools=["Bash"])) as manager,
    ):
        session = manager.session("a")
        prompt = bash(post.sleeper)
        turn = await session.send(prompt)
        await post.wait_reached()
        assert len(sleepers(place.marker)) == 1
        await wait_written(place, "Bash")
        kill(session, signal.SIGKILL)
        assert (await crash_of(turn)).exit_code == -9
        assert sleepers(place.marker) == []
        story = await read_story(turn)
        assert ([name for name, _ in story.calls], story.results) == (["Bash"], [])
        # The agent itself tells the model that the call was cut.
        assert (await session.ask("[[say on]]")).result == "on"
        (history,) = [request.body["messages"] for request in place.api.turns[-1:]]
        assert "session ended before this call's result was recorded" in str(history)


@pytest.mark.slow
async def test_leaving_with_exit_code_0_in_the_middle_is_a_crash_too(place: CleanPlace) -> None:
    wrapper = place.cwd / "claude.sh"
    wrapper.write_text(f'#!/bin/sh\n"{find_claude()}" "$@"\nexit 0\n')
    wrapper.chmod(0o755)
    async with open_live_manager(place, tri.Options(cli_path=wrapper)) as manager:
        session = manager.session("a")
        turn = await session.send(GOES_ON)
        await place.api.wait_reached("gate")
        await wait_written(place, GOES_ON)
        (inner,) = [found for found in processes_with(place.marker) if found.command.startswith(str(find_claude()))]
        os.kill(inner.pid, signal.SIGKILL)
        assert (await crash_of(turn)).exit_code == 0
        assert (await session.ask("and now?")).result == f"echo[2]: {GOES_ON} | and now?"


@pytest.mark.slow
async def test_told_to_end_by_a_terminal_it_gives_a_result_and_leaves(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        turn = await session.send(GOES_ON)
        await place.api.wait_reached("gate")
        async with session.subscribe() as events:
            kill(session, signal.SIGINT)
            outcome = await turn.wait()
            assert (outcome.kind, outcome.reason) == ("failed", "aborted_streaming")
            await wait_state(events, "hibernated")
        assert (await session.ask("and now?")).result == f"echo[2]: {GOES_ON} | and now?"


@pytest.mark.slow
async def test_between_turns_is_nobodys_failure(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        async with session.subscribe() as events:
            kill(session, signal.SIGKILL)
            assert "SIGKILL" in ((await wait_state(events, "hibernated")).reason or "")
        assert (await session.ask("second")).result == "echo[2]: first | second"


@pytest.mark.slow
async def test_turns_that_wait_run_in_the_next_process(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        running = await session.send(GOES_ON)
        await place.api.wait_reached("gate")
        waiting = [await session.send(f"[[say {number}]]") for number in range(3)]
        kill(session, signal.SIGKILL)
        assert (await crash_of(running)).exit_code == -9
        assert [(await turn.wait()).unwrap().result for turn in waiting] == ["0", "1", "2"]


@pytest.mark.slow
async def test_killed_again_and_again_it_forgets_nothing(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        said: list[str] = []
        for number in range(3):
            assert (await session.ask(f"asked {number}")).is_error is False
            turn = await session.send(f"[[wait gate{number}]] cut {number}")
            await place.api.wait_reached(f"gate{number}")
            await wait_written(place, f"[[wait gate{number}]] cut {number}")
            kill(session, signal.SIGKILL)
            assert (await crash_of(turn)).exit_code == -9
            said += [f"asked {number}", f"[[wait gate{number}]] cut {number}"]
        assert (await session.ask("and now?")).result == f"echo[7]: {' | '.join(said)} | and now?"


@pytest.mark.slow
async def test_stderr_comes_by_lines_and_its_end_is_on_the_error(place: CleanPlace) -> None:
    lines: list[str] = []
    options = tri.Options(stderr=lines.append, extra_args={"no-such-flag": None})
    async with open_live_manager(place, options) as manager:
        outcome = await (await manager.session("a").send("hi")).wait()
        assert (outcome.kind, outcome.reason) == ("failed", "AgentStartError")
        assert "--no-such-flag" in str(outcome.error)
    assert lines == ["error: unknown option '--no-such-flag'"]
