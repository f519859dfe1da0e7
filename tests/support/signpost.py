"""A named pipe by which a tool of a real agent tells the test that it runs."""

import os
import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import trio

from tests.support.processes import FoundProcess, processes_with

FOREVER = "python3 -c 'import time; time.sleep(1000)'"
"""A command that ends only when it is killed."""
PATIENCE = 30.0


@final
class Signpost:
    """Made by `open_signpost`."""

    def __init__(self, path: Path, stream: trio.lowlevel.FdStream) -> None:
        self._path = path
        self._stream = stream

    def before(self, command: str) -> str:
        """A shell command that says that it runs, and then goes on as `command`."""
        return f"echo running > {shlex.quote(str(self._path))}; {command}"

    async def wait_reached(self) -> None:
        """Returns when a tool came by. Raises TooSlowError after `PATIENCE` seconds."""
        with trio.fail_after(PATIENCE):
            assert await self._stream.receive_some(len(b"running\n")) == b"running\n"


@asynccontextmanager
async def open_signpost(folder: Path) -> AsyncGenerator[Signpost]:
    """Opens both ends, so that nobody waits for the other."""
    path = folder / "signpost"
    os.mkfifo(path)
    async with trio.lowlevel.FdStream(os.open(path, os.O_RDWR | os.O_NONBLOCK)) as stream:
        yield Signpost(path, stream)


def sleepers(marker: str) -> list[FoundProcess]:
    """The living processes of `FOREVER`, without the shells around them."""
    return [found for found in processes_with(marker) if found.command.startswith("python3 -c import time")]
