"""Who watches the pipes of all agents: the pump, one task for all of them; or, without an epoll, a task for each.

A wake-up of a task costs more than decoding what it was woken for. So the pump watches the pipes by a selector of its
own, whose descriptor is all that trio waits for; one wake-up then serves every pipe that is ready.
"""

import logging
import selectors
import sys
from collections.abc import Callable
from typing import final

import trio

from triologue.agents.pipes import Watcher

logger = logging.getLogger(__name__)

HAS_PUMP = sys.platform == "linux"
"""An epoll can be watched by another one. A kqueue should do as well, but was never tried."""
PIPES = 4
"""Pipes that are served before who reads their messages has a turn, while what was read is still in the cache."""


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
        self._selector = selectors.EpollSelector()

    def watch(self, fd: int, event: int, on_ready: Callable[[], object]) -> None:
        """See `Watcher.watch`."""
        self._selector.register(fd, event, on_ready)

    def forget(self, fd: int) -> None:
        """See `Watcher.forget`."""
        self._selector.unregister(fd)

    async def run(self) -> None:
        """Serve until cancelled; nothing can be watched afterwards."""
        with self._selector as selector:
            while True:
                # Ready or not, this gives the other tasks their turn: one checkpoint a round.
                await trio.lowlevel.wait_readable(selector.fileno())
                for served, (key, _) in enumerate(selector.select(0), 1):
                    _call(key.data)
                    if served % PIPES == 0:
                        await trio.lowlevel.checkpoint()


@final
class TaskPerPipe:
    """Watches each pipe by a task of its own.

    Args:
        nursery: where these run.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}

    def watch(self, fd: int, event: int, on_ready: Callable[[], object]) -> None:
        """See `Watcher.watch`."""
        scope = self._scopes[fd] = trio.CancelScope()
        self._nursery.start_soon(self._serve, fd, event, on_ready, scope)

    def forget(self, fd: int) -> None:
        """See `Watcher.forget`."""
        self._scopes.pop(fd).cancel()

    async def _serve(self, fd: int, event: int, on_ready: Callable[[], object], scope: trio.CancelScope) -> None:
        wait_ready = trio.lowlevel.wait_readable if event == selectors.EVENT_READ else trio.lowlevel.wait_writable
        with scope:
            # Forgotten, its number may be another pipe's before this task hears of it.
            while not scope.cancel_called:
                await wait_ready(fd)
                _call(on_ready)


def _call(on_ready: Callable[[], object]) -> None:
    try:
        on_ready()
    except Exception:
        logger.exception("error in the service of a pipe")
