"""Conversations with the real Claude Code: forked, reset, put to sleep, closed, resumed, and what their ids may be."""

import uuid

import pytest
import trio

import triologue as tri
from tests.support.live import open_live_manager, wait_written
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli


@pytest.mark.slow
async def test_a_fork_goes_on_alone_and_the_original_stays(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        original = manager.session("a")
        await original.ask("first")
        copy = await original.fork("b")
        assert (await copy.ask("in the copy")).result == "echo[2]: first | in the copy"
        assert (await original.ask("second")).result == "echo[2]: first | second"
        assert copy.session_id != original.session_id
        with pytest.raises(tri.SessionExists):
            await original.fork("b")


@pytest.mark.slow
async def test_a_fork_with_a_chosen_id(place: CleanPlace) -> None:
    chosen = str(uuid.uuid4())
    async with open_live_manager(place) as manager:
        original = manager.session("a")
        await original.ask("first")
        copy = await original.fork("b", session_id=chosen)
        assert (await copy.ask("second")).session_id == chosen == copy.session_id
        await copy.hibernate()
        result = await copy.ask("third")
        assert (result.session_id, result.result) == (chosen, "echo[3]: first | second | third")


@pytest.mark.slow
async def test_a_fork_while_the_original_runs(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        original = manager.session("a")
        await original.ask("first")
        running = await original.send("[[wait gate]] [[say done]]")
        await place.api.wait_reached("gate")
        await wait_written(place, "[[wait gate]] [[say done]]")
        copy = await original.fork("b")
        # What the original was just asked is in the copy too, cut off there.
        assert (await copy.ask("other")).result == "echo[3]: first | [[wait gate]] [[say done]] | other"
        place.api.release("gate")
        assert (await running.wait()).unwrap().result == "done"
        assert (await original.ask("third")).result == "echo[3]: first | [[wait gate]] [[say done]] | third"


@pytest.mark.slow
async def test_a_fork_from_an_earlier_message(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        original = manager.session("a")
        turn = await original.send("first")
        uuids = [message.uuid async for message in turn if isinstance(message, tri.AssistantMessage)]
        await original.ask("second")
        copy = await original.fork("b", at=uuids[-1])
        assert (await copy.ask("other")).result == "echo[2]: first | other"


@pytest.mark.slow
async def test_a_fork_of_a_fork_asleep(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("0")
        await session.ask("said 0")
        for number in range(1, 4):
            await session.hibernate()
            session = await session.fork(f"{number}")
            await session.ask(f"said {number}")
        assert (await session.ask("and?")).result == "echo[5]: said 0 | said 1 | said 2 | said 3 | and?"
        assert len({statistics.session_id for statistics in manager.sessions()}) == 4


@pytest.mark.slow
async def test_nothing_to_fork_yet(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        with pytest.raises(tri.InvalidOption):
            await manager.session("a").fork("b")


@pytest.mark.slow
async def test_reset_begins_anew_and_keeps_the_old_one(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        old = session.session_id
        await session.reset()
        assert session.session_id is None
        assert (await session.ask("second")).result == "echo[1]: second"
        assert session.session_id != old
        again = manager.session("b", options=tri.Options(resume=old))
        assert (await again.ask("third")).result == "echo[2]: first | third"


async def test_asleep_it_has_no_process_and_the_next_message_wakes_it(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        await session.ask("first")
        await session.hibernate()
        assert (session.state, session.pid, manager.statistics().live) == ("hibernated", None, 0)
        assert (await session.ask("second")).result == "echo[2]: first | second"
        await session.close()
        assert (session.state, session.pid, manager.statistics().live) == ("hibernated", None, 0)
        assert (await session.ask("third")).result == "echo[3]: first | second | third"


@pytest.mark.slow
async def test_hibernating_waits_for_what_runs_and_close_does_not(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        running = await session.send("[[wait gate]] [[say done]]")
        await place.api.wait_reached("gate")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.hibernate)
            place.api.release("gate")
        assert (await running.wait()).unwrap().result == "done"
        running = await session.send("[[wait another]]")
        waiting = await session.send("waits")
        await place.api.wait_reached("another")
        await session.close()
        assert [(await turn.wait()).kind for turn in (running, waiting)] == ["interrupted", "cancelled"]


@pytest.mark.slow
async def test_a_chosen_id_is_used_and_then_taken(place: CleanPlace) -> None:
    chosen = str(uuid.uuid4())
    async with open_live_manager(place) as manager:
        session = manager.session("a", options=tri.Options(session_id=chosen))
        assert (await session.ask("first")).session_id == chosen
        await session.hibernate()
        assert (await session.ask("second")).result == "echo[2]: first | second"
        taken = await (await manager.session("b", options=tri.Options(session_id=chosen)).send("hi")).wait()
        assert (taken.kind, taken.reason) == ("failed", "SessionIdInUse")


@pytest.mark.slow
async def test_an_unknown_id_is_not_found_and_the_key_can_start_fresh(place: CleanPlace) -> None:
    unknown = str(uuid.uuid4())
    async with open_live_manager(place) as manager:
        session = manager.session("a", options=tri.Options(resume=unknown))
        with pytest.raises(tri.TurnFailed) as failure:
            await session.ask("hi")
        cause = failure.value.__cause__
        assert isinstance(cause, tri.SessionNotFound)
        assert (cause.session_id, str(cause.cwd)) == (unknown, str(place.cwd))
        assert str(cause.config_dir) == str(place.home / ".claude")
        for part in (unknown, str(place.cwd), str(place.home / ".claude")):
            assert part in str(cause)
        await session.reset()
        assert (await session.ask("fresh")).result == "echo[1]: fresh"


@pytest.mark.slow
async def test_the_latest_conversation_of_the_folder_goes_on(place: CleanPlace) -> None:
    latest = tri.Options(continue_conversation=True)
    async with open_live_manager(place) as manager:
        assert (await manager.session("none yet", options=latest).ask("first")).result == "echo[1]: first"
        await manager.session("none yet").close()
        assert (await manager.session("b", options=latest).ask("second")).result == "echo[2]: first | second"


@pytest.mark.slow
async def test_two_managers_one_after_the_other_count_the_cost_on(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:
        session = manager.session("a")
        results = [await session.ask(f"[[usage 1000 {100 * number}]] [[say hi]]") for number in (1, 2)]
    async with open_live_manager(place) as manager:
        session = manager.session("b", options=tri.Options(resume=results[0].session_id))
        results += [await session.ask(f"[[usage 1000 {100 * number}]] [[say hi]]") for number in (3, 4)]
    costs = [result.cost_usd or 0 for result in results]
    assert all(cost > 0 for cost in costs)
    assert sorted(costs) == costs
    totals = [sum(costs[: number + 1]) for number in range(4)]
    assert [result.total_cost_usd for result in results] == pytest.approx(totals)
