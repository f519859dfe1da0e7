"""Agents that are started ahead, so that the next new conversations need not wait for that."""

import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import final

import trio

from triologue.actors import Conversation, Place, log_safely, pinned
from triologue.errors import TriologueError
from triologue.messages import Message
from triologue.options import Options
from triologue.ports import Agent, Carrier, Connection, KeepsLogins, MirrorsHistories, Sink
from triologue.supervision.housing import Evicting, Housing
from triologue.supervision.staggering import Staggering, Start

logger = logging.getLogger("triologue.supervision")

NAME_LENGTH = 600
"""Characters of the names of those that wait: more than a session's key may have, so that none is a session's too."""
LOOK_AGAIN = 30.0
"""Seconds until another one is tried, where there was no room, or one did not start, or went away by itself."""

STARTS_FOR = 1.0
"""Seconds for which one counts as starting (`Limits.max_starting`), unless it speaks before: it is told nothing, and so it
mostly says nothing."""


@final
class Warm:
    """One agent that was started and has been told nothing. What it says waits for whoever takes it over."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.scope = trio.CancelScope()
        self.connection: Connection | None = None
        self.is_gone = False
        """It went away, and the rest of it is being put away."""
        self.closed = trio.Event()
        self._sink: Sink | None = None
        self._said: list[list[Message]] = []

    def hear(self, batch: list[Message]) -> float | None:
        """It said something. See `Sink`."""
        if self._sink is not None:
            return self._sink(batch)
        self._said.append(batch)
        return None

    def give(self, sink: Sink) -> None:
        """It belongs to a conversation from now on, which hears what it says."""
        self._sink = sink
        said, self._said = self._said, []
        for batch in said:
            sink(batch)


@final
class Prewarming:
    """Keeps so many agents ready as there is room for. They are the first to make room for others, and in no group.

    Args:
        count: how many.
        agent: which.
        options: what a new conversation would start it with.
        is_kept: what is said is kept in a store, and the agents are to tell it of their histories.
        housing: where they live.
        carrier: runs their processes.
        starting: how many may start at once.
        staggering: who may start when, of those that have the same log-in.
    """

    def __init__(
        self,
        count: int,
        agent: Agent,
        options: Options,
        *,
        housing: Housing,
        carrier: Carrier,
        starting: trio.CapacityLimiter,
        staggering: Staggering,
        is_kept: bool = False,
    ) -> None:
        self._count = count
        self._agent = agent
        self._options = options = pinned(options, agent) if is_kept else options
        self._launch = agent.mirrored(options) if is_kept and isinstance(agent, MirrorsHistories) else options
        self._housing = housing
        self._carrier = carrier
        self._starting = starting
        self._staggering = staggering
        self._login = agent.kept_login(self._launch) if isinstance(agent, KeepsLogins) else None
        self._names = itertools.count(1)
        self._ready: deque[Warm] = deque()
        self._claimed: dict[tuple[str, int], Warm] = {}
        self._wanted = trio.Event()
        self._has_warned = False
        self._starts = trio.CancelScope()
        """As long as others may be started."""

    async def run(self) -> None:
        """Start one after the other until `finish`; then wait until those that are used are gone too."""
        async with trio.open_nursery() as nursery:
            with self._starts:
                await self._start_all(nursery)

    def finish(self) -> None:
        """No new conversation begins any more: start none, and let go those that are ready."""
        self._starts.cancel()
        for warm in list(self._ready):
            self._let_go(warm)

    async def _start_all(self, nursery: trio.Nursery) -> None:
        while True:
            self._wanted = trio.Event()
            while len(self._ready) < self._count and self._housing.has_room(self._agent):
                warm = Warm(f"prewarmed {next(self._names)}".ljust(NAME_LENGTH))
                if not await nursery.start(self._keep, warm):
                    break
            with trio.move_on_after(LOOK_AGAIN):
                await self._wanted.wait()

    def processes(self) -> dict[int, tuple[str, int]]:
        """Those that are ready, by pid: under which name and generation they have their places."""
        pids = [(warm.connection.pid, warm.key) for warm in self._ready if warm.connection is not None]
        return {pid: (key, 0) for pid, key in pids if pid is not None}

    def claim(self, conversation: Conversation, generation: int, options: Options, *, evict: Evicting) -> bool:
        """A conversation wants a place: one that is ready becomes its own, with its place, if it starts like that.

        Not where others wait, since it would come before them.
        """
        fits = conversation.agent == self._agent and options == self._options
        if not self._ready or not fits or self._housing.waiting:
            return False
        warm, to = self._ready[0], (conversation.key, generation)
        if not self._housing.hand_over(warm.key, 0, to=to, group=conversation.group, evict=evict):
            return False
        self._claimed[to] = self._ready.popleft()
        self._wanted.set()
        return True

    def has_for(self, start: Start) -> bool:
        """Is one there that was claimed for this start?"""
        return start in self._claimed and not self._claimed[start].is_gone

    def disclaim(self, key: str, generation: int) -> None:
        """It will not be used after all, and is ready again: it was told nothing. One that goes takes its place along."""
        warm = self._claimed.pop((key, generation), None)
        if warm is None or warm.closed.is_set():
            return
        self._housing.hand_over(key, generation, to=(warm.key, 0), group=None, evict=lambda *_: self._let_go(warm))
        if warm.is_gone:
            self._housing.closes(warm.key, 0)
        else:
            self._ready.appendleft(warm)
            self._housing.rests(warm.key, 0, is_idle=True, is_spare=True)
            if self._starts.cancel_called:
                self._let_go(warm)

    @asynccontextmanager
    async def connect(
        self, key: str, generation: int, agent: Agent, options: Options, *, sink: Sink, carrier: Carrier
    ) -> AsyncGenerator[Connection]:
        """Open a connection: the one that was claimed, or a new one."""
        warm = self._claimed.get((key, generation))
        if warm is not None and warm.is_gone:
            await warm.closed.wait()  # the place is its own until then, also where this is cancelled
            warm = None
        self._claimed.pop((key, generation), None)
        if warm is None or warm.connection is None:
            async with agent.connect(options, sink=sink, carrier=carrier) as connection:
                yield connection
            return
        try:
            warm.give(sink)
            yield warm.connection
        finally:
            warm.scope.cancel()
            with trio.CancelScope(shield=True):  # the agent's own deadlines bound it
                await warm.closed.wait()

    async def _keep(self, warm: Warm, *, task_status: trio.TaskStatus[bool]) -> None:
        """The life of one: tells whether it came up, and waits until it is to go."""
        is_started, start = False, (warm.key, 0)
        try:
            with warm.scope:
                await self._housing.enter(warm.key, 0, self._agent, group=None, evict=lambda *_: self._let_go(warm))
                if self._login is not None:
                    await self._staggering.enter(start, self._login)
                place = Place(self._carrier, self._starting, lambda: self._staggering.begins(start))

                def has_started() -> None:
                    place.leave()
                    self._staggering.over(start)

                def hear(batch: list[Message]) -> float | None:
                    has_started()
                    return warm.hear(batch)

                try:
                    async with self._agent.connect(self._launch, sink=hear, carrier=place) as connection:
                        warm.connection, is_started, self._has_warned = connection, True, False
                        self._ready.append(warm)
                        self._housing.rests(warm.key, 0, is_idle=True, is_spare=True)
                        task_status.started(True)
                        with trio.move_on_after(STARTS_FOR):
                            await connection.wait_exit()
                        has_started()
                        await connection.wait_exit()
                        self._gone(warm)
                finally:
                    has_started()
        except Exception as error:  # noqa: BLE001 - a bug of the agent's too: it must not end the manager and its sessions
            self._tell(error)
        finally:
            self._gone(warm)
            warm.closed.set()
            self._housing.leave(warm.key, 0)
            if not is_started:
                task_status.started(False)

    def _tell(self, error: Exception) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING  # it is tried again and again
        trace = None if isinstance(error, TriologueError) else error
        log_safely(logger, level, "an agent that was to be started ahead did not start: %s", error, exc_info=trace)
        self._has_warned = True

    def _let_go(self, warm: Warm) -> None:
        if warm in self._ready:
            self._housing.closes(warm.key, 0)
            self._ready.remove(warm)
            warm.scope.cancel()

    def _gone(self, warm: Warm) -> None:
        warm.is_gone = True
        if warm in self._ready:
            self._ready.remove(warm)
