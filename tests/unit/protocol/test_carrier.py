"""The carrier over streams in memory: what the one end sends the other end reads, and both hear why it ended."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
import trio_websocket
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection

from triologue.protocol.carrier import Closed, NotText, ServerCarrier, accept, connect

MAX = 1_000
ASKED = (
    b"GET /v1 HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: triologue.v1\r\n\r\n"
)


@asynccontextmanager
async def both_ends(
    *, max_frame_bytes: int = MAX
) -> AsyncGenerator[tuple[ServerCarrier, WebSocketConnection, trio.abc.Stream]]:
    """A server's carrier, and a client of the library's own."""
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        clients = list[WebSocketConnection]()

        async def dial(task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            client = await trio_websocket.wrap_client_stream(
                nursery,
                cast("trio.SocketStream", far),  # any stream will do
                "here",
                "/v1",
                subprotocols=["triologue.v1"],
            )
            clients.append(client)

        await nursery.start(dial)
        async with accept(near, b"", max_frame_bytes=max_frame_bytes) as carrier:
            while not clients:
                await trio.lowlevel.checkpoint()
            yield carrier, clients[0], far
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
async def test_a_frame_of_any_size_arrives(size: int, autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        await carrier.send(b"a" * size, "é".encode())
        assert [await client.get_message(), await client.get_message()] == ["a" * size, "é"]


async def test_what_a_client_says_arrives_joined_and_in_order(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        await client.send_message("one")
        await client.send_message("two")
        assert [await carrier.receive(), await carrier.receive()] == ["one", "two"]


async def test_bytes_are_no_text(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        await client.send_message(b"one")
        with pytest.raises(NotText, match="3 bytes"):
            await carrier.receive()


async def test_the_client_hears_why_it_was_closed_and_nothing_is_sent_afterwards(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carrier.aclose, 4401, "é" * 200)
            with pytest.raises(ConnectionClosed) as caught:
                await client.get_message()
        assert caught.value.reason is not None
        assert (caught.value.reason.code, caught.value.reason.reason) == (4401, "é" * 61)
        with pytest.raises(Closed, match="was closed with"):
            await carrier.send(b"more")


async def test_the_server_hears_why_the_client_left(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        await client.aclose(4000, "enough")
        with pytest.raises(Closed) as caught:
            await carrier.receive()
        assert (caught.value.code, caught.value.reason) == (4000, "enough")


async def test_a_client_that_is_cut_off_has_left(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, _, stream):
        await stream.aclose()
        with pytest.raises(Closed) as caught:
            await carrier.receive()
        assert caught.value.code == 1006


async def test_a_frame_that_is_too_long_closes_it(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _):
        await client.send_message("a" * (MAX + 1))
        with pytest.raises(ConnectionClosed) as caught:
            await client.get_message()
        assert caught.value.reason is not None
        assert caught.value.reason.code == 1009
        with pytest.raises(Closed):
            await carrier.receive()


async def test_fragments_without_end_close_it_even_if_they_hold_nothing(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, _, stream):
        first, more = b"\x01\x80abcd", b"\x00\x80abcd"  # masked, empty
        await stream.send_all(first + more * 20_000)
        with pytest.raises(Closed):
            await carrier.receive()


async def test_fragments_are_one_frame(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, _, stream):
        await stream.send_all(b"\x01\x82\0\0\0\0he" + b"\x80\x83\0\0\0\0llo")
        assert await carrier.receive() == "hello"


async def test_a_client_that_never_answers_a_close_is_cut_off(autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    async with accept(near, ASKED, max_frame_bytes=MAX) as carrier:
        assert (await far.receive_some()).startswith(b"HTTP/1.1 101")
        began = trio.current_time()
        await carrier.aclose(1001, within=3)
        assert trio.current_time() - began == 3
    with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
        await far.send_all(b"x")


async def test_a_ping_is_answered_when_all_before_it_is_read(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, client, _), trio.open_nursery() as nursery:
        pong = trio.Event()

        async def ping() -> None:
            await carrier.ping()
            pong.set()

        await carrier.send(b"one", b"two", b"three")
        nursery.start_soon(ping)
        await trio.sleep(10)
        assert not pong.is_set()
        assert [await client.get_message() for _ in range(3)] == ["one", "two", "three"]
        await pong.wait()


async def test_who_answers_any_number_of_pings_stays(autojump_clock: MockClock) -> None:
    async with both_ends(max_frame_bytes=1) as (carrier, client, _):
        for _ in range(8_000):  # whose pongs are more than may come of a message
            await carrier.ping()
        await client.send_message("x")
        assert await carrier.receive() == "x"


async def test_a_client_that_leaves_before_it_is_open_is_closed(autojump_clock: MockClock) -> None:
    near, far = memory_stream_pair()
    await far.aclose()
    with pytest.raises(Closed, match="has left"):
        async with accept(near, b"", max_frame_bytes=MAX):
            pass


async def test_what_the_block_raises_is_raised(autojump_clock: MockClock) -> None:
    near, _ = memory_stream_pair()
    with pytest.raises(ZeroDivisionError):
        async with accept(near, ASKED, max_frame_bytes=MAX):
            raise ZeroDivisionError


async def test_over_sockets() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def echo(stream: trio.SocketStream) -> None:
        async with accept(stream, b"", max_frame_bytes=MAX) as carrier:
            await carrier.send((await carrier.receive()).encode())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        async with connect(f"ws://127.0.0.1:{port}", max_frame_bytes=MAX) as carrier:
            await carrier.send(b"hello")
            assert await carrier.receive() == "hello"
        nursery.cancel_scope.cancel()


async def test_what_a_socket_does_not_take_at_once_goes_ahead_of_what_is_sent_next() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port, frames = listeners[0].socket.getsockname()[1], [b"%d:" % n + b"x" * 50_000 for n in range(1_000)]
    states, stopped = list[tuple[bool, bool]](), trio.Event()

    async def talk(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        async with accept(stream, b"", max_frame_bytes=MAX) as carrier:
            await carrier.receive()
            left = iter(frames)
            while carrier.send_now(next(left)):
                pass
            states.append((carrier.is_free, carrier.sending_since is not None))
            stopped.set()
            await carrier.send(*left)
            states.append((carrier.is_free, carrier.sending_since is not None))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, talk, listeners)
        async with connect(f"ws://127.0.0.1:{port}", max_frame_bytes=1 << 20) as carrier:
            await carrier.send(b"begin")
            await stopped.wait()
            assert [(await carrier.receive()).encode() for _ in frames] == frames
        assert states == [(False, True), (True, False)]
        nursery.cancel_scope.cancel()


async def test_a_socket_that_is_gone_takes_nothing_and_that_is_said_by_the_next_send() -> None:
    near, far = [trio.SocketStream(each) for each in trio.socket.socketpair()]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.send_all, ASKED)
        async with accept(near, b"", max_frame_bytes=MAX) as carrier:
            assert carrier.is_free
            await far.aclose()
            while carrier.send_now(b"lost"):
                pass
            with pytest.raises(Closed):
                await carrier.send(b"more")


async def test_where_there_is_no_socket_nothing_is_sent_at_once(autojump_clock: MockClock) -> None:
    async with both_ends() as (carrier, _, _):
        assert not carrier.is_free
