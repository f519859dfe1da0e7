"""Whatever bytes come, only the connection that they came on ends, and nothing of it is left."""

import logging
import struct

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import house
from triologue.gateway import GatewayLimits
from triologue.protocol import asked, told
from triologue.testing import ScriptedAgent, run_virtual

UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: triologue.v1\r\n\r\n"
)


def frame(payload: bytes, *, first: int = 0x81, is_masked: bool = True, claims: int | None = None) -> bytes:
    """A WebSocket frame, perhaps one that is not what it claims."""
    size = len(payload) if claims is None else claims
    mask = 0x80 if is_masked else 0
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 1 << 16:
        head = bytes((first, mask | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, mask | 127)) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if is_masked else b"") + payload


HELLO = frame(b'{"type":"hello"}')
PING = frame(b'{"type":"ping","id":1}')

ODD = {
    "nothing more": b"",
    "half a frame": PING[:5],
    "not masked": frame(b'{"type":"ping","id":1}', is_masked=False),
    "not UTF-8": frame(b"\xff\xfe"),
    "half a character, and its end": frame(b"\xc3", first=0x01) + frame(b"\xa9", first=0x80),
    "bytes": frame(b"\0\1", first=0x82),
    "an opcode that there is not": frame(b"", first=0x83),
    "reserved bits": frame(b"", first=0xF1),
    "a close of one byte": frame(b"\x03", first=0x88),
    "a close with a code that cannot be": frame(struct.pack("!H", 999), first=0x88),
    "a close and more": frame(struct.pack("!H", 1000), first=0x88) + PING * 10,
    "a ping that is too long": frame(b"x" * 126, first=0x89),
    "a ping in pieces": frame(b"x", first=0x09),
    "a pong that nobody asked for": frame(b"x", first=0x8A) * 100,
    "a continuation of nothing": frame(b"x", first=0x80),
    "a beginning within another": frame(b"x", first=0x01) * 2,
    "a size of the sky": frame(b"", claims=(1 << 63) - 1),
    "a size with its highest bit": frame(b"", claims=(1 << 64) - 1),
    "a second request": UPGRADE,
    "ten thousand pings": frame(b"", first=0x89) * 10_000,
    "empty pieces without end": frame(b"", first=0x01) + frame(b"", first=0x00) * 10_000,
}


async def attack(said: bytes) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        witness = await gateway.client()
        stream = gateway.connect()
        try:
            await stream.send_all(UPGRADE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")  # nobody listens to what comes before it
            await stream.send_all(said)
            await wait_all_tasks_blocked()
            assert isinstance(await witness.ask(asked.Ping), told.Pong)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has had enough
        finally:
            await stream.aclose()
        await trio.sleep(100)
        assert isinstance(await witness.ask(asked.Ping), told.Pong)
        statistics = gateway.hall.statistics()
        assert (statistics.connections, statistics.handshakes) == (1, 0)


@pytest.mark.parametrize("said", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("is_known", [False, True], ids=["a stranger", "a client"])
async def test_what_is_odd_ends_its_own_connection_at_most(
    is_known: bool, said: bytes, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await attack((HELLO if is_known else b"") + said)
    assert caplog.records == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(frame), st.sampled_from([PING, HELLO]))))
def test_whatever_comes_ends_its_own_connection_at_most(caplog: pytest.LogCaptureFixture, said: list[bytes]) -> None:
    caplog.clear()
    caplog.set_level(logging.WARNING)
    run_virtual(attack, HELLO + b"".join(said))
    assert caplog.records == []


async def test_who_asks_much_and_answers_no_ping_is_closed(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        stream = gateway.connect()
        await stream.send_all(UPGRADE)
        heard = await stream.receive_some()
        await stream.send_all(HELLO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(repeat, stream, PING)
            while piece := await stream.receive_some():
                heard += piece
            nursery.cancel_scope.cancel()
        assert b"nothing was read, or no ping answered, for 30 seconds" in heard
        assert heard.count(b"\x89\x04") == 1, "a ping that is not answered is not followed by others"
        assert trio.current_time() < 60


async def test_a_crowd_that_comes_at_once_is_not_pinged_at_once(autojump_clock: MockClock) -> None:
    pinged: list[float] = []

    async def come(stream: trio.abc.Stream) -> None:
        await stream.send_all(UPGRADE)
        heard = await stream.receive_some()
        await stream.send_all(HELLO)
        while b"\x89\x04" not in heard:
            heard = await stream.receive_some()
        pinged.append(trio.current_time())

    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(come, gateway.connect())
    assert len(set(pinged)) == 40
    assert max(pinged) <= GatewayLimits().keep_alive


async def repeat(stream: trio.abc.Stream, said: bytes) -> None:
    """Say it every second."""
    while True:
        await stream.send_all(said)
        await trio.sleep(1)
