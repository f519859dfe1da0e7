"""Marks of processes: a pid with a start time, so that a later process with the same pid is never taken for it."""

import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path

from msgspec import Struct

from triologue.agents.warden_process import look_at

HAS_PROC = Path("/proc/self/environ").exists()


class Mark(Struct, frozen=True):
    """A process; its start time tells it from a later one with the same pid."""

    pid: int
    start: str

    @property
    def is_alive(self) -> bool:
        """Is it there, and no zombie?"""
        return start_of(self.pid) == self.start


def own_mark() -> Mark:
    """This process."""
    return Mark(os.getpid(), start_of(os.getpid()) or "")


def start_of(pid: int) -> str | None:
    """When a process was started, in words of the system; None when it is gone, or a zombie."""
    if not HAS_PROC:
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False).stdout
        return told.decode(errors="replace").strip() or None
    try:
        seen, is_zombie = look_at(pid)
    except (OSError, IndexError):
        return None
    return None if is_zombie else seen.start.decode()


def pid_space() -> str:
    """Names the start of the machine and, in a container, what pids mean there.

    Where there is no /proc it names the machine alone: by its host name and a network address, of which either may be that
    of another machine too, or change. A process of a space that is not this one is not known to be dead.
    """
    if not HAS_PROC:
        return f"{sys.platform}/{socket.gethostname()}/{uuid.getnode():012x}"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
