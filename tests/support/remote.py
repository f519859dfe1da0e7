"""A client of `open_remote`'s kind without sockets: on the streams of a `House`, or that answers nobody."""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast, final

import trio
import trio_websocket

import triologue as tri
from tests.support.gateway import House, Narrow
from triologue.protocol.carrier import PATH, SUBPROTOCOL, ClientCarrier, Closed, _open_reader
from triologue.remote.link import Carrier, Link
from triologue.remote.machine import Machine
from triologue.remote.opening import keep_open


@final
class Line:
    """The way to a gateway, which can be cut and put together again, and may be narrow: see `House.connect`.

    Args:
        house: where it leads.
        rate: bytes a second that come over it.
        uplink: bytes a second that are said over it.
    """

    def __init__(self, house: House, *, rate: float = math.inf, uplink: float = math.inf) -> None:
        self.house = house
        self.rate = rate
        self.uplink = uplink
        self.is_down = False
        self.attempts: list[float] = []
        """When the client tried to connect."""
        self._streams: list[trio.abc.Stream] = []

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Carrier]:
        await trio.lowlevel.checkpoint()
        self.attempts.append(trio.current_time())
        if self.is_down:
            raise ConnectionRefusedError("nobody listens there")
        stream = self.house.connect(rate=self.rate)
        self._streams.append(stream)
        if self.uplink < math.inf:
            stream = trio.StapledStream(_Uplink(stream, self.uplink), stream)
        async with _open_reader() as reader:
            with reader.until_open():
                socket = await trio_websocket.wrap_client_stream(
                    reader.as_nursery,
                    cast("trio.SocketStream", stream),  # any stream will do
                    "localhost",
                    PATH,
                    subprotocols=[SUBPROTOCOL],
                    max_message_size=1 << 27,
                )
            carrier = ClientCarrier(socket)
            try:
                yield carrier
            finally:
                await carrier.aclose()

    def fall_silent(self) -> None:
        """Nothing comes any more over a connection that is narrow, however long one waits."""
        for stream in self._streams:
            cast("trio.StapledStream[trio.abc.SendStream, Narrow]", stream).receive_stream.rate = 1e-9

    async def cut(self) -> None:
        """Every connection is lost, without a word."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)


@final
class _Uplink(trio.abc.SendStream):
    """A stream that takes so many bytes in a second."""

    def __init__(self, stream: trio.abc.SendStream, rate: float) -> None:
        self._stream = stream
        self._rate = rate

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        for begin in range(0, len(data), 4096):
            part = data[begin : begin + 4096]
            await trio.sleep(len(part) / self._rate)
            await self._stream.send_all(part)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def remote(
    connect: Callable[[], AbstractAsyncContextManager[Carrier]],
    *,
    token: str | None = None,
    give_up: float = math.inf,
    held_bytes: int = 1 << 22,
    max_waiting: int = 100,
) -> AbstractAsyncContextManager[tri.RemoteManager]:
    """What `open_remote` gives, on other connections than sockets."""
    machine = Machine(token, "test", held_bytes=held_bytes, max_waiting=max_waiting)
    return keep_open(Link(machine, connect, "the gateway", give_up))


@asynccontextmanager
async def closing(code: int, reason: str = "") -> AsyncGenerator[Carrier]:
    """A connection that the gateway closes at once."""
    await trio.lowlevel.checkpoint()
    yield _Closing(code, reason)


@final
class _Closing:
    def __init__(self, code: int, reason: str) -> None:
        self._closed = Closed(code, reason)

    async def receive(self) -> str:
        await trio.lowlevel.checkpoint()
        raise self._closed

    async def send(self, *frames: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def ping(self) -> None:
        await trio.sleep_forever()

    async def aclose(self, *, within: float) -> None:
        await trio.lowlevel.checkpoint()
