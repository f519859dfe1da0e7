"""Who sends what waits on all connections: one task, because to wake a task for each costs more than to send."""

from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol, final

import trio

SWEEP: Final = 0.005
"""Seconds between two looks at what was to wait for a while, so that one look finds what is due of many."""

ROUND: Final = 64
"""Connections that are served before other tasks have their turn."""


class Sender(Protocol):
    """A connection's outgoing side."""

    def flush(self, now: float) -> None:
        """Send what is due by now, on trio's clock. Neither waits nor raises."""
        ...


@final
class Flusher:
    """Of one gateway; `run` must be running."""

    def __init__(self) -> None:
        self._soon: dict[Sender, None] = {}
        self._later: list[tuple[float, int, Sender]] = []
        """A heap. The number decides between two that are due at the same time."""
        self._numbers = count()
        self._news = trio.Event()
        self.now = 0.0
        """When it looked last, on trio's clock."""

    def soon(self, sender: Sender) -> None:
        """Flush it when who speaks now has said all."""
        if not self._soon:
            self._news.set()
        self._soon[sender] = None

    def at(self, due: float, sender: Sender) -> None:
        """Flush it at this time, on trio's clock, or at most a `SWEEP` later."""
        if not self._later or due < self._later[0][0]:
            self._news.set()
        heappush(self._later, (due, next(self._numbers), sender))

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            now = self.now = trio.current_time()
            while self._later and self._later[0][0] <= now:
                self._soon[heappop(self._later)[2]] = None
            for sender in list(self._soon)[:ROUND]:
                del self._soon[sender]
                sender.flush(now)
            if self._soon:
                await trio.lowlevel.checkpoint()
            else:
                await self._wait(now + SWEEP)

    async def _wait(self, earliest: float) -> None:
        self._news = trio.Event()
        if not self._later:
            await self._news.wait()
            return
        with trio.move_on_at(max(self._later[0][0], earliest)):
            await self._news.wait()
