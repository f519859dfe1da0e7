"""Budgets on real actors: counted, warned of, and kept to."""

import logging

import pytest
from trio.testing import MockClock

import triologue as tri
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import settled, sharing, states
from triologue.engine import OfflineModel
from triologue.errors import BudgetExceeded
from triologue.messages import CostWarning
from triologue.options import Limits


async def test_a_session_is_warned_and_then_refused(autojump_clock: MockClock) -> None:
    async with sharing(None, limits=Limits(max_cost_usd_per_session=1.0)) as (manager, agent):
        session = manager.session("a")
        async with session.subscribe() as events:
            await session.ask("cost 0.5")
            await session.ask("cost 0.3")
            async for event in events:
                if isinstance(event.message, CostWarning):
                    assert event.message == CostWarning(cost_usd=0.8, limit_usd=1.0)
                    break
        await session.ask("cost 0.3")
        with pytest.raises(BudgetExceeded) as caught:
            await session.send("more")
        assert str(caught.value) == (
            "Limits.max_cost_usd_per_session is 1 US dollars, and 1.1 were spent by the session 'a'; raise it to go on"
        )
        assert (round(caught.value.cost_usd, 9), caught.value.limit_usd) == (1.1, 1.0)
        assert (await manager.session("b").ask("cost 0.1")).result == "1. cost 0.1"
        assert states(manager) == {"a": "idle", "b": "idle"}
        await session.hibernate()
        with pytest.raises(BudgetExceeded):  # asleep or not
            await session.ask("more")
        assert [said for _, said in agent.begun].count("more") == 0


async def test_what_waits_behind_the_turn_that_spends_the_last_never_runs(autojump_clock: MockClock) -> None:
    async with sharing(None, limits=Limits(max_cost_usd_per_session=1.0)) as (manager, agent):
        turns = [await manager.session("a").send("cost 0.6") for _ in range(4)]
        outcomes = [await turn.wait() for turn in turns]
        assert [each.kind for each in outcomes] == ["answered", "answered", "cancelled", "cancelled"]
        assert isinstance(outcomes[2].error, BudgetExceeded)
        assert len(agent.begun) == 2


async def test_the_budget_of_all_ends_what_waits_and_lets_finish_what_runs(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(max_cost_usd=1.0, max_live=2)
    async with sharing(None, limits=limits) as (manager, agent):
        running = await manager.session("a").send("wait 50")
        queued = await manager.session("a").send("never")
        await settled()
        with caplog.at_level(logging.WARNING):
            await manager.session("b").ask("cost 0.9")
            await manager.session("b").ask("cost 0.2")
        assert "all sessions of the manager cost 0.9 of 1 US dollars" in caplog.text
        outcome = await queued.wait()
        assert (outcome.kind, type(outcome.error)) == ("cancelled", BudgetExceeded)
        for key in ("b", "a", "new"):
            with pytest.raises(BudgetExceeded, match=r"max_cost_usd is 1 US dollars, and 1\.1 were spent"):
                await manager.session(key).send("more")
        assert (await running.wait()).kind == "answered"
        assert [said for _, said in agent.begun] == ["wait 50", "cost 0.9", "cost 0.2"]


async def test_a_turn_that_waits_for_room_ends_with_the_budget_too(autojump_clock: MockClock) -> None:
    async with sharing(1, limits=Limits(max_cost_usd=1.0, max_live=1)) as (manager, agent):
        spending = await manager.session("a").send("cost 2")
        waiting = await manager.session("b").send("never")
        assert (await spending.wait()).kind == "answered"
        outcome = await waiting.wait()
        assert (outcome.kind, type(outcome.error)) == ("cancelled", BudgetExceeded)
        assert len(agent.links) == 1


async def test_a_session_that_is_deleted_begins_with_a_full_purse(autojump_clock: MockClock) -> None:
    async with sharing(None, limits=Limits(max_cost_usd_per_session=1.0, max_cost_usd=2.0)) as (manager, _):
        await manager.session("a").ask("cost 1")
        await manager.delete("a")
        await manager.session("a").ask("cost 1")
        with pytest.raises(BudgetExceeded, match="max_cost_usd is 2"):
            await manager.session("b").send("more")


async def test_queued_turns_within_the_budget_all_run(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    async with sharing(None, agent, limits=Limits(max_cost_usd=100.0)) as (manager, _):
        turns = [await manager.session("a").send("cost 0.1") for _ in range(10)]
        assert [(await turn.wait()).kind for turn in turns] == ["answered"] * 10


async def test_the_built_in_agent_tells_what_it_costs(autojump_clock: MockClock) -> None:
    async with tri.open_manager(tri.Embedded(model=OfflineModel())) as manager:
        cost = (await manager.session("a").ask("Hello")).cost_usd
        assert cost is not None
    if not cost:
        pytest.fail("the offline model costs nothing, so this shows nothing")
    limits = Limits(max_cost_usd=2.5 * cost, max_cost_usd_per_session=1.5 * cost)
    async with tri.open_manager(tri.Embedded(model=OfflineModel()), limits=limits) as manager:
        await manager.session("a").ask("Hello")
        await manager.session("b").ask("Hello")
        await manager.session("a").ask("Hello")
        with pytest.raises(BudgetExceeded, match=r"Limits\.max_cost_usd is"):
            await manager.session("c").ask("Hello")
        assert manager.session("c").state == "new"
