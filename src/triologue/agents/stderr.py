"""What an agent writes to stderr: by lines to whoever wants them, and its end for the error that may follow."""

import codecs
import logging
from collections.abc import Callable
from typing import final

logger = logging.getLogger(__name__)

TAIL = 64 * 1024
"""Bytes of stderr that are kept."""
MAX_LINE = 64 * 1024
"""Characters; what has no line end for longer is handed on as a line."""


@final
class ErrorOutput:
    """Takes chunks of stderr; a callback that raises loses its line and nothing else.

    Args:
        on_line: the callback, if there is one.
        whose: the agent's program, for the log file.
    """

    def __init__(self, on_line: Callable[[str], None] | None, whose: str = "") -> None:
        self._on_line = on_line
        self._whose = whose
        self._failures = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._line = ""
        self._tail = bytearray()

    def feed(self, *chunks: bytes) -> None:
        """Take what was read, in any chunks."""
        for chunk in chunks:
            self._tail += chunk
            del self._tail[:-TAIL]
            if self._on_line is not None:
                self._split(self._decode(chunk))

    def close(self) -> None:
        """The stream has ended: a last line without an end counts too."""
        if self._on_line is not None:
            self._split(self._decode(b"", True))
            if self._line:
                self._call(self._line)
                self._line = ""
        if self._failures > 1:
            logger.error("the stderr callback of %r raised %d times", self._whose, self._failures)

    def read_tail(self) -> str:
        """The end of all that was taken, at most `TAIL` bytes of it."""
        # The cut may have gone through a character.
        return self._tail.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")

    def _split(self, text: str) -> None:
        # Not `splitlines`, which sees line ends where a program meant none, as in U+2028.
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._call(line.removesuffix("\r"))
        if len(self._line) >= MAX_LINE:
            self._call(self._line)
            self._line = ""

    def _call(self, line: str) -> None:
        assert self._on_line is not None
        try:
            self._on_line(line)
        except Exception:
            self._failures += 1
            if self._failures == 1:  # an agent that writes a lot would fill the log with one bug
                logger.exception("the stderr callback of %r raised; further lines are counted", self._whose)
