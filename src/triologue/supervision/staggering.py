"""Starts that may renew the same log-in: one begins after the other."""

import math
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
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()
        self._under_way: dict[Start, tuple[_Line, _Turn]] = {}
        self._waiting: set[Start] = set()

    async def enter(self, start: Start, login: str) -> None:
        """Wait for the turn of this one, not even a checkpoint where nobody is before it. `over` ends it."""
        line = self._lines.setdefault(login, _Line())
        self._waiting.add(start)
        try:
            self._under_way[start] = (line, await line.next())
        finally:
            self._waiting.discard(start)

    def begins(self, start: Start) -> None:
        """It waits for nothing else any more; without effect where it had no turn."""
        if start in self._under_way:
            self._under_way[start][1].begin()

    def over(self, start: Start) -> None:
        """It has come up, or failed, or was given up; without effect where that is known, or it had no turn."""
        if start in self._under_way:
            self._under_way.pop(start)[1].end()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def is_waiting(self, key: str) -> bool:
        """Does a start of this session wait for its turn?"""
        return any(waiting == key for waiting, _ in self._waiting)


@final
class _Turn:
    """Of one start."""

    __slots__ = ("_began", "_begun", "_over")

    def __init__(self) -> None:
        self._began = math.inf
        self._begun = trio.Event()
        self._over = trio.Event()

    def begin(self) -> None:
        self._began = trio.current_time()
        self._begun.set()

    def end(self) -> None:
        self._begun.set()
        self._over.set()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def passed(self) -> None:
        """Wait until the next one may begin."""
        await self._begun.wait()
        with trio.move_on_at(self._began + SPACING):
            await self._over.wait()


@final
class _Line:
    """Those with one log-in. It is kept by who waits in it or is under way, and gone when nobody is."""

    __slots__ = ("__weakref__", "_latest", "_lock")

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._latest: _Turn | None = None

    async def next(self) -> _Turn:
        """Wait for the turn of the caller."""
        if not self._lock.locked() and (self._latest is None or self._latest.is_over):
            return self._begin()
        async with self._lock:
            if self._latest is not None:
                await self._latest.passed()
            return self._begin()

    def _begin(self) -> _Turn:
        self._latest = _Turn()
        return self._latest
