"""Who watches the pipes of all agents: the pump, one task for all of them; or, without an epoll, a task for each.

A wake-up of a task costs more than decoding what it was woken for. So the pump watches the pipes by an epoll of its
own, whose descriptor is all that trio waits for; one wake-up then serves every pipe that is ready.
"""

import logging
import select
import selectors
import sys
from typing import NamedTuple, final

import trio

from triologue.agents.pipes import OnReady, Watcher

logger = logging.getLogger(__name__)

HAS_PUMP = sys.platform == "linux"
"""An epoll can be watched by another one. A kqueue should do as well, but was never tried."""
BYTES = 1024 * 1024
"""What is read before who reads the messages has a turn: the messages are still in the cache then, and so is the code
that many of them in a row were read by ..."""
PIPES = 64
"""... and from how many pipes, where each has little."""
READS_A_SECOND = 4_000
"""Reads of little, of all pipes together: with all that follows from it each costs as much as ten tokens of text ..."""
LONGEST_REST = 0.1
"""... but no pipe rests longer: people take for immediate what comes within a tenth of a second (Nielsen, 1993)."""
LONGEST_GATHERING = 0.05
"""Seconds that it rests longer at most where all who read let text wait for more anyway. It is not much, because what is
no text, as a request of the agent, waits in the pipe too."""
LATELY = LONGEST_REST + LONGEST_GATHERING
"""Seconds within which each that speaks is read."""
LITTLE = 16 * 1024
"""A read of fewer bytes could as well have waited for more; after one of more there may be more already."""
ROUND = 0.005
"""Seconds between two looks at who has rested, at least, so that one look finds many ..."""
LOOKS = 4
"""... and so many in the time that a pipe rests, which is a multiple of what is between two, so that no pipe is late for its
own. The first pipe of a look takes as long as four others, because the code is in no cache. After one that moved
more than a `LITTLE` of one pipe the next comes within a round: 64 KiB each 25 ms would be 2.5 MB/s."""


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


class _Watched(NamedTuple):
    """A pipe."""

    event: int
    on_ready: OnReady


@final
class Pump:
    """Watches pipes by one task. `run` must be running.

    Where many agents speak, a pipe that gave little rests: the epoll does not tell of it any more but for its end, and
    after a while it is read without being asked. So it gives several tokens at a time, and the loop keeps up. What comes
    from a pipe that was silent is read at the next look.
    """

    def __init__(self) -> None:
        # A selector of the standard library makes three calls and a tuple for each that is ready.
        self._epoll = select.epoll()
        self._watched: dict[int, _Watched] = {}
        self._resting: dict[int, float] = {}
        """When these will have rested."""
        self._due: dict[float, list[int]] = {}
        """Who will have rested when; and some who rest no more, or longer."""
        self._speakers = Speakers()

    def watch(self, fd: int, event: int, on_ready: OnReady) -> None:
        """See `Watcher.watch`."""
        watched = _Watched(select.EPOLLIN if event == selectors.EVENT_READ else select.EPOLLOUT, on_ready)
        self._epoll.register(fd, watched.event)
        self._watched[fd] = watched

    def forget(self, fd: int) -> None:
        """See `Watcher.forget`."""
        self._epoll.unregister(fd)
        del self._watched[fd]
        self._resting.pop(fd, None)

    async def run(self) -> None:
        """Serve until cancelled; nothing can be watched afterwards."""
        with self._epoll as epoll:
            while True:
                if not self._resting:
                    # Ready or not, this gives the other tasks their turn: one checkpoint a round.
                    await trio.lowlevel.wait_readable(epoll.fileno())
                began = trio.current_time()
                ready = [fd for fd, _ in epoll.poll(0)]
                ready += self._rested(began)
                self._speakers.note(began, ready)
                most = await self._serve(ready, rested=began + self._speakers.rest)
                if self._resting:
                    pause = self._speakers.rest / LOOKS if most < LITTLE else 0.0
                    await trio.sleep_until(began + max(ROUND, pause))

    def _rested(self, now: float) -> list[int]:
        rested: list[int] = []
        for due in [due for due in self._due if due <= now]:
            rested += [fd for fd in self._due.pop(due) if self._resting.get(fd) == due]
        return rested

    async def _serve(self, ready: list[int], *, rested: float) -> int:
        """Returns how many bytes the one pipe moved that moved the most."""
        moved = served = most = 0
        may_rest = self._speakers.rest > ROUND
        for fd in ready:
            watched = self._watched.get(fd)
            if watched is None:  # forgotten in this round
                continue
            size, patience = _call(watched.on_ready)
            if (may_rest or self._resting) and watched.event == select.EPOLLIN and self._watched.get(fd) is watched:
                until = rested + min(patience, LONGEST_GATHERING)
                self._let_rest(fd, until if may_rest and 0 < size < LITTLE else None)
            moved += size
            served += 1
            if size > most:
                most = size
            if moved >= BYTES or served >= PIPES:
                moved = served = 0
                await trio.lowlevel.checkpoint()
        return most

    def _let_rest(self, fd: int, until: float | None) -> None:
        was_resting = self._resting.pop(fd, None) is not None
        if until is not None:
            self._resting[fd] = until
            self._due.setdefault(until, []).append(fd)
        if was_resting != (until is not None):
            self._epoll.modify(fd, select.EPOLLIN if was_resting else 0)


@final
class Speakers:
    """How many pipes have given something lately.

    Attributes:
        rest: seconds that each of them should rest.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._before = 0
        self._now: set[int] = set()
        self.rest = 0.0

    def note(self, now: float, fds: list[int]) -> None:
        """These were ready."""
        age = now - self._since
        if age >= LATELY:
            self._before = len(self._now) if age < 2 * LATELY else 0
            self._now.clear()
            self._since = now
        self._now.update(fds)
        self.rest = min(max(self._before, len(self._now)) / READS_A_SECOND, LONGEST_REST)


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


def _call(on_ready: OnReady) -> tuple[int, float]:
    try:
        return on_ready()
    except Exception:
        logger.exception("error in the service of a pipe")
        return 0, 0.0
