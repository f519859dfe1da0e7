"""Sessions that sleep, of which more are known than `Limits.max_asleep`: those that nobody uses are left to the store."""

from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.let_go import let_go
from tests.support.slow_store import SlowLeases
from triologue.messages import Gap
from triologue.stores import MemoryStore
from triologue.testing import CancelAt, Crash, ScriptedAgent, StoreFails, Wait, with_store_faults

pytestmark = pytest.mark.usefixtures("quick_collector")

ONE = tri.Limits(max_asleep=1)


@pytest.fixture
def agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    agent.on("die", Crash())
    return agent


async def use(
    manager: tri.SessionManager, agent: ScriptedAgent, *keys: str, options: tri.Options | None = None
) -> list[str]:
    """Ask each of these something, let it sleep, and keep nothing of it. Gives the keys that are known then."""
    for key in keys:
        session = manager.session(key, options=options)
        await session.ask("hello")
        await session.hibernate()
        del session
    let_go(agent)
    return [each.key for each in manager.sessions()]


async def ask(session: tri.Session, prompt: str) -> int:
    """The number of the turn that this is in its conversation, as its agent has it."""
    cost = (await session.ask(prompt)).total_cost_usd
    assert cost is not None
    return round(cost / 0.001)


async def test_of_too_many_that_sleep_the_least_recently_used_are_put_away(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    limits = tri.Limits(max_asleep=2)
    async with tri.open_manager(agent, store=MemoryStore(), limits=limits) as manager:
        assert await use(manager, agent, "a", "b") == ["a", "b"]
        assert await use(manager, agent, "a", "c") == ["a", "c"]
        assert manager.statistics().put_away == 1
        assert manager.statistics().states == {"hibernated": 2}
        assert [(each.key, each.state, each.turns) for each in await manager.overview()] == [
            ("a", "hibernated", 2),
            ("b", "hibernated", 1),
            ("c", "hibernated", 1),
        ]
        assert manager.explain("b").state == "new"
        assert await ask(manager.session("b"), "and now?") == 2
    assert agent.starts[-1].options.resume == agent.starts[1].session_id


@pytest.mark.parametrize("at", [None, ""])
async def test_one_that_was_copied_or_could_not_be_counts_too(
    at: str | None, agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    store, keys = MemoryStore(), ["a", "b", "c", "d"]
    async with tri.open_manager(agent, store=store) as manager:
        await use(manager, agent, *keys)
    async with tri.open_manager(agent, store=store, limits=tri.Limits(max_asleep=2)) as manager:
        for key in keys:
            with suppress(tri.InvalidOption):
                await manager.session(key).fork(f"copy of {key}", at=at)
            let_go(agent)
        assert len(manager.sessions()) == 2


async def test_those_that_are_awake_do_not_count(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    limits = tri.Limits(max_asleep=2)
    async with tri.open_manager(agent, store=MemoryStore(), limits=limits) as manager:
        assert await use(manager, agent, "a") == ["a"]
        for key in "abc":
            await manager.session(key).ask("hello")
        let_go(agent)
        assert [each.state for each in manager.sessions()] == ["idle"] * 3
        assert await use(manager, agent, "b", "c") == ["a", "b", "c"]
        assert await use(manager, agent, "a") == ["a", "c"]


@pytest.mark.parametrize("store", [None, MemoryStore()])
async def test_without_a_store_or_without_a_bound_all_are_remembered(
    agent: ScriptedAgent, autojump_clock: MockClock, store: MemoryStore | None
) -> None:
    limits = ONE if store is None else tri.Limits(max_asleep=None)
    async with tri.open_manager(agent, store=store, limits=limits) as manager:
        assert await use(manager, agent, *"abcd") == [*"abcd"]


async def test_a_handle_that_is_kept_goes_on_as_if_nothing_had_been(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    options = tri.Options(model="small", session_id="7f0c2f36-4f0e-4d5c-9d0a-6a7c6a3f9d11")
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE) as manager:
        session = manager.session("a", options=options)
        turn = await session.send("one", id="1")
        await turn.wait()
        await session.set_model("big")
        await session.hibernate()
        last = session.statistics().records
        assert await use(manager, agent, "b") == ["b"]
        assert (session.state, session.statistics().records, manager.explain("a").turns) == ("hibernated", last, 1)
        assert await use(manager, agent, "b") == ["b"]
        assert [type(message) for message in [each async for each in turn][-1:]] == [tri.ResultMessage]
        assert (await manager.session("a").send("one", id="1")).outcome == turn.outcome
        async with session.subscribe(after=last) as events:
            assert await ask(session, "two") == 2
            assert (await anext(events)).seq == last + 1
    assert [start.options.model for start in agent.starts if start.session_id == options.session_id] == ["small", "big"]


async def test_nor_does_who_comes_later_miss_anything(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(agent, store=store, limits=ONE) as manager:
        first = await manager.session("a").send("one", id="1")
        outcome = await first.wait()
        del first
        await manager.session("a").set_model("big")
        await manager.session("a").hibernate()
        log = await store.read("a")
        assert await use(manager, agent, "b") == ["b"]
        again = await manager.session("a").send("one", id="1")
        assert (again.outcome, again.begin) == (outcome, 0)
        assert await use(manager, agent, "b") == ["b"]
        events = await manager.session("a").read()
        assert [event.seq for event in events] == [record.seq for record in log]
        assert await use(manager, agent, "b") == ["b"]  # a session that was only looked at is no different
        async with manager.session("a").subscribe(after=2) as reader:
            assert [(await anext(reader)).seq for _ in log[2:]] == [record.seq for record in log[2:]]


async def test_one_that_is_used_stays_and_holds_up_no_others(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE) as manager:
        async with manager.session("a").subscribe() as events, manager.session("b").subscribe():
            assert await use(manager, agent, *"abcde") == ["a", "b", "e"]
            await manager.session("a").ask("more")
            seqs = [(await anext(events)).seq for _ in range(manager.session("a").statistics().records)]
            assert seqs == list(range(1, len(seqs) + 1))
            await manager.session("a").hibernate()
        assert await use(manager, agent, "e") == ["e"]


async def test_one_that_would_not_come_back_as_it_is_stays(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    other = ScriptedAgent(name="other")
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE) as manager:
        await manager.session("agent", agent=other).ask("hello")
        await manager.session("fresh", on_missing="fresh").ask("hello")
        for key in ("agent", "fresh"):
            await manager.session(key).hibernate()
        let_go(other)
        await use(manager, agent, "secret", options=tri.Options(env={"KEY": "secret"}))
        await use(manager, agent, "odd", options=tri.Options(output_format={1: "is no JSON"}))  # type: ignore[dict-item]
        await use(manager, agent, "kept", options=tri.Options(system_prompt="Be brief.", permission_mode="plan"))
        await use(manager, agent, "kept", options=tri.Options(system_prompt="Be long.", add_dirs=[Path("/a")]))
        manager.session("wanted", options=tri.Options(model="big")).statistics()
        stay = ["agent", "fresh", "secret", "odd"]
        assert await use(manager, agent, "last") == [*stay, "wanted", "last"]
        assert await use(manager, agent, "agent", "wanted", "secret", "kept", "last") == [*stay, "last"]
    given = [(each.options.env, each.options.system_prompt, each.options.model) for each in agent.starts[-4:-1]]
    assert given == [({}, None, "big"), ({"KEY": "secret"}, None, None), ({}, "Be long.", None)]
    assert agent.starts[-2].options.permission_mode == "plan"


async def test_what_is_named_again_while_it_is_awake_is_kept_too(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    options = tri.Options(system_prompt="Be brief.", cwd="/")
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE) as manager:
        for _ in range(2):
            await manager.session("a", options=options).ask("hello")
        await manager.session("a").hibernate()
        assert await use(manager, agent, "b") == ["b"]
        assert await use(manager, agent, "a") == ["a"]
    assert (agent.starts[-1].options.system_prompt, agent.starts[-1].options.cwd) == ("Be brief.", "/")


async def test_what_counts_against_a_session_is_not_forgotten_before_its_time(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    restart = tri.RestartPolicy(max_restarts=0, within=60)
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE, restart=restart) as manager:
        with pytest.raises(tri.TurnFailed):
            await manager.session("a").ask("die")
        assert await use(manager, agent, *"bcd") == ["a", "d"]
        with pytest.raises(tri.SessionFailed):
            await manager.session("a").ask("hello")
        await trio.sleep(60)
        assert await use(manager, agent, "d") == ["d"]
        assert await use(manager, agent, "a") == ["a"]


async def test_money_that_was_spent_is_not_had_again(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    limits = tri.Limits(max_asleep=1, max_cost_usd_per_session=0.0015)
    async with tri.open_manager(agent, store=MemoryStore(), limits=limits) as manager:
        await manager.session("a").ask("one")
        assert await use(manager, agent, "a", "b") == ["b"]
        with pytest.raises(tri.BudgetExceeded):
            await manager.session("a").ask("three")


async def test_what_another_host_has_spent_counts_too(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    limits, store = tri.Limits(max_asleep=1, max_cost_usd_per_session=0.0015), MemoryStore()
    async with tri.open_manager(agent, store=store, limits=limits) as manager:
        assert await use(manager, agent, "a", "b") == ["b"]
        async with tri.open_manager(agent, store=store) as other:
            await other.session("a").ask("two")
        with pytest.raises(tri.BudgetExceeded):
            await manager.session("a").ask("three")


async def test_one_whose_next_agent_is_put_off_stays_until_then(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    restart = tri.RestartPolicy(within=1, backoff=100, max_backoff=100)
    async with tri.open_manager(agent, store=MemoryStore(), limits=ONE, restart=restart) as manager:
        for _ in range(2):
            with pytest.raises(tri.TurnFailed):
                await manager.session("a").ask("die")
        await trio.sleep(2)
        assert await use(manager, agent, "b", "c") == ["a", "c"]
        await trio.sleep(100)
        assert await use(manager, agent, "c") == ["c"]


async def test_what_is_deleted_after_that_is_deleted_and_begins_anew(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    store = MemoryStore()
    async with tri.open_manager(agent, store=store, limits=ONE) as manager:
        session = manager.session("a")
        await session.ask("one")
        await session.hibernate()
        assert await use(manager, agent, "b") == ["b"]
        await manager.delete("a")
        assert await use(manager, agent, "c") == ["c"]
        await manager.delete("b")
        assert [head.key for head in await store.list_sessions()] == ["c"]
        assert [await ask(manager.session(key), "two") for key in "ab"] == [1, 1]
        assert session.statistics().records == (await session.read())[-1].seq


async def test_a_store_that_cannot_be_read_then_is_told_and_loses_nothing(
    agent: ScriptedAgent, autojump_clock: MockClock
) -> None:
    faults = StoreFails(3, "acquire"), StoreFails(1, "get_session")
    store = with_store_faults(MemoryStore(), *faults)
    async with tri.open_manager(agent, store=store, limits=ONE) as manager:
        assert await use(manager, agent, "a", "b") == ["b"]
        with pytest.raises(tri.StoreError):
            await manager.session("a").ask("two")
        with pytest.raises(tri.StoreError):
            await manager.session("a").read()
        assert await ask(manager.session("a"), "two") == 2
        assert not any(isinstance(event.message, Gap) for event in await manager.session("a").read())


@pytest.mark.parametrize("at", range(1, 12))
async def test_a_caller_that_is_cancelled_while_it_takes_one_back_harms_nobody(
    agent: ScriptedAgent, autojump_clock: MockClock, at: int
) -> None:
    store = MemoryStore()
    async with tri.open_manager(agent, store=store, limits=ONE) as manager:
        assert await use(manager, agent, "a", "b") == ["b"]
        with trio.CancelScope() as scope:
            trio.lowlevel.add_instrument(CancelAt(scope, at))
            await manager.session("a").ask("two")
        await manager.session("a").hibernate()
        assert await use(manager, agent, "b") == ["b"]
        assert await store.holders(["a", "b"]) == {}
        answered = sum(each.kind == "result" for each in await store.read("a"))
        assert await ask(manager.session("a"), "three") == answered + 1


async def test_one_that_is_being_taken_stays(agent: ScriptedAgent, autojump_clock: MockClock) -> None:
    async with tri.open_manager(agent, store=SlowLeases().as_store, limits=ONE) as manager:
        assert await use(manager, agent, "a") == ["a"]
        await manager.session("b").ask("hello")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(manager.session("b").hibernate)
            await trio.sleep(0.5)
            nursery.start_soon(manager.session("a").send, "long")
            await trio.sleep(0.75)
            let_go(agent)
            assert {each.key: each.state for each in manager.sessions()} == {"a": "hibernated", "b": "hibernated"}
            await trio.sleep(1)
            assert {each.key: each.state for each in manager.sessions()} == {"a": "running", "b": "hibernated"}
        await manager.session("a").interrupt()
