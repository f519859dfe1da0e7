"""What takes long to send: it arrives, however narrow the line, and everything that keeps a connection goes in between."""

import tracemalloc
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import cast

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import Client, Narrow, house, said
from tests.support.remote import Line as Way, remote
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.tokens import MemoryTokens
from triologue.protocol import asked, codes, told
from triologue.testing import Line, Say, ScriptedAgent, UseTool

LONG, RATE = 2_000_000, 20_000
"""Bytes, and bytes a second: it takes more than three times as long as a connection may be deaf."""


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent(max_message_bytes=1 << 22)
    agent.on("paint", Line(b'{"type":"picture","x":"%s"}' % ("€" * (LONG // 3)).encode()), Say("there"))
    agent.on("write", UseTool("Write", {"content": "x" * (LONG // 8)}, asks=True))
    return agent


def open_manager() -> AbstractAsyncContextManager[tri.SessionManager]:
    options = tri.Options(permission_prompt_tool_name="stdio")
    return tri.open_manager(new_agent(), options=options, limits=tri.Limits(log_bytes=1 << 24))


async def ask_much(client: Client, padding: str = "") -> list[int]:
    """Ask ten times for what is long, and take none of it yet; the numbers of these requests. Others have asked to write."""
    requests = [client.numbered(asked.Permissions) for _ in range(10)]
    for each in requests:
        await client.say(f'{{"type":"permissions","id":{each.id},"padding":"{padding}"}}')
    return [each.id for each in requests]


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


@pytest.mark.parametrize("rate", [inf, 2 * RATE], ids=["wide", "narrow"])
async def test_who_asks_for_much_at_once_gets_it_all_and_its_pings_are_answered(
    rate: float, autojump_clock: MockClock
) -> None:
    async with open_manager() as manager, house(manager) as gateway:
        await manager.session("k").send("write")
        client = await gateway.client(rate=rate)
        await trio.sleep(1)
        numbers = await ask_much(client)
        with trio.fail_after(20):
            await client.socket.ping()
        for number in numbers:
            assert isinstance(await client.reply(number), told.OpenPermissions)
        assert rate == inf or trio.current_time() > GatewayLimits().stall


async def test_so_does_who_asks_more_than_may_wait(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager, limits=GatewayLimits(frame_bytes=1_000)) as gateway:
        await manager.session("k").send("write")
        client = await gateway.client()
        await trio.sleep(1)
        client.may_read = trio.Event()
        numbers = await ask_much(client) + await ask_much(client, padding="x" * 900)
        await trio.sleep(1)
        client.may_read.set()
        for number in numbers:
            assert isinstance(await client.reply(number), told.OpenPermissions)


async def test_who_takes_no_replies_is_not_read_from_without_end(autojump_clock: MockClock) -> None:
    frame_bytes = 100_000
    async with open_manager() as manager, house(manager, limits=GatewayLimits(frame_bytes=frame_bytes)) as gateway:
        await manager.session("k").send("write")
        client = await gateway.client(slow=True)
        await trio.sleep(1)
        client.may_read = trio.Event()
        said = 0
        with trio.move_on_after(5) as patience:
            await ask_much(client)
            for said in range(100):  # noqa: B007 - it tells how far this came
                await ask_much(client, padding="x" * (frame_bytes // 10))
        assert patience.cancelled_caught
        assert said <= 3


async def test_what_was_sent_is_not_kept(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager) as gateway:
        await manager.session("k").send("write")
        clients = [await gateway.client() for _ in range(10)]
        await trio.sleep(1)
        tracemalloc.start()
        try:
            for client in clients:
                client.forget((await client.ask(asked.Permissions)).re)
                await client.ask(asked.Ping)  # the client itself holds what it read last
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < 3 * LONG // 8


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


async def test_when_the_gateway_ends_it_arrives_whatever_its_client_still_asks(autojump_clock: MockClock) -> None:
    async with open_manager() as manager, house(manager, limits=GatewayLimits(requests=1)) as gateway:
        await manager.session("k").send("write")
        client = await gateway.client(rate=10 * RATE)
        await trio.sleep(1)
        request = client.numbered(asked.Permissions)
        await client.say(request)
        await trio.sleep(0.1)
        gateway.hall.end(codes.CLOSE_GOING_AWAY, "the gateway ends")
        for _ in range(10):
            await client.say(client.numbered(asked.Ping))
        assert await client.wait_closed() == (codes.CLOSE_GOING_AWAY, "the gateway ends")
        assert isinstance(await client.reply(request.id), told.OpenPermissions)
