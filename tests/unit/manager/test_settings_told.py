"""What a session is to have from now on is in its log, whoever asked for it and whether it sleeps."""

from trio.testing import MockClock

import triologue as tri
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent
from triologue.wire import decode_record


async def kept(store: tri.SessionStore) -> list[tri.SettingsChanged]:
    """What the log of the session `k` tells of its settings."""
    messages = [decode_record(record.kind, record.line) for record in await store.read("k")]
    return [message for message in messages if isinstance(message, tri.SettingsChanged)]


async def test_a_change_is_seen_by_subscribers_and_kept(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(ScriptedAgent(), store=store) as manager:
        session = manager.session("k")
        await session.set_model("asleep")
        await session.ask("one")
        async with session.subscribe() as events:
            await session.set_permission_mode("plan")
            seen = await anext(events)
    told = [tri.SettingsChanged(model="asleep"), tri.SettingsChanged(model="asleep", permission_mode="plan")]
    assert await kept(store) == told
    assert (seen.turn_id, seen.message) == (None, told[1])
    assert [record.seq for record in await store.read("k") if record.kind == "#settings_changed"] == [1, seen.seq]


async def test_what_is_set_to_what_it_is_changes_nothing(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(ScriptedAgent(), store=store) as manager:
        session = manager.session("k")
        for _ in range(2):
            await session.set_model("big")
        await session.ask("one")
        await session.set_model("big")
    assert await kept(store) == [tri.SettingsChanged(model="big")]


async def test_other_options_for_a_session_that_sleeps_in_the_store(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), ScriptedAgent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k", options=tri.Options(model="small")).ask("one")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k", options=tri.Options(model="big")).ask("two")
        await manager.session("k", options=tri.Options(model="bigger")).ask("three")
    assert await kept(store) == [tri.SettingsChanged(model="big"), tri.SettingsChanged(model="bigger")]


async def test_without_a_store_it_is_told_too(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            await session.set_model("big")
            manager.session("k", options=tri.Options(permission_mode="plan"))
            seen = [(await anext(events)).message for _ in range(2)]
    assert seen == [tri.SettingsChanged(model="big"), tri.SettingsChanged(model="big", permission_mode="plan")]
