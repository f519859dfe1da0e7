"""What carries frames: one WebSocket. Only this module knows the library that it is made with.

A server's frames are written straight to the stream, many at once, because the library takes longer for one frame than
the rest of a gateway does. Opening and closing, pings, pongs and all reading are the library's.
"""

import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, cast, final

import trio
import trio_websocket
from trio_websocket import WebSocketConnection
from wsproto.utilities import ProtocolError

logger = logging.getLogger("triologue.protocol")

SUBPROTOCOL: Final = "triologue.v1"
PATH: Final = "/v1"
CLOSE_SECONDS: Final = 5.0
"""For the other side to answer a close, and to take what was sent before it."""

_LINGER_SECONDS: Final = 1.0
_READ_BYTES: Final = 64 * 1024
_MAX_REASON_BYTES: Final = 123
_ABNORMAL: Final = 1006


class Closed(Exception):
    """The WebSocket is closed, or lost.

    Attributes:
        code: as in the close frame; 1006 where none came.
        reason: why, in words; may be empty.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"the connection was closed with {code}" + (f": {reason}" if reason else ""))


class Refused(Exception):
    """The server did not open a WebSocket.

    Attributes:
        status: of its HTTP answer; None where it spoke another protocol.
    """

    def __init__(self, status: int | None, message: str) -> None:
        self.status = status
        super().__init__(message)


class NotText(Exception):
    """A frame came that holds bytes, and no text."""


@final
class Peeked(trio.abc.Stream):
    """A stream of which the beginning was read before, written to by two.

    Args:
        stream: what is left of it.
        head: what was read.
        patience: bytes that may come without a whole message among them.
    """

    def __init__(self, stream: trio.abc.Stream, head: bytes, *, patience: int) -> None:
        self._stream = stream
        self._head = head
        self._patience = patience
        self._lock = trio.StrictFIFOLock()
        self.unfinished = 0
        """Bytes since the last whole message."""
        self.sent = 0
        """Bytes, ever."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream."""
        if self._head:
            await trio.lowlevel.checkpoint()
            data, self._head = self._head, b""
        else:
            data = bytes(await self._stream.receive_some(max_bytes))
        self.unfinished += len(data)
        if self.unfinished > self._patience:  # fragments without end, and perhaps without content
            raise trio.BrokenResourceError(f"{self.unfinished} bytes came, and no whole message among them")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the stream; one after the other."""
        async with self._lock:
            self.sent += len(data)
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As the stream."""
        await self._stream.aclose()

    async def linger(self) -> None:
        """Let who still sends read what was said last: a socket that is closed unread takes back what it has sent."""
        if not isinstance(self._stream, trio.abc.HalfCloseableStream):
            return
        try:
            await self._stream.send_eof()
            while await self._stream.receive_some(_READ_BYTES):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass


class Carrier:
    """One end of a WebSocket; made by `accept` and `connect`. One task sends; any may close."""

    def __init__(self, socket: WebSocketConnection, stream: Peeked | None = None) -> None:
        self._socket = socket
        self._stream = stream

    async def receive(self) -> str:
        """The next text frame.

        Raises:
            Closed: there is none any more.
            NotText: it holds bytes.
        """
        with self._told():
            message = await self._socket.get_message()
        if self._stream is not None:
            self._stream.unfinished = 0
        if not isinstance(message, str):
            raise NotText(f"a frame of {len(message)} bytes, and no text")
        return message

    async def send(self, *frames: bytes) -> None:
        """Send text frames, each valid UTF-8; a server's go out in one write. Cancelled half-way, it must be closed.

        Raises:
            Closed: that cannot be any more.
        """
        with self._told():
            if self._socket.closed is not None:
                raise trio_websocket.ConnectionClosed(self._socket.closed)
            if self._stream is None:  # a client's are masked
                for frame in frames:
                    await self._socket.send_message(frame.decode())
            else:
                await self._stream.send_all(b"".join([part for frame in frames for part in (_head(len(frame)), frame)]))

    async def ping(self) -> None:
        """Send a ping and wait for its pong; where none comes, for ever.

        Raises:
            Closed: that cannot be any more.
        """
        with self._told():
            await self._socket.ping()

    async def aclose(self, code: int = 1000, reason: str = "", *, within: float = CLOSE_SECONDS) -> None:
        """Close it: politely for some seconds, which cannot be cancelled, then at once. Raises nothing.

        Args:
            code: of RFC 6455, section 7.4.
            reason: why, in words; cut to what a close frame can hold.
            within: seconds.
        """
        short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with trio.CancelScope(shield=True), trio.move_on_after(within):
            try:
                with self._told():
                    await self._socket.aclose(code, short or None)
            except Closed:
                pass
            if self._stream is not None:
                with trio.move_on_after(_LINGER_SECONDS):
                    await self._stream.linger()
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)

    @property
    def bytes_sent(self) -> int:
        """Of a server, ever."""
        return self._stream.sent if self._stream is not None else 0

    @contextmanager
    def _told(self) -> Generator[None]:
        """What the library raises, as `Closed`."""
        try:
            yield
        except (trio_websocket.ConnectionClosed, ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._closed() from None

    def _closed(self) -> Closed:
        reason = self._socket.closed
        return Closed(reason.code, reason.reason or "") if reason is not None else Closed(_ABNORMAL, "")


def _head(size: int) -> bytes:
    """What goes before an unmasked text frame: RFC 6455, section 5.2."""
    if size < 126:
        return bytes((0x81, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)


@asynccontextmanager
async def accept(stream: trio.abc.Stream, head: bytes, *, max_frame_bytes: int) -> AsyncGenerator[Carrier]:
    """The server's end, on a stream on which a client has asked for a WebSocket. It is closed in any case.

    Args:
        stream: what follows.
        head: what was read of it, with the whole head of the request.
        max_frame_bytes: a longer frame closes it with 1009.

    Raises:
        Closed: the client has left before it was open.
    """
    peeked = Peeked(stream, head, patience=2 * max_frame_bytes + _READ_BYTES)
    async with _open_reader() as reader:
        try:
            with reader.opening:
                request = await trio_websocket.wrap_server_stream(
                    reader.as_nursery, peeked, max_message_size=max_frame_bytes, receive_buffer_size=_READ_BYTES
                )
                socket = await request.accept(subprotocol=SUBPROTOCOL)
            reader.check_open()
            carrier = Carrier(socket, peeked)
            yield carrier
            await carrier.aclose()
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def connect(url: str, *, tls: ssl.SSLContext | None = None, max_frame_bytes: int) -> AsyncGenerator[Carrier]:
    """The client's end.

    Args:
        url: `ws://` or `wss://`, without a path of its own.
        tls: instead of the system's certificates.
        max_frame_bytes: a longer frame closes it.

    Raises:
        OSError: nobody listens there.
        Refused: the server opens no WebSocket, or none of this protocol.
        Closed: the server has left before it was open.
    """
    async with _open_reader() as reader:
        with reader.opening:
            socket = await trio_websocket.connect_websocket_url(
                reader.as_nursery,
                url.rstrip("/") + PATH,
                tls,
                subprotocols=[SUBPROTOCOL],
                max_message_size=max_frame_bytes,
                receive_buffer_size=_READ_BYTES,
            )
        reader.check_open()
        try:
            if socket.subprotocol != SUBPROTOCOL:
                raise Refused(None, f"{url} does not speak {SUBPROTOCOL}")
            yield Carrier(socket)
        finally:
            await Carrier(socket).aclose()


@final
class _Reader:
    """Runs the task in which the library reads, which raises when a WebSocket is not opened, or ends in an odd way."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._error: Exception = Closed(_ABNORMAL, "the other side has left before it was open")
        self.opening = trio.CancelScope()
        """Until it is open: ends when nobody reads any more."""

    @property
    def as_nursery(self) -> trio.Nursery:
        """For the library, which only starts a task in it."""
        return cast("trio.Nursery", self)

    def start_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, read)

    async def _run(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except trio_websocket.ConnectionRejected as error:
            self._error = Refused(error.status_code, f"the server answered with HTTP {error.status_code}")
        except (trio_websocket.ConnectionClosed, ProtocolError, OSError) as error:
            logger.debug("a WebSocket ended: %r", error)
        finally:
            self.opening.cancel()

    def check_open(self) -> None:
        """Raise why it was not opened, if it was not."""
        if self.opening.cancelled_caught:
            raise self._error


@asynccontextmanager
async def _open_reader() -> AsyncGenerator[_Reader]:
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield _Reader(nursery)
        except BaseException as caught:  # noqa: BLE001 - raised below, as the nursery would put it into a group
            error = caught
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error
