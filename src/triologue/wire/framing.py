"""Bytes in any chunks become whole lines; pure, and linear in the bytes."""

from typing import NamedTuple, final

# How much of a line that is too long is kept, so that a person can see what it was.
HEAD_BYTES = 1024

# Smaller pieces of a line are gathered up to the second size, because an object for each would take more than it holds.
_SMALL, _GATHERED = 4096, 65_536


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

    def __init__(self, max_line_bytes: int) -> None:
        self._limit = max_line_bytes
        # The beginning of a line whose end is not here yet; only its head once it is too long.
        self._pieces: list[bytes | bytearray] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """Take in what one read gave; return the lines that it completed, without their newlines."""
        # `find` looks at many bytes at a time; `split` would look at each.
        find = chunk.find
        end = find(b"\n")
        if end < 0:
            self._put_aside(chunk)
            return []
        lines: list[bytes | LongLine] = []
        start = 0
        if self._size:
            self._put_aside(chunk[:end])
            lines.append(self._take())
            start = end + 1
            end = find(b"\n", start)
        while end >= 0:
            lines.append(chunk[start:end])
            start = end + 1
            end = find(b"\n", start)
        if start < len(chunk):
            self._put_aside(chunk[start:])
        return lines if len(chunk) <= self._limit else [self._checked(line) for line in lines]

    def close(self) -> list[bytes | LongLine]:
        """The stream has ended: what is left is a line too."""
        return [self._take()] if self._size else []

    def _put_aside(self, piece: bytes) -> None:
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
