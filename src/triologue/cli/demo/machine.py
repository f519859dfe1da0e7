"""What this process has and uses: memory, children, tasks, files."""

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import trio
from msgspec import Struct

from triologue.agents import measure_trees

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "statm").exists()


def own_memory() -> int:
    """Bytes of this process that are in memory; without /proc the most there ever were."""
    if HAS_PROC:
        return int((PROC / "self" / "statm").read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def agents_memory(pids: Iterable[int]) -> int | None:
    """Bytes of agents' processes and what they started, shared pages counted in parts (PSS); None without /proc."""
    sizes = measure_trees(pids)
    return sum(sizes.values()) if sizes is not None else None


class Belongings(Struct, frozen=True):
    """What can leak, at one moment."""

    processes: frozenset[int]
    tasks: frozenset[trio.lowlevel.Task]
    files: frozenset[str]

    @classmethod
    def now(cls) -> Self:
        """Look."""
        root = trio.lowlevel.current_root_task()
        tasks = frozenset(_tasks_below(root)) if root is not None else frozenset[trio.lowlevel.Task]()
        return cls(frozenset(_descendants(os.getpid())), tasks, frozenset(_open_files()))

    def leaked_since(self, before: Self, seen_pids: Iterable[int]) -> list[str]:
        """One line for each thing that was not there before; `seen_pids` are agents that must be gone."""
        processes = (self.processes - before.processes) | {pid for pid in seen_pids if _is_alive(pid)}
        return [
            *(f"process {pid}" for pid in sorted(processes)),
            *(f"task {task.name}" for task in self.tasks - before.tasks),
            *(f"open file {name}" for name in sorted(self.files - before.files)),
        ]


def _tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _tasks_below(child)


def _descendants(pid: int) -> Iterator[int]:
    for entry in PROC.glob(f"{pid}/task/*/children"):
        for child in map(int, (_read(entry) or "").split()):
            yield child
            yield from _descendants(child)


def _open_files() -> Iterator[str]:
    folder = PROC / "self" / "fd" if HAS_PROC else Path("/dev/fd")
    for entry in folder.iterdir():
        try:
            yield f"{entry.name}: {entry.readlink()}" if HAS_PROC else entry.name
        except OSError:
            pass  # the descriptor that lists the folder


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the number belongs to somebody else's process by now
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None  # it has just ended, or is not ours to read
