"""The status socket: other programs of this user ask a running manager how it is; `triologue ps` and `top` do.

A client connects, sends one request as a line of JSON, and gets lines of JSON until the end: a `ManagerStatus` first,
then what it asked for. The socket is `<runtime folder>/<pid>-<number>.sock`, and nobody else's to open.
"""

import errno
import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, final

import msgspec
import trio
from msgspec import Struct

from triologue.actors import Conversation, log_safely
from triologue.agents import make_runtime_folder, measure_trees, program_name, told_there
from triologue.errors import CallerError
from triologue.loops import NoThread, in_thread
from triologue.manager.directory import Directory
from triologue.manager.entrance import Entrance
from triologue.manager.explaining import SessionExplanation, oldest_turn, waits_for
from triologue.manager.sessions import ManagerStatistics, SessionManager
from triologue.messages import SessionState

logger = logging.getLogger("triologue.manager")

SUFFIX = ".sock"
MAX_CLIENTS = 8
"""At the same time; one more is told so, and let go."""
MAX_REQUEST_BYTES = 16 * 1024
CLIENT_PATIENCE = 10.0
"""Seconds for a client to say what it wants and to take the answer."""
BUSY_PATIENCE = 1.0
"""Seconds for one client too many."""
ROWS_AT_ONCE = 200
"""Between two of these many, everything else goes on."""

_numbers = itertools.count(1)


class AskSessions(Struct, frozen=True, tag_field="do", tag="sessions"):
    """A `SessionStatus` for each conversation, please."""


class AskStatistics(Struct, frozen=True, tag_field="do", tag="statistics"):
    """Nothing but the `ManagerStatus`, please."""


class AskExplain(Struct, frozen=True, tag_field="do", tag="explain"):
    """An `Explained`, please, if this manager has a conversation with this key."""

    key: str


StatusRequest: TypeAlias = AskSessions | AskStatistics | AskExplain


class ManagerStatus(Struct, frozen=True, kw_only=True, tag="manager"):
    """Who answers."""

    pid: int
    program: str
    agent: str
    began: float
    """When it was opened, in seconds since the epoch."""
    statistics: ManagerStatistics


class SessionStatus(Struct, frozen=True, kw_only=True, tag="session"):
    """One conversation, in a line."""

    key: str
    state: SessionState
    waits_for: str | None
    waiting: int
    """Turns in line."""
    age: float | None
    """Seconds since its oldest turn without an outcome was accepted; None when there is none."""
    pid: int | None
    rss_bytes: int | None
    cost_usd: float | None
    turns: int
    """Turns that have ended."""


class Explained(Struct, frozen=True, kw_only=True, tag="explained"):
    """One conversation, explained."""

    explanation: SessionExplanation
    text: str
    """The same for people."""


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """There is no answer."""

    error: str


StatusAnswer: TypeAlias = ManagerStatus | SessionStatus | Explained | Refused

_requests = msgspec.json.Decoder(StatusRequest)


@final
class StatusSocket:
    """Answers who asks, as long as `serve` runs.

    Args:
        directory: what is told of.
        manager: the same, as callers hold it.
    """

    def __init__(self, directory: Directory, manager: SessionManager) -> None:
        self._directory = directory
        self._manager = manager
        self._began = time.time()
        self._clients = 0
        self._socket, self._path = _listen()

    async def serve(self) -> None:
        """Answer until cancelled. Nothing that happens here stops the manager."""
        try:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
            await trio.serve_listeners(self._receive, [Entrance(listener, logger, "those who ask for the status")])
        finally:
            self._socket.close()
            _remove(self._path)

    async def _receive(self, stream: trio.SocketStream) -> None:
        self._clients += 1
        try:
            async with stream:
                with trio.move_on_after(CLIENT_PATIENCE if self._clients <= MAX_CLIENTS else BUSY_PATIENCE):
                    await self._converse(stream)
        except (OSError, trio.BrokenResourceError):
            pass  # it has left
        except Exception:  # noqa: BLE001 - a bug in an answer
            log_safely(logger, logging.ERROR, "a question on the status socket was not answered", exc_info=True)
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        is_one_too_many = self._clients > MAX_CLIENTS
        try:
            line = await _read_line(stream)
            if is_one_too_many:
                await _send(stream, [Refused(error=f"{MAX_CLIENTS} others ask already; try again")])
            elif line:
                await self._answer(stream, _requests.decode(line))
        except (msgspec.DecodeError, CallerError) as error:
            await _send(stream, [Refused(error=f"this is no request: {error}")])

    async def _answer(self, stream: trio.SocketStream, request: StatusRequest) -> None:
        match request:
            case AskSessions():
                await self._tell_sessions(stream)
            case AskStatistics():
                await _send(stream, [self._status()])
            case AskExplain(key=key):
                explanation = self._manager.explain(key)
                known = self._directory.registry.get(key) is not None
                explained = [Explained(explanation=explanation, text=str(explanation))] if known else []
                await _send(stream, [self._status(), *explained])

    async def _tell_sessions(self, stream: trio.SocketStream) -> None:
        pids = [session.pid for session in self._manager.sessions() if session.pid is not None]
        sizes = None
        with suppress(NoThread):  # what else there is to tell is wanted all the more
            sizes = await in_thread(measure_trees, pids, abandon_on_cancel=True) if pids else None
        await _send(stream, [self._status()])
        rows = (self._row(each, sizes or {}) for each in self._directory.registry)
        while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
            await _send(stream, chunk)

    def _status(self) -> ManagerStatus:
        return ManagerStatus(
            pid=os.getpid(),
            # A command's own name too: `triologue chat`.
            program=" ".join([program_name(), *sys.argv[1:2]]),
            agent=self._directory.agent.name,
            began=self._began,
            statistics=self._manager.statistics(),
        )

    def _row(self, conversation: Conversation, sizes: dict[int, int]) -> SessionStatus:
        said = self._directory.statistics_of(conversation)
        return SessionStatus(
            key=said.key,
            state=said.state,
            waits_for=waits_for(self._directory, conversation),
            waiting=said.waiting,
            age=oldest_turn(conversation),
            pid=said.pid,
            rss_bytes=sizes.get(said.pid) if said.pid is not None else None,
            cost_usd=said.total_cost_usd,
            turns=conversation.ended,
        )


async def _read_line(stream: trio.SocketStream) -> bytes:
    """The first line; nothing where the client leaves before it has said it.

    Raises:
        msgspec.DecodeError: it is too long.
    """
    said = b""
    while b"\n" not in said:
        if len(said) > MAX_REQUEST_BYTES:
            raise msgspec.DecodeError(f"it is longer than {MAX_REQUEST_BYTES} bytes")
        chunk = await stream.receive_some(MAX_REQUEST_BYTES)
        if not chunk:
            return b""
        said += chunk
    return said.partition(b"\n")[0]


async def _send(stream: trio.SocketStream, answers: Iterable[StatusAnswer]) -> None:
    await stream.send_all(b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))


def _listen() -> tuple[socket.socket, Path]:
    """A listening socket with its place in the runtime folder. Raises `OSError`."""
    folder = make_runtime_folder()
    _remove_stale()
    path = folder / f"{os.getpid()}-{next(_numbers)}{SUFFIX}"
    draft = path.with_suffix(".draft")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        draft.unlink(missing_ok=True)
        listening.bind(os.fspath(draft))
        draft.chmod(0o600)
        listening.listen(MAX_CLIENTS)
        # It has its name only now, for one that nobody listens at is taken for stale.
        draft.rename(path)
    except OSError:
        listening.close()
        draft.unlink(missing_ok=True)
        raise
    return listening, path


def sockets() -> list[Path]:
    """The status sockets of this user's managers; some may be stale."""
    return told_there(f"*{SUFFIX}")


def _remove_stale() -> None:
    for path in sockets():
        pid = path.name.partition("-")[0]
        if pid.isdigit() and int(pid) != os.getpid() and not _is_there(int(pid)):
            remove_if_stale(path)


def remove_if_stale(path: Path) -> bool:
    """Remove a socket that nobody listens at; tells whether it was one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.setblocking(False)  # where its line is full, somebody listens
        if knocking.connect_ex(os.fspath(path)) != errno.ECONNREFUSED:
            return False
    _remove(path)
    return True


def _remove(path: Path) -> None:
    """Where it has to stay, as on a disk that is read-only by now, whoever looks finds nobody behind it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
