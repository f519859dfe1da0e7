"""Who watches the pipes of all agents: the pump, one task for all of them; or, without an epoll, a task for each.

A wake-up of a task costs more than decoding what it was woken for. So the pump watches the pipes by an epoll of its
own, whose descriptor is all that trio waits for; one wake-up then serves every pipe that is ready.
"""

import logging
import select
import selectors
import sys
from typing import final

import trio

from triologue.agents.pipes import OnReady, Watcher

logger = logging.getLogger(__name__)

HAS_PUMP = sys.platform == "linux"
"""An epoll can be watched by another one. A kqueue should do as well, but was never tried."""
BYTES = 256 * 1024
"""What is read before who reads the messages has a turn, while they are still in the cache ..."""
PIPES = 64
"""... and from how many pipes, where each has little."""
PAUSE = 0.005
"""Seconds from one round to the next where many agents speak at a time: each round costs as much as serving ten pipes,
and what it may wait for is not seen by people, who get sixty pictures a second."""
CROWD = 16
"""So many agents that spoke within a `PAUSE` are many."""


def start_watcher(services: trio.Nursery, *, is_shared: bool) -> Watcher:
    """Start to watch pipes, until this nursery is cancelled; all of them have to be forgotten before.

    Args:
        services: where it runs.
        is_shared: one task serves all pipes; or else each pipe has its own, as any system can do it.
    """
    if not is_shared:
        return TaskPerPipe(services)
    pump = Pump()
    services.start_soon(pump.run)
    return pump


@final
class Pump:
    """Watches pipes by one task. `run` must be running."""

    def __init__(self) -> None:
        # A selector of the standard library makes three calls and a tuple for each that is ready.
        self._epoll = select.epoll()
        self._served: dict[int, OnReady] = {}
        self._crowd = Crowd()

    def watch(self, fd: int, event: int, on_ready: OnReady) -> None:
        """See `Watcher.watch`."""
        self._epoll.register(fd, select.EPOLLIN if event == selectors.EVENT_READ else select.EPOLLOUT)
        self._served[fd] = on_ready

    def forget(self, fd: int) -> None:
        """See `Watcher.forget`."""
        self._epoll.unregister(fd)
        del self._served[fd]

    async def run(self) -> None:
        """Serve until cancelled; nothing can be watched afterwards."""
        with self._epoll as epoll:
            while True:
                # Ready or not, this gives the other tasks their turn: one checkpoint a round.
                await trio.lowlevel.wait_readable(epoll.fileno())
                began = trio.current_time()
                ready = [fd for fd, _ in epoll.poll(0)]
                self._crowd.add(began, ready)
                await self._serve([self._served[fd] for fd in ready])
                if self._crowd.is_here:
                    await trio.sleep_until(began + PAUSE)

    async def _serve(self, ready: list[OnReady]) -> None:
        moved = served = 0
        for on_ready in ready:
            moved += _call(on_ready)
            served += 1
            if moved >= BYTES or served >= PIPES:
                moved = served = 0
                await trio.lowlevel.checkpoint()


@final
class Crowd:
    """Tells whether many pipes were ready lately; a few that are ready again and again are not many."""

    def __init__(self) -> None:
        self._since = 0.0
        self._seen: set[int] = set()
        self.is_here = False

    def add(self, now: float, fds: list[int]) -> None:
        """These were ready."""
        if now - self._since >= PAUSE:
            self.is_here = len(self._seen) >= CROWD
            self._seen.clear()
            self._since = now
        self._seen.update(fds)


@final
class TaskPerPipe:
    """Watches each pipe by a task of its own.

    Args:
        nursery: where these run.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}

    def watch(self, fd: int, event: int, on_ready: OnReady) -> None:
        """See `Watcher.watch`."""
        scope = self._scopes[fd] = trio.CancelScope()
        self._nursery.start_soon(self._serve, fd, event, on_ready, scope)

    def forget(self, fd: int) -> None:
        """See `Watcher.forget`."""
        self._scopes.pop(fd).cancel()

    async def _serve(self, fd: int, event: int, on_ready: OnReady, scope: trio.CancelScope) -> None:
        wait_ready = trio.lowlevel.wait_readable if event == selectors.EVENT_READ else trio.lowlevel.wait_writable
        with scope:
            # Forgotten, its number may be another pipe's before this task hears of it.
            while not scope.cancel_called:
                await wait_ready(fd)
                _call(on_ready)


def _call(on_ready: OnReady) -> int:
    try:
        return on_ready()
    except Exception:
        logger.exception("error in the service of a pipe")
        return 0
