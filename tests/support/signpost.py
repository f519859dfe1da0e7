"""A named pipe by which a tool of a real agent tells the test that it runs."""

import os
import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import trio

from tests.support.processes import FoundProcess, processes_with

SLEEPER = "import sys, time; print('running', file=open(sys.argv[1], 'w'), flush=True); time.sleep(1000)"
PATIENCE = 30.0


@final
class Signpost:
    """Made by `open_signpost`."""

    def __init__(self, path: Path, stream: trio.lowlevel.FdStream) -> None:
        self._path = path
        self._stream = stream

    @property
    def sleeper(self) -> str:
        """A shell command that says that it runs, and then ends only when it is killed."""
        return f"python3 -c {shlex.quote(SLEEPER)} {shlex.quote(str(self._path))}"

    @property
    def waiter(self) -> str:
        """A shell command that ends when the test says `go`."""
        return f"head -n1 {shlex.quote(str(self._path))}"

    async def go(self) -> None:
        """Ends a waiter, now or when it comes by."""
        await self._stream.send_all(b"go\n")

    async def wait_reached(self) -> None:
        """Returns when a sleeper came by. Raises TooSlowError after `PATIENCE` seconds."""
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
    """The living processes of `Signpost.sleeper`, without the shells around them."""
    return [found for found in processes_with(marker) if found.command.startswith("python3 -c import sys, time")]


async def wait_no_sleepers(marker: str) -> None:
    """Returns when all of them are gone. Raises TooSlowError after `PATIENCE` seconds."""
    with trio.fail_after(PATIENCE):
        while sleepers(marker):
            await trio.sleep(0.01)
