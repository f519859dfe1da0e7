"""Deleting sessions that several programs use: what another one deletes while it sleeps here, and what a dead one holds."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.slow_store import SlowStore
from triologue.agents import new_owner
from triologue.agents.marks import own_mark
from triologue.messages import Event
from triologue.stores import MemoryStore
from triologue.testing import Say, ScriptedAgent, Wait


async def asleep(manager: tri.SessionManager, *prompts: str) -> tri.Session:
    session = manager.session("k")
    for prompt in prompts:
        await session.ask(prompt)
    await session.hibernate()
    await wait_all_tasks_blocked()
    return session


async def all_there_is(session: tri.Session) -> list[int | None]:
    """The positions that somebody gets who reads from the beginning on; None is a gap."""
    async with session.subscribe(after=0) as events:
        seen: list[Event] = []
        while len(seen) < session.statistics().records:
            seen += await events.batch()
    return [event.seq for event in seen]


async def test_a_session_that_was_deleted_elsewhere_begins_anew(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), ScriptedAgent()
    async with tri.open_manager(agent, store=store) as manager:
        session = await asleep(manager, "one")
        async with session.subscribe(after=0) as events:
            await store.delete("k")
            with pytest.raises(tri.StoreError, match="the session 'k' was deleted meanwhile; use it anew"):
                await session.ask("two")
            while await events.batch():  # nothing follows for who reads the old one
                pass
        assert await store.holders(["k"]) == {}
        assert (await session.ask("two")).result == "two"
        await session.hibernate()
        kept = [record.seq for record in await store.read("k")]
        assert await all_there_is(session) == kept == list(range(1, len(kept) + 1))
    assert [start.options.resume for start in agent.starts] == [None, None]


async def test_whoever_looks_at_it_first_sees_that_nothing_is_there(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(ScriptedAgent(), store=store) as manager:
        session = await asleep(manager, "one")
        await store.delete("k")
        assert await session.read() == []
        assert manager.sessions() == []
        assert (await session.ask("two")).result == "two"


@pytest.mark.parametrize("how", ["recover", "find"])
async def test_a_turn_that_was_left_in_it_since_then_is_found(how: str, autojump_clock: MockClock) -> None:
    kept, agent = MemoryStore(), ScriptedAgent()
    agent.on("left", Wait(300), Say("at last"))
    store = SlowStore(kept)
    async with tri.open_manager(agent, store=kept) as manager:
        session = await asleep(manager, "one", "two")
        await kept.delete("k")
        async with tri.open_manager(agent, store=store.as_store) as other, trio.open_nursery() as nursery:
            nursery.start_soon(unheard, other.session("k").ask, "left")
            await wait_all_tasks_blocked()
            [left] = (await kept.read("k"))[:1]
            store.is_full = True
            nursery.cancel_scope.cancel()
        assert left.turn_id is not None
        if how == "recover":
            [turn] = [each.turn for each in await manager.recover()]
            assert turn.id == left.turn_id
        else:
            found = await session.find(left.turn_id)
            assert found is not None
            turn = found
        assert (await turn.wait()).kind == "lost"


async def unheard(ask: Callable[[str], Awaitable[object]], prompt: str) -> None:
    """Its host dies: nothing more of it is kept."""
    with suppress(tri.TriologueError):
        await ask(prompt)


@pytest.mark.parametrize("prompts", [["a"], ["a", "b", "c"]], ids=["shorter", "longer"])
@pytest.mark.parametrize("is_looked_at", [False, True], ids=["used", "looked at"])
async def test_what_was_said_elsewhere_since_then_is_what_there_is(
    prompts: list[str], is_looked_at: bool, autojump_clock: MockClock
) -> None:
    store, agent = MemoryStore(), ScriptedAgent()
    async with tri.open_manager(agent, store=store) as manager, tri.open_manager(agent, store=store) as other:
        session = await asleep(manager, "one", "two")
        await store.delete("k")
        theirs = await asleep(other, *prompts)
        if is_looked_at:
            turns = [record.turn_id for record in await store.read("k")]
            assert [event.turn_id for event in await session.read()] == turns
        else:
            with pytest.raises(tri.StoreError, match="was deleted meanwhile"):
                await session.ask("more")
        await session.ask("more")
        assert session.session_id == theirs.session_id
        await session.hibernate()
        assert await all_there_is(session) == [record.seq for record in await store.read("k")]


async def test_what_a_dead_program_holds_is_deleted_at_once(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), ScriptedAgent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
    killed = new_owner().replace(own_mark().start, "long ago")
    await store.acquire("k", owner=killed, ttl=15)
    async with tri.open_manager(agent, store=store) as manager:
        await manager.delete("k")
        assert (await store.list_sessions(), await store.holders(["k"]), manager.sessions()) == ([], {}, [])


async def test_what_a_living_program_holds_is_left_to_it(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), ScriptedAgent()
    async with tri.open_manager(agent, store=store) as manager, tri.open_manager(agent, store=store) as other:
        await other.session("k").ask("one")
        with pytest.raises(tri.SessionElsewhere):
            await manager.delete("k")
        assert manager.sessions() == []
        assert (await other.session("k").ask("two")).result == "two"
