"""Leftovers: what an earlier run left alive because neither it nor its warden lived to end it, found and reaped."""

import fcntl
import logging
import os
import threading
import time
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from triologue.agents.direct import find_by_cookie, sweep_by_cookie
from triologue.agents.ledger import SUFFIX, Entry, prefix_of
from triologue.agents.marks import own_mark, pid_space
from triologue.agents.runtime import told_there
from triologue.agents.spawner import SWEEP_PATIENCE
from triologue.agents.warden_process import COOKIE, LAST_PATIENCE, Seen, kill
from triologue.loops import in_thread

logger = logging.getLogger(__name__)

WARDEN_PATIENCE = LAST_PATIENCE + 2.0
"""Seconds for a warden to do its last work by itself; it also finds what has no cookie."""
PATIENCE = 30.0
"""Seconds after which no further ledger is begun with."""
LOOK_AGAIN = 0.01
NAMED = 10
"""Processes that the log names."""

# A lock on a file is of the whole process.
_one_at_a_time = threading.Lock()


class Leftovers(Struct, frozen=True, kw_only=True):
    """What was found of earlier runs when this one began."""

    runs: int = 0
    """Earlier runs that did not end by themselves."""
    processes: int = 0
    """Processes of theirs that were still alive, and were killed."""
    left: tuple[int, ...] = ()
    """Pids of those that could not be killed; the next run looks for them again."""


async def reap_leftovers() -> Leftovers:
    """Kill what earlier runs of this user left behind, in bounded time; what runs of others that are alive have stays.

    Costs nothing where there is no ledger of another process.
    """
    ours = prefix_of(own_mark())
    paths = [path for path in told_there(f"*{SUFFIX}") if not path.name.startswith(ours)]
    if not paths:
        return Leftovers()
    return await in_thread(reap_ledgers, paths, abandon_on_cancel=True)


def reap_ledgers(paths: list[Path]) -> Leftovers:
    """The same for these ledgers, none of which is of this process; blocks."""
    runs, processes = 0, 0
    left: list[int] = []
    deadline = time.monotonic() + PATIENCE
    with _one_at_a_time:
        for path in paths:
            if time.monotonic() > deadline:
                logger.warning("no time for the ledger %s; the next run looks at it", path)
                continue
            found = _reap(path)
            if found is not None:
                runs, processes, left = runs + 1, processes + found.processes, [*left, *found.left]
    return Leftovers(runs=runs, processes=processes, left=tuple(left))


def _reap(path: Path) -> Leftovers | None:
    """One ledger; None when its host is alive, or somebody else is at it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_uid != os.geteuid():  # it names processes that are to be killed
            return None
        entry = _read(path, fd)
        if entry is None or _is_ours_to_leave(entry):
            return None
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        if os.fstat(fd).st_nlink == 0:  # somebody was quicker
            return None
        found = _end_what_is_left(entry)
        if not found.left:
            path.unlink(missing_ok=True)
        return found
    except OSError as error:
        logger.warning("the ledger %s of an earlier run cannot be dealt with: %s", path, error)
        return None
    finally:
        os.close(fd)


def _read(path: Path, fd: int) -> Entry | None:
    try:
        return msgspec.json.decode(os.pread(fd, 65_536, 0), type=Entry)
    except msgspec.DecodeError as error:
        logger.warning("the ledger %s of an earlier run cannot be read, and is removed: %s", path, error)
        path.unlink(missing_ok=True)
        return None


def _is_ours_to_leave(entry: Entry) -> bool:
    """Is its host alive; or is it this very program that would be killed, as an agent's child of that run?"""
    above = {cookie.partition(":")[0] for cookie in os.environ.get(COOKIE, "").split()}
    return entry.token in above or (entry.space == pid_space() and entry.host.is_alive)


def _end_what_is_left(entry: Entry) -> Leftovers:
    warden = entry.warden if entry.space == pid_space() else None
    if warden is not None:
        deadline = time.monotonic() + WARDEN_PATIENCE
        while warden.is_alive and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN)
    # `kill` compares start times once it has hold of the process, so what has a cookie here is what is hit there.
    found = find_by_cookie(f"{entry.token}:")
    names = [f"{seen.pid} {_name_of(seen.pid)}" for seen in found[:NAMED]]
    left = sweep_by_cookie(f"{entry.token}:", SWEEP_PATIENCE)
    if warden is not None and warden.is_alive:
        kill(Seen(warden.pid, 0, warden.start.encode()))
    _report(entry, len(found), names, left)
    return Leftovers(runs=1, processes=len(found), left=tuple(left))


def _report(entry: Entry, count: int, names: list[str], left: list[int]) -> None:
    began = datetime.fromtimestamp(entry.began).astimezone().isoformat(timespec="seconds")
    if count > len(names):
        names = [*names, f"{count - len(names)} more"]
    what = f"{count} processes of its agents, which were killed: {', '.join(names)}" if count else "nothing"
    logger.warning(
        "%s (pid %s, begun %s) did not end by itself, and left %s", entry.program, entry.host.pid, began, what
    )
    if left:
        logger.error("cannot kill what an earlier run left behind: pids %s", left)


def _name_of(pid: int) -> str:
    """The program, without arguments: those may hold secrets."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
