"""Lines from standard input, read without stopping the loop, and without a thread that nobody could end."""

import os
import select
from typing import final

import trio

CHUNK = 65_536


@final
class LineReader:
    """Reads lines of a terminal in its usual mode, of a pipe or of a file. For one task.

    Args:
        fd: where to read.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._is_over = False

    async def read(self) -> str | None:
        """The next line without its end; None when there is no more."""
        while b"\n" not in self._rest and not self._is_over:
            await self._wait()
            if not select.select([self._fd], [], [], 0)[0]:
                continue  # a Ctrl-C has emptied the terminal's line meanwhile: to read would stop the loop
            chunk = os.read(self._fd, CHUNK)
            self._rest += chunk
            self._is_over = not chunk
        if self._is_over and not self._rest:
            return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    async def _wait(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except PermissionError:
            await trio.lowlevel.checkpoint()  # a file, which is always ready
