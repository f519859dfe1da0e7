"""The host's side of the warden: starts it with the first agent, and asks it to start, signal and sweep the others."""

import array
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, final

import trio

from triologue.agents import warden_process
from triologue.agents.direct import identity, sweep
from triologue.agents.ledger import Ledger
from triologue.agents.spawner import SWEEP_PATIENCE, Launch
from triologue.errors import AgentStartError

logger = logging.getLogger(__name__)

ANSWER_PATIENCE = 30.0
"""Seconds for the warden to answer; a slow disk may hold up a start that long."""
END_PATIENCE = warden_process.LAST_PATIENCE + 2.0
"""Seconds for the warden to kill what is below it, and to leave."""


class WardenGone(Exception):
    """The warden is not there (any more), so nothing below it is either."""


@final
class Warden:
    """Starts processes below a warden of this host, which is started when it is first needed.

    A warden that dies takes its agents with it; the next spawn starts another.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._link: WardenLink | None = None
        self._starting = trio.Lock()
        self._is_closed = False

    async def spawn(self, launch: Launch, on_exit: Callable[[int], None]) -> "WardenChild":
        """Start a process; see `Spawner.spawn`. Not cancelled half-way: it takes `ANSWER_PATIENCE` at most."""
        try:
            link = await self._open_link(launch.argv[0])
            return await link.spawn(launch, on_exit)
        except WardenGone as error:
            raise AgentStartError(
                f"the process that starts agents died ({error}), so {launch.argv[0]!r} did not start; try again, "
                "and look for what kills processes here if it happens again"
            ) from error

    async def aclose(self) -> None:
        """Kill whatever is left, then the warden; see `Spawner.aclose`."""
        self._is_closed = True
        async with self._starting:
            if self._link is not None:
                await self._link.aclose()

    async def _open_link(self, program: str) -> "WardenLink":
        async with self._starting:
            if self._is_closed:
                raise AgentStartError(f"cannot start {program!r}: this carrier is closed; open another")
            if self._link is None or self._link.is_gone:
                self._link = await WardenLink.start()
                self._nursery.start_soon(self._link.run)
            return self._link


class WardenLink:
    """One warden process, and what was asked of it."""

    def __init__(self, process: trio.Process, channel: trio.socket.SocketType, token: str) -> None:
        self._process = process
        self._channel = channel
        self._token = token
        self._ledger = Ledger.open(token, process.pid)
        self._sending = trio.Lock()
        self._last_id = 0
        self._answers: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._on_exit: dict[int, Callable[[int], None]] = {}
        self._reading = trio.CancelScope()
        self._ended = trio.Event()
        self._last_words = ""
        self._is_closing = False
        self.is_gone = False

    @classmethod
    async def start(cls) -> "WardenLink":
        """Start a warden. Raises `AgentStartError`."""
        token = secrets.token_hex(8)
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-I", "-S", "-E", warden_process.__file__, str(os.getpid()), token]
        try:
            process = await trio.lowlevel.open_process(
                argv,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # A session of its own: what a terminal sends to its foreground group is for the host.
                start_new_session=True,
            )
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise AgentStartError(f"cannot start {argv[0]!r}, which is to start agents: {error}") from error
            raise
        finally:
            theirs.close()
        return cls(process, trio.socket.from_stdlib_socket(ours), token)

    async def run(self) -> None:
        """Take what the warden says until it is gone; then nothing below it is alive either."""
        try:
            with self._reading:
                await self._read()
        finally:
            self.is_gone = True
            is_clean = False
            try:
                with trio.CancelScope(shield=True):
                    is_clean = await self._clean_up()
            finally:  # whatever went wrong, whoever waits for the end waits no longer
                for answer in self._answers.values():
                    answer({"gone": True})
                for on_exit in list(self._on_exit.values()):
                    on_exit(-signal.SIGKILL)
                if self._ledger is not None:
                    self._ledger.close(is_clean=is_clean)
                self._ended.set()

    async def aclose(self) -> None:
        """End the warden, and everything below it."""
        self._is_closing = True
        if not self.is_gone:
            try:
                # The warden still reports the last exits, then closes its end.
                self._channel.shutdown(socket.SHUT_WR)
            except OSError:
                self._reading.cancel()
            with trio.move_on_after(END_PATIENCE):
                await self._ended.wait()
            self._reading.cancel()
        await self._ended.wait()

    async def spawn(self, launch: Launch, on_exit: Callable[[int], None]) -> "WardenChild":
        """Ask for a process; see `Spawner.spawn`. Raises `WardenGone` too."""
        request = {
            "do": "spawn",
            "argv": [to_wire(argument) for argument in launch.argv],
            "env": {to_wire(name): to_wire(value) for name, value in launch.env.items()},
            "cwd": to_wire(launch.cwd),
            "identity": identity(launch.account),
        }
        self._last_id += 1
        child = self._last_id
        self._on_exit[child] = on_exit
        try:
            answer = await self._ask(child, request, launch.fds)
        except WardenGone:
            self._on_exit.pop(child, None)
            raise
        if "pid" in answer:
            return WardenChild(self, child, answer["pid"])
        del self._on_exit[child]
        if answer["errno"] is None:
            raise ValueError(answer["strerror"])
        raise OSError(answer["errno"], answer["strerror"], answer["filename"])

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Ask for something and get the answer. Raises `WardenGone`."""
        self._last_id += 1
        return await self._ask(self._last_id, {"do": do, **request})

    async def _ask(self, id_: int, request: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        answered, answers = trio.Event(), list[dict[str, Any]]()

        def take(answer: dict[str, Any]) -> None:
            answers.append(answer)
            answered.set()

        if self.is_gone:
            raise WardenGone(self._why())
        self._answers[id_] = take
        try:
            # Half a line would spoil all that follow.
            with trio.CancelScope(shield=True), trio.move_on_after(ANSWER_PATIENCE):
                await self._send(json.dumps({"id": id_, **request}).encode() + b"\n", fds)
                await answered.wait()
        finally:
            del self._answers[id_]
        if not answers:
            self._last_words = f"it did not answer for {ANSWER_PATIENCE} s"
            self._reading.cancel()
        if not answers or "gone" in answers[0]:
            raise WardenGone(self._why())
        return answers[0]

    async def _send(self, line: bytes, fds: Sequence[int]) -> None:
        async with self._sending:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = await self._channel.sendmsg([line], rights)
                while sent < len(line):
                    sent += await self._channel.send(memoryview(line)[sent:])
            except OSError:
                self._reading.cancel()  # whoever waits for the answer is told

    async def _read(self) -> None:
        inbox = bytearray()
        while True:
            try:
                data = await self._channel.recv(65536)
            except OSError:
                return
            if not data:
                return
            *lines, inbox = (inbox + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            self._on_exit.pop(message["exit"])(message["code"])
        elif "fatal" in message:
            self._last_words = message["fatal"].strip()
        elif message["id"] in self._answers:
            self._answers[message["id"]](message)

    async def _clean_up(self) -> bool:
        """The warden ends when its channel does; one that does not, or did not end well, is not believed.

        Tells whether nothing is left.
        """
        self._channel.close()
        with trio.move_on_after(END_PATIENCE):
            await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            with trio.move_on_after(END_PATIENCE):
                await self._process.wait()
        left: list[int] = []
        if self._process.returncode != 0 or not self._is_closing:
            left = await sweep(f"{self._token}:")
            logger.error("the process that starts agents died: %s; its agents are killed", self._why())
            if left:
                logger.error("cannot kill what agents left behind: pids %s", left)
        return not left

    def _why(self) -> str:
        return self._last_words or f"exit code {self._process.returncode}"


@final
class WardenChild:
    """A process below the warden."""

    def __init__(self, link: WardenLink, number: int, pid: int) -> None:
        self._link = link
        self._number = number
        self._pid = pid

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._pid

    async def signal(self, number: int) -> None:
        """Signal the process; see `Child.signal`."""
        await self._ask("signal", number=number)

    async def descendants(self) -> list[int]:
        """What is alive below it; see `Child.descendants`."""
        return list((await self._ask("descendants")).get("pids", ()))

    async def sweep(self) -> list[int]:
        """Kill it and what it left; see `Child.sweep`."""
        return list((await self._ask("sweep", patience=SWEEP_PATIENCE)).get("pids", ()))

    async def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        try:
            return await self._link.ask(do, child=self._number, **request)
        except WardenGone:
            return {}  # and so is everything below it


def to_wire(text: str) -> str:
    """Text for the operating system, as the bytes that it gets. Raises `ValueError` for what has none."""
    return os.fsencode(text).decode("latin-1")
