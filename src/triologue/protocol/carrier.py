"""What carries frames: one WebSocket. Only this module knows the library that it is made with.

A server's frames are written straight to the stream, many at once, because the library takes longer for one frame than
the rest of a gateway does. Opening and closing, pings, pongs and all reading are the library's.
"""

import logging
import ssl
from abc import ABC, abstractmethod
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, cast, final
from urllib.parse import SplitResult, urlsplit

import trio
import trio_websocket
from trio_websocket import WebSocketConnection
from wsproto.events import TextMessage
from wsproto.utilities import ProtocolError

from triologue.errors import brief
from triologue.loops import NoThread, open_apart
from triologue.protocol.framing import FRAGMENT_BYTES, Fragment, framed
from triologue.protocol.peeked import Peeked

logger = logging.getLogger("triologue.protocol")

SUBPROTOCOL: Final = "triologue.v1"
PATH: Final = "/v1"
CLOSE_SECONDS: Final = 5.0
"""For the other side to answer a close, and to take what was sent before it."""

LINGER_SECONDS: Final = 1.0
"""For who still sends to read the last word."""
_READ_BYTES: Final = 64 * 1024
_SERVER_READ_BYTES: Final = 4 * 1024
"""The library goes through all frames of a read without a pause, and the shortest have six bytes."""
_MAX_REASON_BYTES: Final = 123
_ABNORMAL: Final = 1006
_MALFORMED: Final = (1002, 1007)
_PONG_BYTES: Final = 10
"""Of a client: a head, a mask, and the four bytes that the library puts into a ping."""


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


class Carrier(ABC):
    """One end of a WebSocket. One task sends, and one receives; any may close it."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def receive(self) -> str:
        """The next text frame. Cancelling this loses nothing.

        Raises:
            Closed: there is none any more.
            NotText: it holds bytes.
        """
        with self._told():
            message = await self._socket.get_message()
        if not isinstance(message, str):
            raise NotText(f"a frame of {len(message)} bytes, and no text")
        return message

    @abstractmethod
    async def send(self, *frames: bytes) -> None:
        """Send text frames, each valid UTF-8. Where this is cancelled half-way, nothing more can be sent.

        Raises:
            Closed: that cannot be any more.
        """

    async def ping(self) -> None:
        """Send a ping, and wait for its pong: until the other side has read what was sent before. It may be for ever.

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
        with trio.CancelScope(shield=True):
            with trio.move_on_after(within) as politely:
                try:
                    with self._told():
                        await self._socket.aclose(code, short or None)
                except Closed:
                    pass
            await self._end(is_stuck=politely.cancelled_caught)

    @abstractmethod
    async def _end(self, *, is_stuck: bool) -> None:
        """The library is done with it, or it could not be closed in time."""

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


@final
class ClientCarrier(Carrier):
    """The client's end; made by `connect`."""

    async def send(self, *frames: bytes) -> None:
        """See `Carrier`. Of what is long pings, pongs and a close go between the parts: it may take its time."""
        with self._told():
            for frame in frames:
                if len(frame) <= FRAGMENT_BYTES:
                    await self._socket.send_message(frame.decode())
                else:
                    await self._send_in_parts(frame)

    async def _send_in_parts(self, frame: bytes) -> None:
        """What is public in the library sends a text in one frame only."""
        decode = getincrementaldecoder("utf-8")().decode  # a character may begin in one part and end in the next
        for begin in range(0, len(frame), FRAGMENT_BYTES):
            end = begin + FRAGMENT_BYTES
            if self._socket.closed is not None:
                raise trio_websocket.ConnectionClosed(self._socket.closed)
            part = TextMessage(decode(frame[begin:end]), message_finished=end >= len(frame))
            await self._socket._send(part)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def _end(self, *, is_stuck: bool) -> None:
        """`connect` closes what is below."""


@final
class ServerCarrier(Carrier):
    """The server's end; made by `accept`."""

    def __init__(self, socket: WebSocketConnection, stream: Peeked) -> None:
        super().__init__(socket)
        self._stream = stream

    @property
    def sending_since(self) -> float | None:
        """When what is being written now, or a piece of it, was begun; None where nothing is."""
        return self._stream.sending_since

    async def receive(self) -> str:
        """See `Carrier`."""
        message = await super().receive()
        self._stream.unfinished = 0
        return message

    async def ping(self) -> None:
        """See `Carrier`."""
        await super().ping()
        self._stream.unfinished = max(0, self._stream.unfinished - _PONG_BYTES)  # who only watches sends nothing else

    async def send(self, *frames: bytes | Fragment) -> None:
        """See `Carrier`; all in one write, behind what `send_now` has left. Pings, pongs and a close go between two writes."""
        with self._told():
            if self._socket.closed is not None:
                raise trio_websocket.ConnectionClosed(self._socket.closed)
            await self._stream.send_all(framed(frames))

    @property
    def is_free(self) -> bool:
        """Can `send_now` be called?"""
        return self._stream.is_free and self._socket.closed is None

    def send_now(self, *frames: bytes | Fragment) -> bool:
        """Send text frames as far as the other side takes them at once. Was that all of them? `send` sends the rest."""
        return self._stream.send_now(framed(frames))

    async def _end(self, *, is_stuck: bool) -> None:
        if not is_stuck:
            with trio.move_on_after(LINGER_SECONDS):
                await self._stream.finish(self._last_word())
        await self._stream.close_below()

    def _last_word(self) -> bytes:
        """The library closes without a word where a frame was none."""
        closed = self._socket.closed
        if closed is None or closed.code not in _MALFORMED:
            return b""
        return b"\x88\x02" + closed.code.to_bytes(2)


@asynccontextmanager
async def accept(stream: trio.abc.Stream, head: bytes, *, max_frame_bytes: int) -> AsyncGenerator[ServerCarrier]:
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
            with reader.until_open():
                request = await trio_websocket.wrap_server_stream(
                    reader.as_nursery, peeked, max_message_size=max_frame_bytes, receive_buffer_size=_SERVER_READ_BYTES
                )
                socket = await request.accept(subprotocol=SUBPROTOCOL)
            carrier = ServerCarrier(socket, peeked)
            yield carrier
            await carrier.aclose()
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def connect(
    url: str, *, tls: ssl.SSLContext | None = None, max_frame_bytes: int
) -> AsyncGenerator[ClientCarrier]:
    """The client's end.

    Args:
        url: `ws://` or `wss://`, with the path in front of `PATH` if there is one.
        tls: instead of the system's certificates.
        max_frame_bytes: a longer frame closes it.

    Raises:
        OSError: nobody listens there.
        Refused: the server opens no WebSocket, or none of this protocol, or has no certificate that counts.
        Closed: the server has left before it was open.
    """
    parts = urlsplit(url)
    stream = await _dial(parts, tls)
    async with _open_reader() as reader:
        try:
            with reader.until_open():
                socket = await trio_websocket.wrap_client_stream(
                    reader.as_nursery,
                    stream,
                    parts.netloc.rpartition("@")[2],
                    parts.path.rstrip("/") + PATH,
                    subprotocols=[SUBPROTOCOL],
                    max_message_size=max_frame_bytes,
                    receive_buffer_size=_READ_BYTES,
                )
            carrier = ClientCarrier(socket)
            if socket.subprotocol != SUBPROTOCOL:
                raise Refused(None, f"{url} does not speak {SUBPROTOCOL}")
            try:
                yield carrier
            finally:
                await carrier.aclose()
        finally:  # the library leaves that to a server that has closed first
            await trio.aclose_forcefully(stream)


async def _dial(
    parts: SplitResult, tls: ssl.SSLContext | None
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """A stream to a server, encrypted for `wss`. Raises `OSError`."""
    host, is_encrypted = parts.hostname or "", parts.scheme == "wss"
    try:
        if not is_encrypted:
            return await trio.open_tcp_stream(host, parts.port or 80)
        stream = await trio.open_ssl_over_tcp_stream(host, parts.port or 443, ssl_context=tls, https_compatible=True)
    except RuntimeError as error:  # names are looked up in a thread
        raise NoThread from error
    try:
        await stream.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise Refused(None, f"the certificate of {host!r} does not count here: {error.__cause__}") from error
        if isinstance(error, trio.BrokenResourceError):
            raise ConnectionError(f"no TLS with {host!r}: {error.__cause__ or error}") from error
        raise
    return stream


@final
class _Reader:
    """Runs the task in which the library reads, which raises when a WebSocket is not opened, or ends in an odd way."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._error: Exception = Closed(_ABNORMAL, "the other side has left before it was open")
        self._opening = trio.CancelScope()

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
            self._error = Refused(error.status_code, f"the server answered with HTTP {error.status_code}{_why(error)}")
        except (trio_websocket.ConnectionClosed, ProtocolError, OSError) as error:
            logger.debug("a WebSocket ended: %r", error)
        finally:
            self._opening.cancel()

    @contextmanager
    def until_open(self) -> Generator[None]:
        """This block ends when nobody reads any more; it raises why the WebSocket was not opened."""
        try:
            with self._opening:
                yield
        except (trio_websocket.ConnectionClosed, ProtocolError) as error:
            raise Closed(_ABNORMAL, str(error)) from None
        if self._opening.cancelled_caught:
            raise self._error


@asynccontextmanager
async def _open_reader() -> AsyncGenerator[_Reader]:
    # The library has to read on when all is cancelled: it hears the answer to a close.
    async with open_apart() as nursery:
        yield _Reader(nursery)


def _why(rejected: trio_websocket.ConnectionRejected) -> str:
    """What is said besides, as a gateway says it; others may send a whole page."""
    kinds = [value for name, value in rejected.headers if name.lower() == b"content-type"]
    if not rejected.body or not any(kind.startswith(b"text/plain") for kind in kinds):
        return ""
    return ": " + brief(" ".join(rejected.body.decode(errors="replace").split()))
