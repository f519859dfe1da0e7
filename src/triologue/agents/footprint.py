"""What agents weigh: their processes with all that is below them."""

import resource
from collections.abc import Iterator
from pathlib import Path

from triologue.agents.marks import HAS_PROC


def tree_rss(pid: int) -> int | None:
    """Bytes of a process and what is below it that are in memory; shared pages count in each. None without /proc.

    A read of some files for each process: what has just ended counts nothing.
    """
    if not HAS_PROC:
        return None
    pages = sum(_resident_pages(each) for each in (pid, *_below(pid)))
    return pages * resource.getpagesize()


def _resident_pages(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) if fields else 0


def _below(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _read(file).split()):
            yield child
            yield from _below(child)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
