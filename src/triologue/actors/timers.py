"""One heap of deadlines for all sessions of a manager."""

import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import final

import trio

# A thousand deadlines that pass together must not stall everything else until the last has been served.
SLICE = 100


@final
class Timers:
    """Calls back when a deadline passes. `run` must be running."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable]] = []
        self._callbacks: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._count = itertools.count()
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._callbacks)

    def set(self, key: Hashable, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback`, synchronously, in `seconds`; a timer of the same key is replaced."""
        deadline, number = trio.current_time() + seconds, next(self._count)
        self._callbacks[key] = (number, callback)
        heapq.heappush(self._heap, (deadline, number, key))
        if self._heap[0][1] == number:
            self._changed.set()

    def clear(self, key: Hashable) -> None:
        """Forget a timer, if there is one."""
        if self._callbacks.pop(key, None) is None:
            return
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._callbacks):
            live = {number for number, _ in self._callbacks.values()}
            self._heap = [entry for entry in self._heap if entry[1] in live]
            heapq.heapify(self._heap)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._changed = trio.Event()
            until = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(until):
                await self._changed.wait()
            await self._expire()

    async def _expire(self) -> None:
        served = 0
        while self._heap and self._heap[0][0] <= trio.current_time():
            _, number, key = heapq.heappop(self._heap)
            entry = self._callbacks.get(key)
            if entry is not None and entry[0] == number:
                del self._callbacks[key]
                entry[1]()
            served += 1
            if served % SLICE == 0:
                await trio.lowlevel.checkpoint()
