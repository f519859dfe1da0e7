"""What agents' processes weigh in memory, each with all its descendants."""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from triologue.agents.warden_process import look_at

PROC = Path("/proc")
KIB = 1024


def measure_trees(pids: Iterable[int]) -> dict[int, int] | None:
    """The bytes that each of these processes uses, with all its descendants; those that are gone are left out.

    Proportional set sizes, so that what processes share is counted once in all; of a process that we may not look into,
    as one of another user, its resident set. What a process left behind when it ended counts for nobody, and a tree
    within another one counts for both.

    Looks at every process of the machine once, and into those of the trees: 1 ms or so for each of an agent's. It
    blocks, so call it in a thread.

    Returns:
        None on a system without Linux's /proc, such as macOS, where nothing is measured.
    """
    if sys.platform != "linux":
        return None
    children = _children()
    sizes: dict[int, int] = {}
    totals: dict[int, int] = {}
    for root in dict.fromkeys(pids):
        tree = _tree(root, children)
        for pid in tree:
            if pid not in sizes:
                sizes[pid] = _size(pid)
        total = sum(sizes[pid] for pid in tree)
        if total:
            totals[root] = total
    return totals


def _children() -> dict[int, list[int]]:
    """By parent. Not of one instant: what is started or ends during the look may be missed until the next."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for name in os.listdir(PROC):  # noqa: PTH208 - half the time of Path.iterdir, for thousands of names
        if name.isdigit():
            try:
                seen, _ = look_at(int(name))
            except (OSError, IndexError):
                continue
            children[seen.parent].append(seen.pid)
    return children


def _tree(root: int, children: dict[int, list[int]]) -> list[int]:
    # A pid may be used again during the look, so that the parents form a circle.
    found = {root: None}
    queue = [root]
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid not in found:
                found[pid] = None
                queue.append(pid)
    return list(found)


def _size(pid: int) -> int:
    """Bytes; 0 for a process that is gone, or a zombie."""
    try:
        return _pss((PROC / str(pid) / "smaps_rollup").read_bytes())
    except (OSError, ValueError):
        pass
    try:
        return int((PROC / str(pid) / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _pss(rollup: bytes) -> int:
    """The line `Pss:  1234 kB`, in bytes. Raises `ValueError` if there is none."""
    for line in rollup.splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * KIB
    raise ValueError("no line of smaps_rollup begins with 'Pss:'")
