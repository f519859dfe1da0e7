"""The process carrier: an agent's process as a connection, closed so that nothing of it is left."""

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, final

import trio

from triologue.agents.direct import DirectSpawner
from triologue.agents.launching import explain, open_pipes, plan
from triologue.agents.leftovers import Leftovers, reap_leftovers
from triologue.agents.pipes import PipeReader, PipeWriter, Watcher
from triologue.agents.pump import HAS_PUMP, start_watcher
from triologue.agents.spawner import Child, Spawner
from triologue.agents.stderr import ErrorOutput
from triologue.agents.warden import Warden
from triologue.errors import AgentProtocolError, AgentStartError
from triologue.loops import open_apart
from triologue.messages import Message
from triologue.ports import Command, Exit, Sink
from triologue.wire import DEFAULT_MAX_MESSAGE_BYTES, Reader, encode

logger = logging.getLogger(__name__)

MAX_WAITING = 256 * 1024 * 1024
"""Bytes that may wait for an agent to read its input."""
EXIT_PATIENCE = 5.0
"""Seconds for a process that has closed its output to exit; programs close it by exiting."""
KILL_PATIENCE = 5.0
"""Seconds for a process to be gone after SIGKILL; only one that hangs in the kernel takes longer."""


@asynccontextmanager
async def open_carrier(
    *,
    grace: float = 5.0,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    direct: bool = sys.platform != "linux",
    shared_reader: bool = HAS_PUMP,
) -> AsyncGenerator["ProcessCarrier"]:
    """Open a carrier of agents' processes; leaving the block kills what is left of them.

    What an earlier run of this user left behind is killed first.

    Args:
        grace: seconds that each of EOF and SIGTERM has to take effect, when an agent is closed, before the next step.
        max_message_bytes: a longer line of an agent becomes an `OversizeMessage`.
        direct: start processes from the host itself, without a warden: for systems that have no subreaper. What runs
            when the host is killed then goes on.
        shared_reader: one task reads what all agents say; or else each pipe has its own, for systems without epoll.
            They differ in what they cost, and in nothing else.
    """
    leftovers = await reap_leftovers()
    # Where the block is cancelled the agents are closed with all their time too, and need what serves them so long.
    async with open_apart() as services:
        watcher = start_watcher(services, is_shared=shared_reader)
        spawner: Spawner = DirectSpawner(services) if direct else Warden(services)
        carrier = ProcessCarrier(spawner, Terms(watcher, services, grace, max_message_bytes), leftovers)
        try:
            yield carrier
        finally:
            await carrier.aclose()


class Terms(NamedTuple):
    """What all processes of a carrier have in common."""

    watcher: Watcher
    services: trio.Nursery
    grace: float
    max_message_bytes: int


@final
class ProcessCarrier:
    """Runs the processes of agents."""

    def __init__(self, spawner: Spawner, terms: Terms, leftovers: Leftovers) -> None:
        self.leftovers = leftovers
        """What was found of earlier runs."""
        self._spawner = spawner
        self._terms = terms
        self._is_closed = False

    @asynccontextmanager
    async def spawn(self, command: Command, *, sink: Sink) -> AsyncGenerator["Process"]:
        """Start a program; leaving the block closes it: EOF, SIGTERM, SIGKILL, and whatever it left behind.

        A sink that raises is not called again, and its agent is stopped.

        Raises:
            AgentNotFound: there is no such program.
            AgentStartError: it did not start.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_closed:
            raise AgentStartError(f"cannot start {command.argv[0]!r}: this carrier is closed; open another")
        try:
            ours, theirs = open_pipes()
        except OSError as error:
            raise explain(error, command) from error
        process = Process(command, sink, ours, self._terms)
        try:
            await process.start(self._spawner, theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        try:
            yield process
        finally:
            await process.close()

    async def aclose(self) -> None:
        """Kill whatever is left, in bounded time, and start nothing more. `open_carrier` does this."""
        self._is_closed = True
        with trio.CancelScope(shield=True):
            await self._spawner.aclose()


@final
class Process:
    """A connection to an agent that is a process; `ProcessCarrier.spawn` makes them."""

    __slots__ = (
        "_child",
        "_closed",
        "_closed_output",
        "_command",
        "_decoder",
        "_eof_patience",
        "_errors",
        "_exit",
        "_gone",
        "_is_closing",
        "_is_deaf",
        "_is_over",
        "_sink",
        "_stderr",
        "_stdin",
        "_stdout",
        "_terms",
    )

    def __init__(self, command: Command, sink: Sink, fds: tuple[int, int, int], terms: Terms) -> None:
        self._command = command
        self._sink = sink
        self._terms = terms
        self._decoder = Reader(terms.max_message_bytes)
        self._errors = ErrorOutput(command.stderr, command.argv[0])
        self._stdin = PipeWriter(terms.watcher, fds[0])
        self._stdout = PipeReader(terms.watcher, fds[1], self._take, self._output_ended)
        self._stderr = PipeReader(terms.watcher, fds[2], self._errors.feed, self._errors.close)
        self._child: Child | None = None
        self._is_deaf = False
        self._is_over = False
        """The host has closed its ends of the pipes."""
        self._closed_output = False
        """The agent did that and did not exit, so it is stopped."""
        self._exit: Exit | None = None
        self._gone = trio.Event()
        self._is_closing = False
        self._eof_patience = trio.CancelScope()
        self._closed = trio.Event()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "running"
        if self._exit is not None:
            state = f"exited with {self._exit.code}"
        return f"<Process {self._command.argv[0]!r} {state}, pid {self.pid}, {self._stdin.waiting} bytes to send>"

    @property
    def pid(self) -> int | None:
        """Its process id; None once it is gone, for then it may be another's."""
        return self._child.pid if self._child is not None and self._exit is None else None

    def send(self, message: Message) -> None:
        """Send one frame, after those sent before. Never waits.

        Without effect once the agent is gone, or its input was ended.

        Raises:
            AgentProtocolError: `MAX_WAITING` bytes wait for the agent to read its input. This frame was not taken;
                those before it still go out.
        """
        line = encode(message)
        if self._stdin.waiting and self._stdin.waiting + len(line) > MAX_WAITING:
            raise AgentProtocolError(
                f"{self._command.argv[0]!r} does not read its input: {self._stdin.waiting} bytes wait already; "
                "send less at a time, or close it"
            )
        self._stdin.write(line)

    async def wait_exit(self) -> Exit:
        """Wait until the agent is gone and the sink has had all that it said. Many may wait."""
        await self._gone.wait()
        assert self._exit is not None
        return self._exit

    async def descendants(self) -> list[int]:
        """The pids of what is alive below it, and of what it left behind."""
        return [] if self._child is None else await self._child.descendants()

    def stop(self, *, eof: bool) -> None:
        """Begin to close, and see it through: by the end of input, or at once by SIGTERM; then on as in `close`."""
        if self._exit is not None:
            return
        if not eof:
            self._eof_patience.cancel()
        if not self._is_closing:
            self._is_closing = True
            self._terms.services.start_soon(partial(self._bring_down, eof=eof))

    async def close(self) -> None:
        """Close: EOF, SIGTERM, SIGKILL, each with its time to take effect; then kill what it left behind.

        Takes bounded time, and cannot be cancelled. Idempotent.
        """
        if not self._is_closing:
            self._is_closing = True
            await self._bring_down(eof=True)
        with trio.CancelScope(shield=True):
            await self._closed.wait()

    async def start(self, spawner: Spawner, fds: tuple[int, int, int]) -> None:
        """Start the program; once. Raises as `ProcessCarrier.spawn` does."""
        try:
            self._child = await spawner.spawn(plan(self._command, fds), self._on_exit)
        except BaseException as error:
            self._close_pipes()
            if isinstance(error, OSError | ValueError):
                raise explain(error, self._command) from error
            raise

    async def _bring_down(self, *, eof: bool) -> None:
        try:
            with trio.CancelScope(shield=True):
                await self._end_process(eof=eof)
        finally:
            self._closed.set()

    async def _end_process(self, *, eof: bool) -> None:
        assert self._child is not None
        if eof:
            self._stdin.end()
            grace = self._command.grace
            patience = self._terms.grace if grace is None else min(grace, self._terms.grace)
            self._eof_patience.deadline = trio.current_time() + patience
            with self._eof_patience:
                await self._gone.wait()
        for number, patience in ((signal.SIGTERM, self._terms.grace), (signal.SIGKILL, KILL_PATIENCE)):
            if not self._gone.is_set():
                if number == signal.SIGKILL:
                    logger.info("%r did not leave within Deadlines.close, and is killed", self)
                await self._child.signal(number)
                with trio.move_on_after(patience):
                    await self._gone.wait()
        left = await self._child.sweep()
        if left:
            logger.error("%r left processes that cannot be killed: pids %s", self, left)
        # A process that hangs in the kernel is waited for no longer.
        self._on_exit(-signal.SIGKILL)

    def _take(self, *chunks: bytes) -> float | None:
        """What was read; nothing: that was all. Returns for how many seconds more of it may wait."""
        if self._is_deaf:
            return None
        batch = self._decoder.feed(*chunks) if chunks else self._decoder.close()
        try:
            if batch:
                return self._sink(batch)
        except Exception:
            logger.exception("the sink of %r raised; the agent is stopped", self)
            self._is_deaf = True
            self.stop(eof=False)
        return None

    def _output_ended(self) -> None:
        self._take()
        if not self._is_over:
            self._terms.services.start_soon(self._see_it_exit)

    async def _see_it_exit(self) -> None:
        """It can say nothing any more, whatever it is asked: where it does not exit now, it is stopped."""
        with trio.move_on_after(EXIT_PATIENCE):
            await self._gone.wait()
        # Where the loop stood still for so long, the word of its exit has come by now, and is heard first.
        await trio.lowlevel.checkpoint()
        if self._exit is None and not self._is_closing:
            logger.warning("%r closed its output and did not exit within %g s; it is stopped", self, EXIT_PATIENCE)
            self._closed_output = True
            self.stop(eof=False)

    def _on_exit(self, code: int) -> None:
        if self._exit is None:
            self._close_pipes()
            if self._closed_output:
                code = code or -signal.SIGTERM  # it did not leave in good order, for nobody knows what it had begun
            self._exit = Exit(code=code, stderr_tail=self._errors.read_tail(), closed_output=self._closed_output)
            self._gone.set()

    def _close_pipes(self) -> None:
        self._is_over = True
        self._stdin.close()
        self._stdout.close()
        self._stderr.close()
