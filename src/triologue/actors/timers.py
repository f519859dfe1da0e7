"""One heap of deadlines for all sessions of a manager."""

import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import final

import trio

# A thousand deadlines that pass together must not stall everything else until the last has been served.
SLICE = 100


class _Timer:
    """What is known under one key; its entry in the heap may come before its deadline, and is then put back."""

    __slots__ = ("callback", "deadline", "entry", "number")

    def __init__(self) -> None:
        self.deadline = self.entry = float("inf")
        self.callback: Callable[[], None] | None = None
        """None: nobody waits for it now, and it may soon be set again."""
        self.number = 0


@final
class Timers:
    """Calls back when a deadline passes. `run` must be running.

    Most that are set are cleared or set again, and never pass. So both only write down what holds, and the heap is
    corrected when the entry's time has come.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable]] = []
        self._timers: dict[Hashable, _Timer] = {}
        self._waiting = 0
        self._count = itertools.count(1)
        self._changed = trio.Event()
        self.now = trio.lowlevel.current_clock().current_time
        """As `trio.current_time`, in a third of its time."""

    def __len__(self) -> int:
        return self._waiting

    def set(self, key: Hashable, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback`, synchronously, in `seconds`; a timer of the same key is replaced."""
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = _Timer()
        if timer.callback is None:
            self._waiting += 1
        timer.callback = callback
        timer.deadline = self.now() + seconds
        if timer.deadline < timer.entry:
            self._push(key, timer)
            if self._heap[0][1] == timer.number:
                self._changed.set()

    def clear(self, key: Hashable) -> None:
        """Nobody waits for this timer any more, if there is one."""
        timer = self._timers.get(key)
        if timer is not None and timer.callback is not None:
            timer.callback = None
            self._waiting -= 1
            # So that most of what there is are those that are waited for, and to tidy costs each that comes the same.
            if len(self._heap) > 64 and len(self._heap) > 2 * self._waiting:
                self._tidy()

    def forget(self, key: Hashable) -> None:
        """It will not be set again either."""
        self.clear(key)
        self._timers.pop(key, None)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._changed = trio.Event()
            until = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(until):
                await self._changed.wait()
            await self._expire()

    def _push(self, key: Hashable, timer: _Timer) -> None:
        timer.entry, timer.number = timer.deadline, next(self._count)
        heapq.heappush(self._heap, (timer.entry, timer.number, key))

    def _tidy(self) -> None:
        self._timers = {key: timer for key, timer in self._timers.items() if timer.callback is not None}
        self._heap = [(timer.entry, timer.number, key) for key, timer in self._timers.items()]
        heapq.heapify(self._heap)

    async def _expire(self) -> None:
        served = 0
        while self._heap and self._heap[0][0] <= self.now():
            _, number, key = heapq.heappop(self._heap)
            timer = self._timers.get(key)
            if timer is not None and timer.number == number:
                self._serve(key, timer)
            served += 1
            if served % SLICE == 0:
                await trio.lowlevel.checkpoint()

    def _serve(self, key: Hashable, timer: _Timer) -> None:
        if timer.callback is None:
            del self._timers[key]
        elif timer.deadline > self.now():
            self._push(key, timer)
        else:
            del self._timers[key]
            self._waiting -= 1
            timer.callback()
