"""The host's ends of the pipes to an agent. Nothing here waits; who watches the pipes says when they are ready."""

import os
import selectors
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias, final

CHUNK = 128 * 1024
"""Bytes of one read: all that the pipe holds to which an agent writes, so that a turn written at once is one batch."""
READS = 2
"""Reads of one pipe in one round: what they give is one batch, and no pipe holds up the others for longer."""
MAX_PIPE = 1024 * 1024
"""Bytes that a pipe can hold at most, where the system administrator has not said otherwise."""


OnReady: TypeAlias = Callable[[], tuple[int, float]]
"""Serves a pipe that is ready, without waiting; returns how many bytes it moved, and for how many seconds more may wait."""


class Watcher(Protocol):
    """Calls back for pipes that are ready, until it is told to forget them.

    What a callback raises is logged: a fault in the service of one pipe must not stop all the others.
    """

    def watch(self, fd: int, event: int, on_ready: OnReady) -> None:
        """Call `on_ready` whenever `fd` is ready for `event` (`selectors.EVENT_READ` or `EVENT_WRITE`).

        It may come once more after `forget`, in the round that is under way.
        """
        ...

    def forget(self, fd: int) -> None:
        """Stop watching; before the descriptor is closed."""
        ...


@final
class PipeReader:
    """The host's end of a pipe that an agent writes to. It is always read, whatever becomes of the data.

    Args:
        on_read: gets what one round has read, in chunks. It returns for how many seconds more of it may wait, or None.
        on_end: called once, after the last chunk.
    """

    __slots__ = ("_fd", "_on_end", "_on_read", "_watcher", "is_closed")

    def __init__(
        self, watcher: Watcher, fd: int, on_read: Callable[..., float | None], on_end: Callable[[], None]
    ) -> None:
        os.set_blocking(fd, False)
        self._watcher = watcher
        self._fd = fd
        self._on_read = on_read
        self._on_end = on_end
        self.is_closed = False
        watcher.watch(fd, selectors.EVENT_READ, self._read_round)

    def close(self) -> None:
        """Take what is in the pipe, and close it.

        Once the agent has exited, that is all it ever wrote; who else holds the other end open is not waited for.
        """
        taken = 0
        while taken < MAX_PIPE and (size := self._read_round()[0]):
            taken += size
        self._end()

    def _read_round(self) -> tuple[int, float]:
        chunks: list[bytes] = []
        taken, is_over = 0, self.is_closed
        while taken < READS * CHUNK and not is_over:
            try:
                chunk = os.read(self._fd, CHUNK)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""  # what cannot be read has no more to say
            if chunk:
                chunks.append(chunk)
                taken += len(chunk)
            is_over = not chunk
            if len(chunk) < CHUNK:  # a short read has emptied the pipe
                break
        patience = self._on_read(*chunks) if chunks else None
        if is_over:
            self._end()
        # What a program's own sink gives besides would stop the watcher of all pipes, or let this one rest for ever (NaN).
        return taken, patience if isinstance(patience, float | int) and patience > 0 else 0.0

    def _end(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._watcher.forget(self._fd)
            os.close(self._fd)
            self._on_end()


@final
class PipeWriter:
    """The host's end of a pipe that an agent reads from: what does not fit now follows in order.

    Attributes:
        waiting: bytes that were taken and are not written yet.
    """

    def __init__(self, watcher: Watcher, fd: int) -> None:
        os.set_blocking(fd, False)
        self._watcher = watcher
        self._fd = fd
        self._queue: deque[memoryview] = deque()
        self._is_watched = False
        self._is_ending = False
        self.is_closed = False
        self.waiting = 0

    def write(self, data: bytes) -> None:
        """Write, now or later. Without effect after `end` or `close`, or when nobody reads any more."""
        if self._is_ending or self.is_closed:
            return
        self._queue.append(memoryview(data))
        self.waiting += len(data)
        if not self._is_watched:
            self._write()

    def end(self) -> None:
        """Close once all is written: the agent sees the end of its input."""
        self._is_ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close at once, and drop what waits."""
        if not self.is_closed:
            self.is_closed = True
            self._watch(is_wanted=False)
            os.close(self._fd)
            self._queue.clear()
            self.waiting = 0

    def _write(self) -> tuple[int, float]:
        if self.is_closed:
            return 0, 0.0
        before = self.waiting
        try:
            self._fill()
        except BlockingIOError:
            pass
        except OSError:  # EPIPE: the agent has closed its input, or is gone
            self.close()
            return 0, 0.0
        written = before - self.waiting
        self._watch(is_wanted=bool(self._queue))
        if self._is_ending and not self._queue:
            self.close()
        return written, 0.0

    def _fill(self) -> None:
        """Write until the pipe is full, but not for ever where somebody empties it as fast."""
        written = 0
        while self._queue and written < CHUNK:
            head = self._queue[0]
            size = os.write(self._fd, head)
            written += size
            self.waiting -= size
            if size < len(head):
                self._queue[0] = head[size:]
                return
            self._queue.popleft()

    def _watch(self, *, is_wanted: bool) -> None:
        if is_wanted and not self._is_watched:
            self._watcher.watch(self._fd, selectors.EVENT_WRITE, self._write)
        elif self._is_watched and not is_wanted:
            self._watcher.forget(self._fd)
        self._is_watched = is_wanted
