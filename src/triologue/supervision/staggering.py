"""Starts with the same credentials: one begins after the other."""

from collections.abc import Hashable
from typing import Final, TypeAlias, final
from weakref import WeakValueDictionary

import trio

SPACING: Final = 1.0
"""Seconds after which the next one begins in any case: one that takes long must not hold up all others."""

Start: TypeAlias = tuple[str, int]
"""The key of a session, and the generation of its agent."""


@final
class Staggering:
    """Lets each start begin when the one before it has come up or failed, or `SPACING` seconds after that began.

    A vendor's program may renew its log-in when it starts. Of several that do so at once, only one may be left with
    a log-in that counts; those that start later find the one that was renewed.
    """

    def __init__(self) -> None:
        self._lines: WeakValueDictionary[Hashable, _Line] = WeakValueDictionary()
        self._under_way: dict[Start, tuple[_Line, trio.Event]] = {}
        self._waiting: set[Start] = set()

    async def enter(self, start: Start, credential: Hashable) -> None:
        """Wait for the turn of this one, not even a checkpoint where nobody is before it. `over` ends it."""
        line = self._lines.setdefault(credential, _Line())
        self._waiting.add(start)
        try:
            self._under_way[start] = (line, await line.next())
        finally:
            self._waiting.discard(start)

    def over(self, start: Start) -> None:
        """It has come up, or failed, or was given up; without effect where that is known, or it had no turn."""
        _, over = self._under_way.pop(start, (None, None))
        if over is not None:
            over.set()

    def is_waiting(self, key: str) -> bool:
        """Does a start of this session wait for its turn?"""
        return any(waiting == key for waiting, _ in self._waiting)


@final
class _Line:
    """Those with one credential. It is kept by who waits in it or is under way, and gone when nobody is."""

    __slots__ = ("__weakref__", "_began", "_latest", "_lock")

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._began = 0.0
        self._latest: trio.Event | None = None

    async def next(self) -> trio.Event:
        """Wait for the turn of the caller; what it gives is to be set when its start is over."""
        if not self._lock.locked() and (self._latest is None or self._latest.is_set()):
            return self._begin()
        async with self._lock:
            if self._latest is not None:
                with trio.move_on_at(self._began + SPACING):
                    await self._latest.wait()
            return self._begin()

    def _begin(self) -> trio.Event:
        self._began, self._latest = trio.current_time(), trio.Event()
        return self._latest
