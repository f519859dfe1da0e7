"""The stream below a server's WebSocket."""

import os
from typing import Final, final

import trio

_READ_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024
"""Each of which shows that the other side takes something."""


@final
class Peeked(trio.abc.Stream):
    """A stream of which the beginning was read before, written to by two.

    Args:
        stream: what is left of it.
        head: what was read.
        patience: bytes that may come without a whole message among them.
    """

    __slots__ = (
        "_head",
        "_is_left",
        "_lock",
        "_patience",
        "_rest",
        "_socket",
        "_stream",
        "_writers",
        "sending_since",
        "unfinished",
    )

    def __init__(self, stream: trio.abc.Stream, head: bytes, *, patience: int) -> None:
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        """Under TLS nothing can be written past the stream."""
        self._head = head
        self._patience = patience
        self._lock = trio.StrictFIFOLock()
        self._writers = 0
        """Those in `send_all`, or in line for it."""
        self._rest = b""
        """What `send_now` could not send."""
        self.unfinished = 0
        """Bytes since the last whole message."""
        self.sending_since: float | None = None
        """When what is being written now, or a piece of it, was begun."""
        self._is_left = False
        """The library has no more use for it."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream."""
        if self._is_left:  # what still comes is for nobody
            return b""
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
        """As the stream; one after the other, and what `send_now` has left before all."""
        self._writers += 1
        try:
            await self._send_in_turn(data)
        finally:
            self._writers -= 1

    async def _send_in_turn(self, data: bytes | bytearray | memoryview) -> None:
        try:  # a lock that is free costs less like this
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            rest, self._rest = self._rest, b""
            whole = memoryview(rest + data if rest else data)
            for begin in range(0, len(whole), _PIECE_BYTES):
                self.sending_since = trio.current_time()
                await self._stream.send_all(whole[begin : begin + _PIECE_BYTES])
            self.sending_since = None
        finally:
            self._lock.release()

    @property
    def is_free(self) -> bool:
        """Is nothing being written, to a socket that can be written to without waiting?"""
        return self._socket is not None and not self._rest and not self._writers

    def send_now(self, data: bytes) -> bool:
        """Send what is taken at once; the rest goes ahead of what is sent next. Was that all of it? For who `is_free`."""
        try:
            sent = os.write(self._socket.fileno(), data) if self._socket is not None else 0
        except OSError:  # it takes nothing now, or never will: the rest is refused for the same reason
            sent = 0
        if sent < len(data):
            self._rest, self.sending_since = data[sent:], trio.current_time()
        return sent == len(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """For the library: it reads no more. Whoever made this says the last word."""
        await trio.lowlevel.checkpoint()
        self._is_left = True

    async def finish(self, last: bytes) -> None:
        """Say this at last; see `finish`."""
        self._is_left = True
        try:
            async with self._lock:
                rest, self._rest = self._rest, b""
                if rest or last:
                    await self._stream.send_all(rest + last)
                await finish(self._stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass

    async def close_below(self) -> None:
        """Close it now."""
        self._is_left = True
        await trio.aclose_forcefully(self._stream)


async def finish(stream: trio.abc.Stream) -> None:
    """Send nothing more, and let who still sends read what was: a socket that is closed unread takes back what it has sent.

    It may be for ever. Under TLS nothing can be done.
    """
    if not isinstance(stream, trio.abc.HalfCloseableStream):
        return
    await stream.send_eof()
    while await stream.receive_some(_READ_BYTES):
        pass
