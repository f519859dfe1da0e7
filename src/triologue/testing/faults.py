"""Faults as data: what fails, and at which of its calls. They compose, and fit any agent."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import attrgetter
from typing import Any, TypeAlias, cast, final

import trio
from msgspec import Struct

from triologue.errors import AgentStartError
from triologue.messages import ControlRequest, Initialize, Message
from triologue.options import Options
from triologue.ports import Agent, Carrier, Connection, Exit, Sink
from triologue.testing.tasks import throw


class StartFails(Struct, frozen=True):
    """The n-th start raises `AgentStartError`."""

    at: int = 1


class StartHangs(Struct, frozen=True):
    """The n-th start never ends: what comes up does not answer the handshake."""

    at: int = 1


class WriteFails(Struct, frozen=True):
    """The n-th frame that the host sends is lost, and the agent is gone: a broken pipe. Counted over all connections."""

    at: int = 1


class ReadFails(Struct, frozen=True):
    """The n-th batch that the host reads is lost, and the agent is gone. Counted over all connections."""

    at: int = 1


Fault: TypeAlias = StartFails | StartHangs | WriteFails | ReadFails

EXIT_CODE = -9
"""How an agent went that a fault took."""


def with_faults(agent: Agent, *faults: Fault) -> Agent:
    """The same agent, for which these things go wrong."""
    # All else that the agent has is its class's too: from 3.12 on Python looks only there for what an agent can do.
    others = [name for name in dir(agent) if not name.startswith("_") and not hasattr(_FaultyAgent, name)]
    kind = type("FaultyAgent", (_FaultyAgent,), {name: _passed_on(name) for name in others})
    return cast("Agent", kind(agent, faults))


def _passed_on(name: str) -> property:
    return property(attrgetter(f"_agent.{name}"))


class _FaultyAgent:
    """Counts, and lets fail what a fault names."""

    def __init__(self, agent: Agent, faults: Sequence[Fault]) -> None:
        self._agent = agent
        self._faults = frozenset(faults)
        self._counts = {StartFails: 0, WriteFails: 0, ReadFails: 0}

    def __repr__(self) -> str:
        return f"<{self._agent!r} with {sorted(map(repr, self._faults))}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def is_due(self, kind: type[Any]) -> bool:
        """Count one more of these; is it the one that fails?"""
        self._counts[kind] += 1
        return kind(self._counts[kind]) in self._faults

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        return self._connect(options, sink, carrier)

    @asynccontextmanager
    async def _connect(self, options: Options, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        fails = self.is_due(StartFails)
        number = self._counts[StartFails]
        await trio.lowlevel.checkpoint()
        if fails:
            raise AgentStartError(f"start {number} failed, as the fault wants it")
        faulty = _FaultyConnection(self, sink, is_deaf=StartHangs(number) in self._faults)
        async with self._agent.connect(options, sink=faulty.sink, carrier=carrier) as connection:
            faulty.begin(connection)
            yield faulty


@final
class _FaultyConnection:
    """A connection that may break."""

    def __init__(self, agent: _FaultyAgent, sink: Sink, *, is_deaf: bool) -> None:
        self._agent = agent
        self._sink = sink
        self._is_deaf = is_deaf
        self._is_broken = False
        self._connection: Connection | None = None

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        if self._is_broken:
            connection.stop(eof=False)

    @property
    def pid(self) -> int | None:
        return self._connection.pid if self._connection is not None else None

    def send(self, message: Message) -> None:
        assert self._connection is not None
        if self._is_deaf and isinstance(message, ControlRequest) and isinstance(message.request, Initialize):
            return
        if self._agent.is_due(WriteFails):
            self._break()
        elif not self._is_broken:
            self._connection.send(message)

    async def wait_exit(self) -> Exit:
        assert self._connection is not None
        exit = await self._connection.wait_exit()
        return Exit(code=EXIT_CODE, stderr_tail=exit.stderr_tail) if self._is_broken else exit

    def stop(self, *, eof: bool) -> None:
        assert self._connection is not None
        self._connection.stop(eof=eof)

    def sink(self, batch: list[Message]) -> None:
        if self._is_broken:
            return
        if self._agent.is_due(ReadFails):
            self._break()
        else:
            self._sink(batch)

    def _break(self) -> None:
        self._is_broken = True
        if self._connection is not None:
            self._connection.stop(eof=False)


class InjectedCrash(Exception):
    """What a `CrashTask` throws: a bug, for all that the code around it can know."""


@final
class CrashTask(trio.abc.Instrument):
    """Let the n-th checkpoint of a task raise `InjectedCrash`: for `run_virtual(instruments=[...])`.

    Args:
        name: a part of the task's name; of tasks with such names, the first that gets so far.
        at: which of its checkpoints, from 1.
    """

    def __init__(self, name: str, at: int = 1) -> None:
        self.name = name
        self.at = at
        self.has_struck = False
        self._counts: dict[trio.lowlevel.Task, int] = {}

    def __repr__(self) -> str:
        return f"CrashTask({self.name!r}, {self.at})"

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task has come to its next checkpoint."""
        if self.has_struck or self.name not in task.name:
            return
        self._counts[task] = self._counts.get(task, 0) + 1
        if self._counts[task] >= self.at:
            # Where it cannot be woken it is hit at its next checkpoint.
            self.has_struck = throw(task, InjectedCrash(f"{self!r} in {task.name!r}"))


@final
class CancelAt(trio.abc.Instrument):
    """Cancel a scope at the n-th checkpoint of the task that makes this.

    Args:
        scope: what is cancelled.
        at: which checkpoint, from 1.
    """

    def __init__(self, scope: trio.CancelScope, at: int) -> None:
        self._scope = scope
        self._left = at
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task has come to its next checkpoint."""
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()
