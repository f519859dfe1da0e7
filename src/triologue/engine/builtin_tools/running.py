"""Running a program so that nothing of it is left when the call is over, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final
from uuid import uuid4

import trio
from msgspec import Struct

COOKIE = "TRIOLOGUE_COMMAND"
"""In the environment of what is run; by it those are found that left the process group."""
GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""
DRAIN = 1.0
"""Seconds for the output of a program that has ended, when something else holds its pipes open."""
CLEAN_UP = 5.0

_SWEEPS = 20


class Ran(Struct, frozen=True, kw_only=True):
    """What became of a program."""

    code: int | None
    """Its exit status, negative for a signal; None when it had to be stopped, because its time was over."""
    stdout: str
    stderr: str


async def run_program(argv: Sequence[str], *, cwd: Path, timeout: float, keep: int) -> Ran:
    """Run a program with nothing on its stdin, in a session of its own.

    What it left running in its process group is killed when it ends. When its time is over, or the call is cancelled,
    all its descendants are: by SIGTERM, and soon by SIGKILL; on Linux also those in sessions of their own.

    Args:
        argv: the program and its arguments.
        cwd: where it runs.
        timeout: seconds that it gets.
        keep: bytes of its stdout, and of its stderr, that are kept: the beginning and the end.

    Raises:
        OSError: it cannot be started.
    """
    env: Mapping[str, str] = {**os.environ, COOKIE: f"{os.environ.get(COOKIE, '')} {uuid4()}".strip()}
    process = await trio.lowlevel.open_process(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )
    out, err = _Kept(keep), _Kept(keep)
    code: int | None = None
    is_over = False
    try:
        with trio.move_on_after(timeout):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(out.fill, process.stdout)
                nursery.start_soon(err.fill, process.stderr)
                code = await _wait(process)
                nursery.cancel_scope.deadline = trio.current_time() + DRAIN
            is_over = True
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(CLEAN_UP):
            if code is None:
                await _stop(process)
            if not is_over and sys.platform == "linux":
                await trio.to_thread.run_sync(_sweep, env[COOKIE].split()[-1].encode())
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()
    return Ran(code=code, stdout=out.text(), stderr=err.text())


async def _wait(process: trio.Process) -> int:
    """Wait for its end, and kill the rest of its group, on Linux while its number still belongs to it."""
    if (handle := _open_handle(process.pid)) is not None:
        try:
            await trio.lowlevel.wait_readable(handle)
        finally:
            trio.lowlevel.notify_closing(handle)
            os.close(handle)
        _signal_group(process.pid, signal.SIGKILL)
        return await process.wait()
    code = await process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    return code


def _open_handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid) if sys.platform == "linux" else None
    except OSError:  # an old kernel, or a sandbox that knows less
        return None


async def _stop(process: trio.Process) -> None:
    _signal_group(process.pid, signal.SIGTERM)
    with trio.move_on_after(GRACE) as waiting:
        await _wait(process)
    if waiting.cancelled_caught:
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        pass


def _sweep(cookie: bytes) -> None:
    """Kill every process that has the cookie. Again, until there is none: they may be starting others meanwhile."""
    for _ in range(_SWEEPS):
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = [pid for pid in pids if cookie in _environment(pid)]
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue


def _environment(pid: int) -> bytes:
    """The environment that a process was started with; nothing when it is a zombie, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@final
class _Kept:
    """Output of which the beginning and the end are kept, when it is long."""

    __slots__ = ("_half", "_head", "_tail", "_total")

    def __init__(self, keep: int) -> None:
        self._half = keep // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    async def fill(self, pipe: trio.abc.ReceiveStream | None) -> None:
        """Take all that comes."""
        assert pipe is not None
        async for data in pipe:
            self._total += len(data)
            room = self._half - len(self._head)
            self._head += data[:room]
            self._tail += data[room:]
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept, with a note where something is left out."""
        tail = self._tail[-self._half :]
        left_out = self._total - len(self._head) - len(tail)
        if not left_out:
            return (self._head + tail).decode("utf-8", "replace")
        note = f"\n... [{left_out} bytes left out] ...\n"
        return self._head.decode("utf-8", "replace") + note + tail.decode("utf-8", "replace")
