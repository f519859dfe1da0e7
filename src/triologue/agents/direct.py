"""Processes without a warden, for systems that have no subreaper: started by the host, swept by their cookie.

This is weaker than a warden: when the host itself is killed, nothing is killed before the next run finds it; and what
cleared its environment and left its family is not found.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, final

import trio

from triologue.agents.ledger import Ledger
from triologue.agents.marks import HAS_PROC
from triologue.agents.spawner import SWEEP_PATIENCE, Launch
from triologue.agents.warden_process import COOKIE, Seen, Table, below, kill, look_around, read_cookies, with_cookie
from triologue.errors import AgentStartError
from triologue.loops import NoThread, in_thread
from triologue.ports import Account

LOOK_AGAIN = 0.01


@final
class DirectSpawner:
    """Starts processes as children of the host."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = secrets.token_hex(8)
        self._last_number = 0
        self._running: set[DirectChild] = set()
        self._starting = trio.Lock()
        self._ledger: Ledger | None = None
        self._is_closed = False

    async def spawn(self, launch: Launch, on_exit: Callable[[int], None]) -> "DirectChild":
        """Start a process; see `Spawner.spawn`."""
        async with self._starting:
            if self._is_closed:
                raise AgentStartError(f"cannot start {launch.argv[0]!r}: this carrier is closed; open another")
            if not self._last_number:
                self._ledger = Ledger.open(self._token, None)
            self._last_number += 1
            cookie = f"{self._token}:{self._last_number}"
            stdin, stdout, stderr = launch.fds
            # Not cancelled half-way: a process is not started yet, or it is returned.
            process = await trio.lowlevel.open_process(
                launch.argv,
                env=with_cookie(launch.env, cookie),
                cwd=launch.cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                **identity(launch.account),
            )
            child = DirectChild(process, cookie)
            self._running.add(child)
            self._nursery.start_soon(self._watch, child, on_exit)
        return child

    async def aclose(self) -> None:
        """Kill whatever is left; see `Spawner.aclose`."""
        self._is_closed = True
        async with self._starting:
            left = await sweep(f"{self._token}:")
            if self._ledger is not None:
                self._ledger.close(is_clean=not left)
                self._ledger = None
        with trio.move_on_after(SWEEP_PATIENCE):
            for child in list(self._running):
                await child.exited.wait()

    async def _watch(self, child: "DirectChild", on_exit: Callable[[int], None]) -> None:
        try:
            await child.process.wait()
        finally:
            self._running.discard(child)
            code = child.process.returncode
            on_exit(code if code is not None else -signal.SIGKILL)
            child.exited.set()


@final
class DirectChild:
    """A child of the host."""

    def __init__(self, process: trio.Process, cookie: str) -> None:
        self.process = process
        self.exited = trio.Event()
        self._cookie = cookie

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def signal(self, number: int) -> None:
        """Signal the process; see `Child.signal`."""
        with contextlib.suppress(PermissionError):  # it has become another user's
            self.process.send_signal(number)

    async def descendants(self) -> list[int]:
        """What is alive below it; see `Child.descendants`."""
        found = await trio.to_thread.run_sync(find_by_cookie, self._cookie)
        return [seen.pid for seen in found if seen.pid != self.pid]

    async def sweep(self) -> list[int]:
        """Kill it and what it left; see `Child.sweep`."""
        return await sweep(self._cookie)


def identity(account: Account | None) -> dict[str, Any]:
    """What makes a new process this user's, as `subprocess.Popen` takes it."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}


async def sweep(cookie: str) -> list[int]:
    """As `sweep_by_cookie`; in a thread, if there is one."""
    try:
        return await in_thread(sweep_by_cookie, cookie, SWEEP_PATIENCE)
    except NoThread:
        return sweep_by_cookie(cookie, SWEEP_PATIENCE)


def sweep_by_cookie(cookie: str, patience: float) -> list[int]:
    """Kill whatever carries this cookie, and what is below it; blocks. Returns what is alive all the same.

    Args:
        cookie: `token:number` of a child; `token:` for all children of a host.
        patience: seconds until this gives up.
    """
    deadline = time.monotonic() + patience
    while left := find_by_cookie(cookie):
        if time.monotonic() >= deadline:
            break
        for seen in left:
            if HAS_PROC:
                kill(seen)
            else:
                with contextlib.suppress(OSError):
                    os.kill(seen.pid, signal.SIGKILL)
        time.sleep(LOOK_AGAIN)
    return [seen.pid for seen in left]


def find_by_cookie(cookie: str) -> list[Seen]:
    """What is alive with this cookie, and what is below it."""
    table, cookies = (look_around(), None) if HAS_PROC else look_with_ps()
    roots = []
    for pid in table:
        carried = read_cookies(pid) if cookies is None else cookies[pid]
        if any(one == cookie or (cookie.endswith(":") and one.startswith(cookie)) for one in carried):
            roots.append(pid)
    return below(roots, table)


def look_with_ps() -> tuple[Table, dict[int, list[str]]]:
    """Every process but zombies, and its cookies, where there is no /proc. `ps -E` shows the environment on macOS."""
    shown = subprocess.run(
        ["ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,stat=,command="], capture_output=True, check=False
    ).stdout.decode(errors="replace")
    table, cookies = {}, {}
    for line in shown.splitlines():
        with contextlib.suppress(ValueError):
            pid, parent, state, command = line.split(None, 3)
            if not state.startswith("Z"):
                table[int(pid)] = Seen(int(pid), int(parent), b"")
                cookies[int(pid)] = command.replace(f"{COOKIE}=", " ").split()
    return table, cookies
