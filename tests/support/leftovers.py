"""What a test may not leave behind: processes, open files, threads, tasks."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import trio

PROC = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>

ROOT = "triologue.sdk root"
STAFF_OF_ROOT = {
    "triologue.actors.timers.Timers.run",
    "triologue.agents.pump.Pump.run",
    "triologue.agents.pump.TaskPerPipe._serve",
    "triologue.agents.warden.WardenLink.run",
    "triologue.loops._hold",
    "triologue.manager.draining.Draining.run",
    "triologue.manager.status.StatusSocket.serve",
    "triologue.supervision.shelf.Shelf.keep",
    "trio._highlevel_serve_listeners._serve_one_listener",
}


# Seconds. A thread of trio names itself idle a moment after the task that waited for it goes on; a big process that was
# killed takes a moment to give its memory back.
PATIENCE = 5.0

# Seconds. A process that has taken its SIGKILL, and has not begun to exit, looks alive for as long as it gets no processor.
MOMENT = 0.1

PF_EXITING = 0x4  # <linux/sched.h>


def adopt_orphans() -> None:
    """Make orphaned descendants our children, so that none can hide by a session of its own (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Belongings:
    """What this process has at one moment. Without /proc (macOS) processes are not looked at."""

    processes: dict[int, str]
    files: dict[int, str]
    threads: dict[int, str]

    @classmethod
    def now(cls) -> Self:
        reap_orphans()
        return cls(processes=descendants(), files=open_files(), threads=busy_threads())

    def since(self, before: Self) -> list[str]:
        """One line for each thing that was not there `before`."""
        return [
            *(f"process {pid}: {name}" for pid, name in self.processes.items() if before.processes.get(pid) is None),
            *(f"open file {fd}: {name}" for fd, name in self.files.items() if before.files.get(fd) != name),
            *(f"thread {name}" for ident, name in self.threads.items() if ident not in before.threads),
        ]


def descendants(pid: int | None = None) -> dict[int, str]:
    """Every living process below `pid` (default: this one) with its command line. A zombie is not living."""
    found: dict[int, str] = {}
    for child in _children(os.getpid() if pid is None else pid):
        if is_alive(child):
            found[child] = _command_line(child)
        found |= descendants(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    if not PROC.is_dir():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return _state(pid) not in ("", "X", "Z")


def is_dying(pid: int) -> bool:
    """Whether nothing can stop the end of this process any more: it is exiting, or SIGKILL is on its way to it (Linux)."""
    try:
        flags = int((PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[6])
        status = (PROC / str(pid) / "status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return bool(flags & PF_EXITING) or any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)


def reap_orphans() -> None:
    """Wait for our zombies: orphans that we adopted end as such, since nobody else waits for them."""
    for child in _children(os.getpid()):
        if _state(child) == "Z":
            try:
                os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                pass


def kill_descendants() -> None:
    """Kill what a test left, so that it harms no other test."""
    while living := descendants():
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap_orphans()


def open_files() -> dict[int, str]:
    """Every open file descriptor of this process and what it is open on."""
    folder = PROC / "self" / "fd"
    if not folder.is_dir():
        return {int(entry.name): "?" for entry in Path("/dev/fd").iterdir() if _is_open(int(entry.name))}
    found: dict[int, str] = {}
    for entry in folder.iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:
            pass  # the descriptor that listed the folder
    return found


def busy_threads() -> dict[int, str]:
    """Every thread but trio's cached workers: those linger idle for ten seconds, by design, and take another name when busy."""
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if thread.ident is not None and not thread.name.startswith("Trio thread")
    }


def let_ends_finish(before: Belongings) -> None:
    """Wait for what is on its way out: processes that were killed, threads that are done or were abandoned."""
    until = time.monotonic() + PATIENCE
    alive_since: dict[int, float] = {}
    while (now := time.monotonic()) < until:
        left = descendants().keys() - before.processes.keys()
        alive_since = {pid: alive_since.get(pid, now) for pid in left if not is_dying(pid)}
        is_settled = len(alive_since) == len(left) and all(now - since > MOMENT for since in alive_since.values())
        if is_settled and not busy_threads().keys() - before.threads.keys():
            return
        time.sleep(0.002)


def run_to_the_last_task(main: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
    """`trio.run`, which fails when `main` ends before a task that it caused outside its own nurseries."""

    async def checked() -> Any:
        root = trio.lowlevel.current_root_task()
        assert root is not None
        before = set(_tasks_below(root))
        result = await main(*args)
        left = [task.name for task in _tasks_below(root) if task not in before | _idle_roots(root)]
        assert not left, f"tasks left behind: {left}"
        return result

    return trio.run(checked, **options)


def _idle_roots(root: trio.lowlevel.Task) -> set[trio.lowlevel.Task]:
    """The one task per run that the SDK-shaped faces keep, with its staff; nothing that belongs to a conversation."""
    found: set[trio.lowlevel.Task] = set()
    for task in _tasks_below(root):
        if task.name == ROOT:
            found |= {task, *(below for below in _tasks_below(task) if below.name in STAFF_OF_ROOT)}
    return found


def _tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _tasks_below(child)


def _children(pid: int) -> list[int]:
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []
    found: list[int] = []
    for thread in threads:
        try:
            found += map(int, (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # that thread or process has just ended
    return found


def _state(pid: int) -> str:
    """The state letter of `proc(5)`; empty when the process is gone."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def _command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except (FileNotFoundError, ProcessLookupError):
        return "just ended"


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
