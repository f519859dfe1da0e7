"""Finding the processes that a test has left behind, by a variable in their environment (Linux)."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import trio

MARKER = "TRIOLOGUE_TEST_MARKER"


@dataclass(frozen=True)
class FoundProcess:
    pid: int
    command: str


def processes_with(marker: str) -> list[FoundProcess]:
    """All living processes, of any parent, that were started with `TRIOLOGUE_TEST_MARKER=marker`.

    Zombies are not living. What clears its environment is not seen.
    """
    wanted = f"{MARKER}={marker}".encode()
    commands = {folder.name: _command_if_marked(folder, wanted) for folder in Path("/proc").glob("[0-9]*")}
    return [FoundProcess(int(name), command) for name, command in commands.items() if command is not None]


def _command_if_marked(folder: Path, wanted: bytes) -> str | None:
    try:
        if wanted not in (folder / "environ").read_bytes().split(b"\0"):
            return None
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        # Gone meanwhile, or not ours to read.
        return None


async def wait_none_with(marker: str, *, patience: float = 10.0) -> None:
    """Returns when no process has the marker; raises AssertionError with their commands after `patience` seconds."""
    with trio.move_on_after(patience):
        while found := processes_with(marker):
            for process in found:
                await _wait_gone(process.pid)
        return
    raise AssertionError(f"still alive after {patience} s: {processes_with(marker)}")


async def _wait_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        # Reaped between the look and now; a checkpoint keeps the caller's loop cancellable.
        await trio.lowlevel.checkpoint()
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def kill_all_with(marker: str) -> list[FoundProcess]:
    """Kills what has the marker, and says what that was: the broom behind a failed test."""
    killed = processes_with(marker)
    for process in killed:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return killed
