"""The stream below a server's WebSocket."""

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

    def __init__(self, stream: trio.abc.Stream, head: bytes, *, patience: int) -> None:
        self._stream = stream
        self._head = head
        self._patience = patience
        self._lock = trio.StrictFIFOLock()
        self.unfinished = 0
        """Bytes since the last whole message."""
        self.heard_at = trio.current_time()
        """When something came last."""
        self.sending_since: float | None = None
        """When what is being written now, or a piece of it, was begun."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream."""
        if self._head:
            await trio.lowlevel.checkpoint()
            data, self._head = self._head, b""
        else:
            data = bytes(await self._stream.receive_some(max_bytes))
        self.heard_at = trio.current_time()
        self.unfinished += len(data)
        if self.unfinished > self._patience:  # fragments without end, and perhaps without content
            raise trio.BrokenResourceError(f"{self.unfinished} bytes came, and no whole message among them")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the stream; one after the other."""
        async with self._lock:
            whole = memoryview(data)
            for begin in range(0, len(whole), _PIECE_BYTES):
                self.sending_since = trio.current_time()
                await self._stream.send_all(whole[begin : begin + _PIECE_BYTES])
            self.sending_since = None

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
