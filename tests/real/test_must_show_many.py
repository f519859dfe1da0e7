"""Thirty conversations with the real Claude Code at once."""

import pytest
import trio

import triologue as tri
from tests.support.live import bash, open_live_manager
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace
from tests.support.signpost import open_signpost, sleepers

pytestmark = [pytest.mark.real_cli, pytest.mark.slow, pytest.mark.timeout(300)]

SESSIONS, TURNS = 30, 4


async def test_thirty_sessions_of_several_turns_each(place: CleanPlace) -> None:
    recalls: dict[str, list[str | None]] = {}
    starting: list[int] = []

    async def talk(session: tri.Session) -> None:
        results = [await session.ask(f"{session.key} says {number}") for number in range(TURNS)]
        recalls[session.key] = [result.result for result in results]

    async def watch(manager: tri.SessionManager) -> None:
        while True:
            starting.append(manager.statistics().starting)
            await trio.sleep(0.01)

    limits = tri.Limits(max_starting=2)
    async with open_live_manager(place, limits=limits, deadlines=tri.Deadlines(start=240)) as manager:
        async with trio.open_nursery() as watching:
            watching.start_soon(watch, manager)
            async with trio.open_nursery() as talking:
                for number in range(SESSIONS):
                    talking.start_soon(talk, manager.session(f"s{number}"))
            watching.cancel_scope.cancel()
        assert manager.statistics().live == SESSIONS
        assert len({statistics.pid for statistics in manager.sessions()}) == SESSIONS
    assert processes_with(place.marker) == []
    assert max(starting) == 2
    for number in range(SESSIONS):
        said = [f"s{number} says {turn}" for turn in range(TURNS)]
        expected = [f"echo[{turn + 1}]: {' | '.join(said[: turn + 1])}" for turn in range(TURNS)]
        assert recalls[f"s{number}"] == expected


async def test_thirty_sessions_some_in_tools_and_some_interrupted(place: CleanPlace) -> None:
    """What happens to one happens to no other, and the block's end is the end of all."""
    outcomes: dict[str, str] = {}
    options = tri.Options(allowed_tools=["Bash"])
    deadlines = tri.Deadlines(start=240, drain=0, close=20)
    async with open_signpost(place.home) as post:
        async with open_live_manager(place, options, deadlines=deadlines) as manager:

            async def play(number: int) -> None:
                session = manager.session(f"s{number}")
                await session.ask(f"first {number}")
                script = [f"[[say calm {number}]]", f"[[wait gate{number}]]", bash(post.sleeper)][number % 3]
                turn = await session.send(script)
                if number % 3 == 1:
                    await place.api.wait_reached(f"gate{number}")
                    await session.interrupt()
                if number % 3 < 2:
                    outcomes[session.key] = (await turn.wait()).kind

            async with trio.open_nursery() as nursery:
                for number in range(SESSIONS):
                    nursery.start_soon(play, number)
            for _ in range(SESSIONS // 3):
                await post.wait_reached()
            assert len(sleepers(place.marker)) == SESSIONS // 3
        assert processes_with(place.marker) == []
    kinds = ["answered", "interrupted"]
    assert outcomes == {f"s{number}": kinds[number % 3] for number in range(SESSIONS) if number % 3 < 2}
