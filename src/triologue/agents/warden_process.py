"""The warden: a small process that is the parent of a host's agents, and leaves none of them behind.

It runs as a file of its own (`python -I -S -E warden_process.py <host pid> <token>`), so it imports the standard
library only. Its standard input is a stream socket to the host, with one JSON object to a line in both directions:

    host to warden                                          warden to host
    {"id", "do": "spawn", "argv", "env", "cwd",             {"id", "pid"} or {"id", "errno", "strerror", "filename"}
        "identity"} + 3 fds
    {"id", "do": "signal", "child", "number"}               {"id"}
    {"id", "do": "descendants", "child"}                    {"id", "pids"}
    {"id", "do": "sweep", "child", "patience"}              {"id", "pids"}: what could not be killed
                                                            {"exit": child, "code"}
                                                            {"fatal": traceback}: the last words

A child's number is the id of the request that spawned it. Text that came from the operating system (argv, env, cwd)
travels as its bytes, read as latin-1; `identity` is what `subprocess.Popen` takes to make it another user's. When the host's end closes, or the host is gone, everything below is killed.
"""

import array
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

COOKIE = "TRIOLOGUE_COOKIE"
PR_SET_CHILD_SUBREAPER = 36

# /proc is not read at one instant: a look during which something vanished may have missed a child of what vanished.
LOOKS = 5
# Between two looks at what is being killed. What the warden adopted announces its end by SIGCHLD before that.
LOOK_AGAIN = 0.01
# For what was killed to be gone, when the warden itself ends.
LAST_PATIENCE = 5.0


class Seen(NamedTuple):
    """A process that is no zombie; its start time tells it from a later one with the same pid."""

    pid: int
    parent: int
    start: bytes


Table = dict[int, Seen]


def look_at(pid: int) -> tuple[Seen, bool]:
    """Look at one process: itself, and whether it is a zombie. Raises OSError if it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The second field is the program's name in brackets, and may hold anything, brackets and spaces too.
        fields = file.read().rpartition(b")")[2].split()
    # A process whose first thread has ended looks like a zombie too, but its other threads run.
    return Seen(pid, int(fields[1]), fields[19]), fields[0] in (b"Z", b"X") and int(fields[17]) <= 1


def look_around() -> Table:
    """Every process but zombies, by pid."""
    table: Table = {}
    for _ in range(LOOKS):
        table, parents, steady = {}, {0}, True
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    seen, is_zombie = look_at(int(name))
                except (OSError, IndexError):
                    steady = False
                    continue
                parents.add(seen.pid)
                if not is_zombie:
                    table[seen.pid] = seen
        if steady and all(seen.parent in parents for seen in table.values()):
            break
    return table


def below(roots: Iterable[int], table: Table) -> list[Seen]:
    """These processes, as far as they are alive, and all their descendants."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for seen in table.values():
        children[seen.parent].append(seen.pid)
    found: dict[int, None] = {}
    queue = deque(roots)
    while queue:
        pid = queue.popleft()
        if pid not in found:
            found[pid] = None
            queue.extend(children[pid])
    return [table[pid] for pid in found if pid in table]


def read_cookies(pid: int) -> list[str]:
    """The cookies in a process's environment: one for each host that it is below of. Empty if it cannot be read."""
    try:
        entries = read_environ(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []
    name = f"{COOKIE}=".encode()
    values = b" ".join(entry.removeprefix(name) for entry in entries if entry.startswith(name))
    return values.decode("latin-1").split()


def read_environ(path: str) -> bytes:
    """The environment of a process. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        # Another user's, and a root without the right to trace (in a container) cannot look: that user can. Both
        # calls are about this thread alone, and do nothing for who is not root.
        owner, libc = os.stat(path), ctypes.CDLL(None)
        libc.setfsgid(owner.st_gid)
        libc.setfsuid(owner.st_uid)
        try:
            with open(path, "rb") as file:
                return file.read()
        finally:
            libc.setfsuid(os.geteuid())
            libc.setfsgid(os.getegid())


def with_cookie(env: dict[str, str], cookie: str) -> dict[str, str]:
    """This environment with one cookie more; those of hosts further up stay, for they will look for them."""
    inherited = f"{os.environ.get(COOKIE, '')} {env.get(COOKIE, '')}".split()
    return {**env, COOKIE: " ".join(dict.fromkeys([*inherited, cookie]))}


def open_handle(pid: int) -> int:
    """A pidfd; -1 if the process is gone, or if the system has none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def kill(seen: Seen) -> None:
    """SIGKILL to this process, never to a later one that was given its pid."""
    handle = open_handle(seen.pid)
    try:
        if look_at(seen.pid)[0].start != seen.start:
            return
        if handle >= 0:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            os.kill(seen.pid, signal.SIGKILL)
    except OSError:
        pass  # gone meanwhile, or not ours to kill: the next look tells
    finally:
        if handle >= 0:
            os.close(handle)


def from_wire(text: str) -> bytes:
    """What the operating system is to be given."""
    return text.encode("latin-1")


class HostGone(Exception):
    """Nobody is left to hold agents for."""


class Sweep(NamedTuple):
    """Killing what a child left behind, under way."""

    request: int
    deadline: float


class Warden:
    """One thread, one loop: requests, deaths, and what is being swept."""

    def __init__(self, channel: socket.socket, *, host: int, token: str) -> None:
        self._channel = channel
        self._token = token
        self._inbox = bytearray()
        self._fds: deque[int] = deque()
        self._running: dict[int, int] = {}  # pid -> child, until reaped
        self._open: dict[int, int] = {}  # child -> pid, until swept
        self._sweeps: dict[int, Sweep] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, self._receive)
        self._watch_deaths()
        self._watch_host(host)

    def run(self) -> None:
        """Serve until the host is gone."""
        while True:
            for key, _ in self._selector.select(LOOK_AGAIN if self._sweeps else None):
                key.data()
            self._reap()
            if self._sweeps:
                self._sweep()

    def end(self) -> None:
        """Kill everything below; returns when nothing is left, or not within `LAST_PATIENCE`."""
        self._selector.unregister(self._channel)
        if self._host >= 0:
            self._selector.unregister(self._host)
        deadline = time.monotonic() + LAST_PATIENCE
        while left := below([os.getpid()], look_around())[1:]:
            for seen in left:
                kill(seen)
            if time.monotonic() > deadline:
                break
            for key, _ in self._selector.select(LOOK_AGAIN):
                key.data()
            self._reap()
        self._reap()

    def _watch_deaths(self) -> None:
        self._deaths, wake = os.pipe()
        os.set_blocking(self._deaths, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # A handler, and not SIG_IGN, which the agents would inherit. A terminal's or a service manager's signals are
        # for the host to act on: as long as it is there the warden stays.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, ignore)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._selector.register(self._deaths, selectors.EVENT_READ, self._drain_deaths)

    def _watch_host(self, host: int) -> None:
        """Notice the host's end also where a forked copy of it holds its end of the channel open."""
        self._host = open_handle(host)
        if self._host >= 0:
            self._selector.register(self._host, selectors.EVENT_READ, self._leave)
        if os.getppid() != host:
            raise HostGone

    def _leave(self) -> None:
        raise HostGone

    def _drain_deaths(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._deaths, 4096)

    def _receive(self) -> None:
        space = socket.CMSG_SPACE(3 * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._channel.recvmsg(65536, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            raise HostGone from None
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds.extend(array.array("i", payload))
        if flags & socket.MSG_CTRUNC:
            raise RuntimeError("the kernel dropped file descriptors on their way: too many open files?")
        if not data:
            raise HostGone
        self._inbox += data
        if b"\n" in data:
            *lines, rest = self._inbox.split(b"\n")
            self._inbox = rest
            for line in lines:
                self._answer(json.loads(line))

    def _send(self, **message: Any) -> None:
        # Where the host is gone, the next read says so.
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _answer(self, request: dict[str, Any]) -> None:
        do: dict[str, Callable[[dict[str, Any]], None]] = {
            "spawn": self._spawn,
            "signal": self._signal,
            "descendants": self._descendants,
            "sweep": self._begin_sweep,
        }
        do[request["do"]](request)

    def _spawn(self, request: dict[str, Any]) -> None:
        child = request["id"]
        fds = [self._fds.popleft() for _ in range(3)]
        try:
            pid = self._start(child, request, fds)
        except OSError as error:
            filename = os.fsencode(error.filename or b"").decode("latin-1")
            answer = {"errno": error.errno, "strerror": error.strerror, "filename": filename}
        except Exception as error:  # noqa: BLE001 - arguments that no program can be given
            answer = {"errno": None, "strerror": str(error), "filename": ""}
        else:
            self._running[pid] = child
            self._open[child] = pid
            answer = {"pid": pid}
        finally:
            for fd in fds:
                os.close(fd)
        self._send(id=child, **answer)

    def _start(self, child: int, request: dict[str, Any], fds: list[int]) -> int:
        env = with_cookie(request["env"], f"{self._token}:{child}")
        process = subprocess.Popen(
            [from_wire(argument) for argument in request["argv"]],
            env={from_wire(name): from_wire(value) for name, value in env.items()},
            cwd=from_wire(request["cwd"]),
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
            # A group of its own: an agent that signals its group must hit neither the warden nor another agent.
            start_new_session=True,
            **request["identity"],
        )
        # `_reap` waits for every child alike; a Popen that thinks it must would steal the status of another.
        process.returncode = 0
        return process.pid

    def _signal(self, request: dict[str, Any]) -> None:
        pid = self._open.get(request["child"])
        # Not reaped yet, so the pid is still its own.
        if pid in self._running:
            with contextlib.suppress(PermissionError):  # it has become another user's
                os.kill(pid, request["number"])
        self._send(id=request["id"])

    def _descendants(self, request: dict[str, Any]) -> None:
        child = request["child"]
        pids = [seen.pid for seen in self._family(child, look_around()) if seen.pid != self._open.get(child)]
        self._send(id=request["id"], pids=pids)

    def _begin_sweep(self, request: dict[str, Any]) -> None:
        self._sweeps[request["child"]] = Sweep(request["id"], time.monotonic() + request["patience"])

    def _sweep(self) -> None:
        """One look serves all that wait for one: many agents often end together."""
        table = look_around()
        for child, sweep in list(self._sweeps.items()):
            left = self._family(child, table)
            if left and time.monotonic() < sweep.deadline:
                for seen in left:
                    kill(seen)
                continue
            del self._sweeps[child]
            self._open.pop(child, None)
            self._send(id=sweep.request, pids=[seen.pid for seen in left])

    def _family(self, child: int, table: Table) -> list[Seen]:
        """A child, what is below it, and what it left to the warden.

        An orphan without any cookie is found too, once there is nobody else whose it could be.
        """
        cookie = f"{self._token}:{child}"
        is_last = self._open.keys() <= {child}
        orphans = [seen.pid for seen in table.values() if seen.parent == os.getpid() and seen.pid not in self._running]
        roots = [pid for pid in orphans if is_last or cookie in read_cookies(pid)]
        pid = self._open.get(child)
        return below([*([pid] if pid in self._running else []), *roots], table)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._running.pop(pid, None)
            if child is not None:
                self._send(exit=child, code=os.waitstatus_to_exitcode(status))


def ignore(_number: int, _frame: object) -> None:
    """Handle a signal by doing nothing."""


def become_subreaper() -> None:
    """From now on whatever loses its parent below this process becomes its child."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(code)}")


def main() -> None:
    """Be a warden until the host is gone."""
    channel = socket.socket(fileno=os.dup(0))
    warden = None
    try:
        become_subreaper()
        warden = Warden(channel, host=int(sys.argv[1]), token=sys.argv[2])
        warden.run()
    except HostGone:
        pass
    except BaseException:  # noqa: BLE001 - the host is told, and logs it
        with contextlib.suppress(OSError):
            channel.sendall(json.dumps({"fatal": traceback.format_exc()}).encode() + b"\n")
    finally:
        if warden is not None:
            warden.end()


if __name__ == "__main__":
    main()
