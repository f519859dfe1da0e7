"""Clients of a gateway whose manager puts sessions away: those that are viewed stay, and the others are where they were."""

from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import Client, got, house, said
from tests.support.let_go import let_go
from triologue.protocol import asked, told
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent


async def use(client: Client, agent: ScriptedAgent, key: str) -> None:
    await client.ask(asked.Prompt, key=key, prompt="hello", turn=f"{key} 1")
    await got(await client.ask(asked.Hibernate, key=key), told.Done)
    let_go(agent)


async def test_a_client_goes_on_where_it_was_in_a_session_that_was_put_away(autojump_clock: MockClock) -> None:
    agent, store, limits = ScriptedAgent(), MemoryStore(), tri.Limits(max_asleep=1)
    async with tri.open_manager(agent, store=store, limits=limits) as manager, house(manager) as gateway:
        client = await gateway.client()
        first = await got(await client.ask(asked.Attach, key="a", after=0), told.Attached)
        for key in "abc":
            await use(client, agent, key)
        assert [each.key for each in manager.sessions()] == ["a", "c"]
        await client.ask(asked.Detach, key="a")
        await use(client, agent, "c")
        assert [each.key for each in manager.sessions()] == ["c"]

        listed = await got(await client.ask(asked.ListSessions), told.Sessions)
        assert [(each.key, each.state, each.turns) for each in listed.sessions] == [
            (key, "hibernated", 1) for key in "abc"
        ]
        log = await store.read("a")
        turn = await got(await client.ask(asked.TurnOf, key="a", turn="a 1"), told.TurnTold)
        assert (turn.state, turn.last) == ("ended", len(log))
        await use(client, agent, "c")

        client.events.clear()
        again = await got(await client.ask(asked.Attach, key="a", after=3, log=first.log), told.Attached)
        assert (again.log, again.last, again.session_id) == (first.log, len(log), listed.sessions[0].session_id)
        await client.ask(asked.Prompt, key="a", prompt="more")
        events = await client.until_idle("a", turns=2)
        assert said(events) == said(await manager.session("a").read(3))
