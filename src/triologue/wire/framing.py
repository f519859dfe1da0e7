"""Bytes in any chunks become whole lines; pure, and linear in the bytes."""

from io import BytesIO
from operator import itemgetter
from typing import NamedTuple, final

# How much of a line that is too long is kept, so that a person can see what it was.
HEAD_BYTES = 1024

# Smaller pieces of a line are gathered up to the second size, because an object for each would take more than it holds.
_SMALL, _GATHERED = 4096, 65_536

# Faster than a loop with a slice in it.
_without_newline = itemgetter(slice(-1))

# Lines of fewer bytes, on the average of the last chunk, are short.
_SHORT = 2048


class LongLine(NamedTuple):
    """Stands for a line over the limit."""

    size: int
    head: bytes


@final
class Framer:
    """Splits a byte stream at newlines.

    Every byte is searched once, and the pieces of a line are joined once, when it ends. Searching or adding them up
    again would make one long line cost the square of its length.

    Args:
        max_line_bytes: longer lines are read to their end and dropped; a `LongLine` takes their place.
    """

    __slots__ = ("_are_short", "_limit", "_pieces", "_size")

    def __init__(self, max_line_bytes: int) -> None:
        self._limit = max_line_bytes
        # The beginning of a line whose end is not here yet; only its head once it is too long. What is more than small
        # is a view of its chunk, which it keeps in memory until the line ends.
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._size = 0
        self._are_short = False

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """Take in what one read gave; return the lines that it completed, without their newlines."""
        # `find` looks at many bytes at a time; `split` would look at each.
        end = chunk.find(b"\n")
        if end < 0:
            self._put_aside(chunk)
            return []
        if not self._size and len(chunk) <= self._limit:
            if end == len(chunk) - 1:  # one line and nothing else, as tokens come
                return [chunk[:-1]]
            if self._are_short and chunk.endswith(b"\n"):  # several of them have waited
                whole: list[bytes | LongLine] = [*map(_without_newline, BytesIO(chunk))]
                self._are_short = len(whole) * _SHORT > len(chunk)
                return whole
        # What belongs to a line in several chunks is copied once, when it is joined.
        view = memoryview(chunk)
        lines: list[bytes | LongLine] = []
        start = 0
        if self._size:
            self._put_aside(view[:end])
            lines.append(self._take())
            start = end + 1
        start = self._split(chunk, start, lines)
        if start < len(chunk):
            self._put_aside(view[start:])
        self._are_short = len(lines) * _SHORT > len(chunk)
        return lines if len(chunk) <= self._limit else [self._checked(line) for line in lines]

    def _split(self, chunk: bytes, start: int, lines: list[bytes | LongLine]) -> int:
        """Add the whole lines from `start` on; return where the rest begins."""
        if self._are_short:
            # To copy a short line twice costs less than to look for its end from here.
            stream = BytesIO(chunk)
            stream.seek(start)
            lines += map(_without_newline, stream)
            return len(chunk) if chunk.endswith(b"\n") else len(chunk) - len(lines.pop()) - 1
        find = chunk.find
        end = find(b"\n", start)
        while end >= 0:
            lines.append(chunk[start:end])
            start = end + 1
            end = find(b"\n", start)
        return start

    def close(self) -> list[bytes | LongLine]:
        """The stream has ended: what is left is a line too."""
        return [self._take()] if self._size else []

    def _put_aside(self, piece: bytes | memoryview) -> None:
        was_short = self._size <= self._limit
        self._size += len(piece)
        if self._size > self._limit:
            if was_short:
                self._pieces = [self._head(b"".join([*self._pieces, piece]))]
        elif len(piece) >= _SMALL:
            self._pieces.append(piece)
        elif self._pieces and isinstance(gathered := self._pieces[-1], bytearray) and len(gathered) < _GATHERED:
            gathered += piece
        else:
            self._pieces.append(bytearray(piece))

    def _take(self) -> bytes | LongLine:
        line, size = b"".join(self._pieces), self._size
        self._pieces, self._size = [], 0
        return line if size <= self._limit else LongLine(size, line)

    def _checked(self, line: bytes | LongLine) -> bytes | LongLine:
        if isinstance(line, LongLine) or len(line) <= self._limit:
            return line
        return LongLine(len(line), self._head(line))

    def _head(self, line: bytes) -> bytes:
        return line[: min(HEAD_BYTES, self._limit)]
