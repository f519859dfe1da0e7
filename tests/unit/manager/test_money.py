"""What sessions may cost: a warning, then an end for what waits, and a refusal for what comes."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.frames import result
from tests.unit.engine.stage import Scripted, said
from tests.unit.manager.stage import scripted
from triologue.engine import Transcripts
from triologue.messages import CostWarning
from triologue.options import Limits
from triologue.stores import MemoryStore
from triologue.wire import kind_of


@asynccontextmanager
async def paid(
    limits: Limits, *, answers: int, cost_usd: float = 0.5, store: tri.SessionStore | None = None
) -> AsyncGenerator[tri.SessionManager]:
    """A manager whose model takes so much for each answer."""
    model = Scripted(*(said(f"answer {n}", cost_usd=cost_usd) for n in range(answers)))
    agent = tri.Embedded(model=model, transcripts=Transcripts())
    async with tri.open_manager(agent, limits=limits, store=store) as manager:
        yield manager


async def test_a_session_is_warned_and_what_waits_when_the_money_is_spent_ends_with_that(
    autojump_clock: MockClock,
) -> None:
    async with paid(Limits(max_cost_usd_per_session=2.0), answers=8, cost_usd=0.25) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            turns = [await session.send(f"prompt {n}") for n in range(10)]
            kinds = [(await turn.wait()).kind for turn in turns]
            assert kinds == ["answered"] * 8 + ["cancelled"] * 2
            async for event in events:
                if isinstance(event.message, CostWarning):
                    assert event.message == CostWarning(cost_usd=1.75, limit_usd=2.0)
                    break
        with pytest.raises(tri.BudgetExceeded) as caught:
            (await turns[9].wait()).unwrap()
        assert (caught.value.cost_usd, caught.value.limit_usd) == (2.0, 2.0)
        with pytest.raises(tri.BudgetExceeded, match="max_cost_usd_per_session is 2 US dollars, and 2 were spent"):
            await session.ask("more")


async def test_an_error_that_is_raised_again_and_again_does_not_grow(autojump_clock: MockClock) -> None:
    async with paid(Limits(max_cost_usd_per_session=1.0), answers=2, cost_usd=0.6) as manager:
        session = manager.session("k")
        turns = [await session.send("go on") for _ in range(3)]
        ended = [await turn.wait() for turn in turns][-1]
        shown = list[int]()
        for _ in range(3):
            with pytest.raises(tri.BudgetExceeded) as refused:
                await session.ask("more")
            with pytest.raises(tri.BudgetExceeded) as cancelled:
                ended.unwrap()
            shown += [len(refused.traceback), len(cancelled.traceback)]
        assert shown == shown[:2] * 3


async def test_a_warning_has_its_place_in_the_stored_log_too(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with paid(Limits(max_cost_usd_per_session=1.0), answers=2, cost_usd=0.4, store=store) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            for _ in range(2):
                await session.ask("go on")
            await wait_all_tasks_blocked()
            seen = await events.batch()
        assert CostWarning(cost_usd=0.8, limit_usd=1.0) in [event.message for event in seen]
        told = [(event.seq, kind_of(event.message)) for event in seen if event.seq is not None]
        assert told == [(record.seq, record.kind) for record in await store.read("k")]


async def test_what_a_session_of_a_store_has_cost_before_counts(autojump_clock: MockClock) -> None:
    store, limits = MemoryStore(), Limits(max_cost_usd_per_session=1.25, max_cost_usd=1.25)
    for _ in range(2):
        async with paid(limits, answers=1, store=store) as manager:
            await manager.session("k").ask("go on")
    async with paid(limits, answers=2, store=store) as manager:
        await manager.session("other").ask("begin")
        await manager.session("k").ask("go on")  # 1.5 for this session, and 1.0 here and now
        with pytest.raises(
            tri.BudgetExceeded, match=r"max_cost_usd_per_session is 1\.25 US dollars, and 1\.5 were spent"
        ):
            await manager.session("k").ask("go on")


@pytest.mark.parametrize("hosts", [1, 3])
async def test_a_reset_fills_no_purse(autojump_clock: MockClock, hosts: int) -> None:
    store, limits = MemoryStore(), Limits(max_cost_usd_per_session=1.25)
    for _ in range(hosts):
        async with paid(limits, answers=3, store=store) as manager:
            session = manager.session("k")
            for _ in range(3 // hosts):
                await session.ask("one")
                await session.reset()
    aside = (await store.list_sessions(prefix="k@"))[0].key
    async with paid(limits, answers=3, store=store) as manager:
        with pytest.raises(tri.BudgetExceeded, match=r"1\.5 were spent by the session 'k'"):
            await manager.session("k").ask("two")
        assert (await manager.session(aside).ask("two")).result  # which has spent its own only


async def test_what_one_session_spends_of_the_whole_ends_what_waits_in_others(autojump_clock: MockClock) -> None:
    async with paid(Limits(max_cost_usd=1.0), answers=2) as manager:
        await manager.session("a").ask("one")
        await manager.session("a").ask("two")
        with pytest.raises(tri.BudgetExceeded, match="max_cost_usd is 1"):
            await manager.session("b").ask("three")


async def test_no_session_begins_a_turn_when_another_one_has_just_spent_the_last(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(max_cost_usd=1.0)) as (session, agent, manager):
        other = manager.session("other")
        running, waiting = await session.send("silent"), await session.send("b")
        theirs, behind = await other.send("silent"), await other.send("b")
        await wait_all_tasks_blocked()
        for turn, link in ((running, agent.links[0]), (theirs, agent.links[1])):
            link.say(result(turn.id, total_cost_usd=1.0))
        assert [(await turn.wait()).kind for turn in (running, waiting, theirs, behind)] == [
            "answered",
            "cancelled",
            "answered",
            "cancelled",
        ]


async def test_a_cost_that_cannot_be_spoils_no_bound_and_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted(limits=Limits(max_cost_usd=1.0)) as (session, agent, manager):
        for total in (0.5, math.nan, -math.inf, 0.75):
            turn = await session.send("silent")
            await wait_all_tasks_blocked()
            agent.links[0].say(result(turn.id, total_cost_usd=total))
            assert (await turn.wait()).kind == "answered"
        assert manager.statistics().cost_usd == 0.75
    assert [record.getMessage() for record in caplog.records] == [
        "the session 'k': the agent told a cost that cannot be: nan US dollars",
        "the session 'k': the agent told a cost that cannot be: -inf US dollars",
    ]
