"""The ledger: a file that tells, as long as agents' processes run, whose they are and how they are found.

It stays where neither the host nor the warden lived to remove it; then `leftovers` of a later run reads it. The host
holds a lock on it, which ends with the host, however that ends.
"""

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Self, final

import msgspec
from msgspec import Struct

from triologue.agents.marks import Mark, own_mark, pid_space, start_of
from triologue.agents.runtime import make_runtime_folder, program_name

logger = logging.getLogger(__name__)

SUFFIX = ".ledger"


class Entry(Struct, frozen=True, kw_only=True):
    """What a ledger says."""

    host: Mark
    warden: Mark | None
    """None where agents are started by the host itself."""
    token: str
    """What the cookies of all its agents begin with, before a colon."""
    space: str
    """In which its pids have their meaning."""
    program: str
    """What the host runs."""
    began: float
    """When, in seconds since the epoch."""


@final
class Ledger:
    """A ledger that is being kept. Made by `open`."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def open(cls, token: str, warden: int | None) -> Self | None:
        """Begin one; None where that cannot be, which is logged: it must not stop anybody.

        Args:
            token: what the cookies of the agents begin with.
            warden: its pid, if there is one.
        """
        host = own_mark()
        entry = Entry(
            host=host,
            warden=None if warden is None else Mark(warden, start_of(warden) or ""),
            token=token,
            space=pid_space(),
            program=program_name(),
            began=time.time(),
        )
        try:
            path = make_runtime_folder() / f"{prefix_of(host)}{token}{SUFFIX}"
            return cls(path, _write(path, msgspec.json.encode(entry)))
        except OSError as error:
            logger.warning("no ledger of agents, so what outlives this program would not be found: %s", error)
            return None

    def close(self, *, is_clean: bool) -> None:
        """End it; it stays, for a later run, where something was left behind."""
        try:
            if is_clean:
                self._path.unlink(missing_ok=True)
        except OSError as error:  # a disk that is read-only by now, say
            logger.warning("the ledger %s stays, and the next run looks at it: %s", self._path, error)
        finally:
            os.close(self._fd)


def _write(path: Path, content: bytes) -> int:
    """Write it whole, and locked, before it has its name; returns the descriptor that holds the lock."""
    draft = path.with_suffix(".draft")
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Of this process and no forked copy of it; lost when any descriptor of the file is closed here.
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, content)
        draft.rename(path)
    except BaseException:
        os.close(fd)
        draft.unlink(missing_ok=True)
        raise
    return fd


def prefix_of(host: Mark) -> str:
    """What the names of a host's ledgers begin with."""
    return f"{host.pid}-{host.start.replace(' ', '_')}-"
