"""A client of the gateway: it attaches, prompts, reads along, leaves and comes back."""

import os
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import got, house, said
from tests.support.scripted_agent import ScriptedAgent as AgentWithProcess
from tests.support.slow_store import SlowStore
from triologue.manager import listing
from triologue.messages import SettingsChanged
from triologue.protocol import asked, told
from triologue.testing import Say, ScriptedAgent, UseTool, Wait


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    agent.on("story", Say("once upon a time", every=1.0))
    return agent


async def test_a_client_attaches_prompts_and_reads_along(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        client = await gateway.client()
        attached = await client.ask(asked.Attach, key="k")
        assert isinstance(attached, told.Attached)
        assert attached == told.Attached(re=1, key="k", state="new", session_id=None, log=attached.log, last=0)
        accepted = await client.ask(asked.Prompt, key="k", prompt="hello", turn="t1", meta={"by": "ann"})
        assert isinstance(accepted, told.Accepted)
        assert (accepted.turn, accepted.seq) == ("t1", 0)
        events = await client.until_idle("k")
        assert said(events) == said(await manager.session("k").read())


async def test_who_comes_back_gets_what_it_missed_and_nothing_twice(autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent(), limits=tri.Limits(log_bytes=1 << 20)) as manager,
        house(manager) as gateway,
    ):
        client = await gateway.client()
        await client.ask(asked.Attach, key="k", partials=False)
        await client.ask(asked.Prompt, key="k", prompt="hello")
        first = list(await client.until_idle("k"))
        await client.socket.aclose()
        await manager.session("k").ask("story")  # work goes on

        client = await gateway.client()
        await client.ask(asked.Attach, key="k", after=first[-1].seq, partials=False)
        await client.ask(asked.Prompt, key="k", prompt="and then?")
        rest = await client.until_idle("k", turns=2)
        assert said(first + rest) == said(await manager.session("k").read())


async def test_a_cancel_counts_though_its_client_leaves_right_behind_it(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store, deadlines=tri.Deadlines(drain=0)) as manager:
        await manager.session("k").send("long")
        await manager.session("k").send("hello", id="t")
    async with tri.open_manager(agent, store=store.as_store) as manager, house(manager) as gateway:
        client = await gateway.client()
        store.hold()
        await client.say(client.numbered(asked.Cancel, key="k", turn="t"))
        await client.socket.aclose()
        await wait_all_tasks_blocked()
        store.go_on()
        turn = await manager.session("k").find("t")
        assert turn is not None
        assert (await turn.wait()).kind == "cancelled"


async def test_a_list_that_lacks_some_that_sleep_does_not_claim_to_be_whole(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tri.MemoryStore()
    async with tri.open_manager(new_agent(), store=store) as manager:
        for key in "abc":
            await manager.session(key).ask("hello")
    monkeypatch.setattr(listing, "ASLEEP", 2)
    async with tri.open_manager(new_agent(), store=store) as manager, house(manager) as gateway:
        client = await gateway.client()
        first = await got(await client.ask(asked.ListSessions), told.Sessions)
        rest = await got(await client.ask(asked.ListSessions, after="c"), told.Sessions)
        assert (len(first.sessions), first.is_last) == (2, False)
        assert (rest.sessions, rest.is_last) == ([], False)
        one = await got(await client.ask(asked.ListSessions, prefix="a"), told.Sessions)
        assert ([each.key for each in one.sessions], one.is_last) == (["a"], True)


async def test_a_permission_that_cannot_be_shown_hides_no_other(autojump_clock: MockClock) -> None:
    agent = new_agent()
    deep: dict[str, Any] = {"command": "rm"}
    for _ in range(500):
        deep = {"in": deep}
    agent.on("deep", UseTool("Bash", deep, asks=True))
    agent.on("flat", UseTool("Bash", {"command": "ls"}, asks=True))
    options = tri.Options(permission_prompt_tool_name="stdio")
    async with tri.open_manager(agent, options=options) as manager, house(manager) as gateway:
        for key in ("deep", "flat"):
            await manager.session(key).send(key)
        client = await gateway.client()
        await wait_all_tasks_blocked()
        shown = await got(await client.ask(asked.Permissions), told.OpenPermissions)
        assert [(each.key, each.input) for each in shown.permissions] == [
            ("deep", {"cannot be shown": "it is nested too deeply"}),
            ("flat", {"command": "ls"}),
        ]


async def test_a_session_is_explained_without_a_look_at_the_memory_of_its_agent(autojump_clock: MockClock) -> None:
    agent = AgentWithProcess()
    agent.pid = os.getpid()
    async with tri.open_manager(agent) as manager, house(manager) as gateway:
        await manager.session("k").ask("hello")
        explained = await (await gateway.client()).ask(asked.Explain, key="k")
        assert isinstance(explained, told.Explained)
        told_of = msgspec.json.decode(explained.explanation)
        assert (told_of["pid"], told_of["rss_bytes"]) == (os.getpid(), None)


async def test_where_the_first_setting_of_a_change_is_refused_the_second_stays(autojump_clock: MockClock) -> None:
    agent = AgentWithProcess()
    agent.refuses = {"bad"}
    async with tri.open_manager(agent) as manager, house(manager) as gateway:
        await manager.session("k").ask("hello")
        client = await gateway.client()
        code = await client.fails(asked.Change, key="k", model="m", permission_mode="bad")
        assert code == "agent_protocol_error"
        assert {model for model, _ in wanted(await manager.session("k").read())} == {None}
        await client.ask(asked.Change, key="k", model="m", permission_mode="plan")
        assert wanted(await manager.session("k").read())[-2:] == [(None, "plan"), ("m", "plan")]


def wanted(events: list[tri.Event]) -> list[tuple[str | None, str | None]]:
    """The models and permission modes that a log tells of."""
    found = [event.message for event in events if isinstance(event.message, SettingsChanged)]
    return [(each.model, each.permission_mode) for each in found]
