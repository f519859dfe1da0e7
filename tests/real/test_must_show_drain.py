"""Leaving the manager's block with the real Claude Code: what runs may finish, what waits is told, and nothing stays."""

import pytest
import trio

import triologue as tri
from tests.support.live import bash, open_live_manager
from tests.support.processes import processes_with
from tests.support.real_cli import CleanPlace
from tests.support.signpost import open_signpost
from triologue.actors import Turn

pytestmark = pytest.mark.real_cli


async def test_the_running_turn_finishes_and_those_that_wait_are_told(place: CleanPlace) -> None:
    async with trio.open_nursery() as nursery:
        async with open_live_manager(place) as manager:
            session = manager.session("a")
            running = await session.send("[[say half]] [[wait gate]] [[then whole]]")
            await place.api.wait_reached("gate")
            waiting = await session.send("never")
            nursery.start_soon(release_once_it_drains, place, manager)
        assert processes_with(place.marker) == []
    assert (await running.wait()).unwrap().result == "halfwhole"
    outcome = await waiting.wait()
    assert outcome.kind == "cancelled"
    with pytest.raises(tri.ManagerClosed):
        outcome.unwrap()
    assert [request.prompts[-1] for request in place.api.turns] == ["[[say half]] [[wait gate]] [[then whole]]"]


async def release_once_it_drains(place: CleanPlace, manager: tri.SessionManager) -> None:
    with trio.fail_after(10):
        while True:
            try:
                await (await manager.session("other").send("hi", id="one")).cancel()
            except tri.ManagerClosed:
                break
    place.api.release("gate")


@pytest.mark.slow
async def test_who_asks_or_sends_meanwhile_is_refused(place: CleanPlace) -> None:
    raised: list[type[BaseException]] = []

    async def ask(session: tri.Session) -> None:
        try:
            await session.ask("waits")
        except tri.ManagerClosed as error:
            raised.append(type(error))

    async with trio.open_nursery() as nursery:
        async with open_live_manager(place, deadlines=tri.Deadlines(drain=0)) as manager:
            session = manager.session("a")
            turn = await session.send("[[wait gate]]")
            await place.api.wait_reached("gate")
            nursery.start_soon(ask, session)
            while session.statistics().waiting == 0:
                await trio.lowlevel.checkpoint()
    assert raised == [tri.ManagerClosed]
    # No time to finish: it was interrupted.
    assert (await turn.wait()).kind == "interrupted"
    for refused in (session.ask, session.send):
        with pytest.raises(tri.ManagerClosed):
            await refused("late")


@pytest.mark.slow
async def test_what_does_not_finish_in_time_is_interrupted_tools_included(place: CleanPlace) -> None:
    options, deadlines = tri.Options(allowed_tools=["Bash"]), tri.Deadlines(drain=0.2, close=4)
    async with open_signpost(place.home) as post:
        async with open_live_manager(place, options, deadlines=deadlines) as manager:
            turns = [await manager.session("hangs").send("[[hang before headers]]")]
            turns.append(await manager.session("tool").send(bash(post.sleeper)))
            await post.wait_reached()
            await place.api.wait_request(lambda request: "hang" in str(request.prompts))
        assert processes_with(place.marker) == []
    assert [(await turn.wait()).kind for turn in turns] == ["interrupted"] * 2


@pytest.mark.slow
async def test_leaving_by_an_exception_waits_for_nothing(place: CleanPlace) -> None:
    turns: list[Turn] = []
    options = tri.Options(allowed_tools=["Bash"])
    async with open_signpost(place.home) as post:
        with pytest.raises(LookupError, match="a bug of the host"):
            # With the time that a drain may take it would not end within the test.
            async with open_live_manager(place, options, deadlines=tri.Deadlines(drain=1000)) as manager:
                turns.append(await manager.session("stream").send("[[say so]] [[wait gate]]"))
                turns.append(await manager.session("tool").send(bash(post.sleeper)))
                turns.append(await manager.session("tool").send("waits"))
                await post.wait_reached()
                await place.api.wait_reached("gate")
                raise LookupError("a bug of the host")
        assert processes_with(place.marker) == []
    assert [(await turn.wait()).kind for turn in turns] == ["interrupted", "interrupted", "cancelled"]


@pytest.mark.slow
async def test_being_cancelled_waits_for_nothing_either(place: CleanPlace) -> None:
    with trio.CancelScope() as scope:
        async with open_live_manager(place, deadlines=tri.Deadlines(drain=1000)) as manager:
            turn = await manager.session("a").send("[[wait gate]]")
            await place.api.wait_reached("gate")
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert processes_with(place.marker) == []
    assert (await turn.wait()).kind == "interrupted"


@pytest.mark.slow
async def test_leaving_while_agents_start(place: CleanPlace) -> None:
    async with open_live_manager(place, limits=tri.Limits(max_starting=1), deadlines=tri.Deadlines(drain=0)) as manager:
        turns = [await manager.session(f"{number}").send("hi") for number in range(4)]
    assert processes_with(place.marker) == []
    kinds = [(await turn.wait()).kind for turn in turns]
    assert set(kinds) <= {"interrupted", "cancelled"}


@pytest.mark.slow
async def test_the_conversations_can_be_resumed_by_another_manager(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        session_id = session.session_id
    async with open_live_manager(place) as manager:
        again = manager.session("b", options=tri.Options(resume=session_id))
        assert (await again.ask("second")).result == "echo[2]: first | second"
        assert again.session_id == session_id
