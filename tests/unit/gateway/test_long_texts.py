"""What takes long to send: it arrives, however narrow the line, and everything that keeps a connection goes in between."""

from contextlib import AbstractAsyncContextManager
from typing import cast

import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import Narrow, house, said
from tests.support.remote import Line as Way, remote
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.tokens import MemoryTokens
from triologue.protocol import asked, told
from triologue.testing import Line, Say, ScriptedAgent

LONG, RATE = 2_000_000, 20_000
"""Bytes, and bytes a second: it takes more than three times as long as a connection may be deaf."""


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent(max_message_bytes=1 << 22)
    agent.on("paint", Line(b'{"type":"picture","x":"%s"}' % ("€" * (LONG // 3)).encode()), Say("there"))
    return agent


def open_manager() -> AbstractAsyncContextManager[tri.SessionManager]:
    return tri.open_manager(new_agent(), limits=tri.Limits(log_bytes=1 << 24))


async def test_who_reads_all_the_time_gets_what_takes_long(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager) as gateway:
        client, other = await gateway.client(rate=RATE), await gateway.client()
        for each in (client, other):
            await each.ask(asked.Attach, key="k")
        await client.say(client.numbered(asked.Prompt, key="k", prompt="paint"))
        log = said(await other.until_idle("k"))
        assert trio.current_time() < 1
        assert said(await client.until_idle("k")) == log == said(await manager.session("k").read())
        assert trio.current_time() > LONG / RATE > 3 * GatewayLimits().stall
        assert isinstance(await client.ask(asked.Ping), told.Pong)


async def test_so_does_another_machine_and_its_own_pings_are_answered(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager) as gateway:
        way = Way(gateway, rate=RATE)
        async with remote(way.connect, held_bytes=1 << 24) as far, far.session("k").subscribe() as events:
            await manager.session("k").ask("paint")
            log = await manager.session("k").read()
            view = [await anext(events) for _ in log]
        assert said(view) == said(log)
        assert len(way.attempts) == 1


async def test_who_stops_reading_in_the_middle_of_it_is_closed(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager) as gateway:
        client = await gateway.client(rate=RATE)
        await client.ask(asked.Attach, key="k")
        await manager.session("k").ask("paint")
        await trio.sleep(10)
        line = cast("trio.StapledStream[trio.abc.SendStream, Narrow]", client.stream).receive_stream
        line.rate = 0.001
        await trio.sleep(2 * GatewayLimits().stall)
        assert gateway.hall.counters.slow_closes == 1


async def test_a_close_does_not_wait_for_the_rest_of_it(autojump_clock: MockClock) -> None:
    tokens = MemoryTokens()
    token = tokens.add("ann")
    async with open_manager() as manager, house(manager, tokens=tokens) as gateway:
        client = await gateway.client(token, rate=RATE)
        await client.ask(asked.Attach, key="k")
        await manager.session("k").ask("paint")
        await trio.sleep(10)
        tokens.revoke(token)
        assert await client.wait_closed() == (4401, "the token was revoked, was changed or has expired")
