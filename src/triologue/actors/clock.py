"""The deadlines of one session: how long each is, which run now, and which stand still."""

from collections.abc import Collection
from functools import lru_cache
from typing import TypeAlias, final

import trio

from triologue.actors.owner import Owner
from triologue.actors.timers import Timers
from triologue.options import Deadlines
from triologue.session import CONCLUDE, SILENCE, effects as do, inputs as on

# Those that a session must be told of, so that it does not ask for timers that nobody wants.
_TIMED = ("first_event", "silence", "tool", "turn", "idle", "max_age")

_Key: TypeAlias = tuple[int, str, str]  # of the session, the timer and what that is about


@lru_cache(maxsize=64)  # all sessions of a manager share one set
def timed(deadlines: Deadlines) -> frozenset[str]:
    """The names of the deadlines that there are, of those that may be None for a turn, its tools and an agent at rest."""
    return frozenset(name for name in _TIMED if getattr(deadlines, name) is not None)


@final
class Clock:
    """Sets timers in the heap of the manager, under keys of its own.

    Args:
        timers: the heap.
        deadlines: how long each deadline is.
        owner: takes the word that one has passed.
    """

    __slots__ = ("_deadlines", "_owner", "_paused", "_running", "_timers", "_token", "heard_at")

    def __init__(self, timers: Timers, deadlines: Deadlines, owner: Owner) -> None:
        self._timers = timers
        self._deadlines = deadlines
        self._owner = owner
        self._token = id(self)
        self._running: dict[_Key, on.Expired] = {}
        self._paused: dict[_Key, tuple[float, on.Expired]] = {}
        self.heard_at = 0.0
        """When the agent last said anything: the silence counts from there, and nothing is set anew for every word."""

    def set(self, effect: do.SetTimer) -> None:
        """Let a deadline run from now on."""
        seconds = self._seconds(effect.timer)
        if seconds is not None:
            self._start(seconds, on.Expired(effect.timer, effect.generation, effect.about, seconds))

    def clear(self, timer: str, about: str = "") -> None:
        """It no longer matters."""
        key = (self._token, timer, about)
        self._running.pop(key, None)
        self._paused.pop(key, None)
        self._timers.clear(key)

    def pause(self, timer: str) -> None:
        """It stands still."""
        key = (self._token, timer, "")
        expired, left = self._running.get(key), self._timers.remaining(key)
        if expired is not None and left is not None:
            self.clear(timer)
            self._paused[key] = (left, expired)

    def resume(self, timer: str) -> None:
        """It goes on with what was left."""
        paused = self._paused.pop((self._token, timer, ""), None)
        if paused is not None:
            self._start(*paused)

    def close(self) -> None:
        """None of them will be needed again."""
        for key in {*self._running, *((self._token, timer, "") for timer in _TIMED)}:
            self._timers.forget(key)
        self._running.clear()
        self._paused.clear()

    def next(self, *, but: Collection[str] = ()) -> tuple[str, str, float] | None:
        """The deadline that passes first: its name, what of, and the seconds until then.

        Args:
            but: names of deadlines that mean nothing now.
        """
        known = [(key[1], key[2], self._remaining(key)) for key in self._running if key[1] not in but]
        running = [(name, about, left) for name, about, left in known if left is not None]
        return min(running, key=lambda each: each[2], default=None)

    def _remaining(self, key: _Key) -> float | None:
        left = self._timers.remaining(key)
        if left is not None and key[1] == SILENCE and self._deadlines.silence is not None:
            left = max(left, self.heard_at + self._deadlines.silence - trio.current_time())
        return left

    def _seconds(self, timer: str) -> float | None:
        if timer == CONCLUDE:  # never without end: whoever lets an agent go waits for it
            return self._deadlines.close if self._deadlines.control is None else self._deadlines.control
        seconds: float | None = getattr(self._deadlines, timer)
        return seconds

    def _start(self, seconds: float, expired: on.Expired) -> None:
        key = (self._token, expired.timer, expired.about)
        self._running[key] = expired
        self._timers.set(key, seconds, _Alarm(self, expired))

    def passed(self, expired: on.Expired) -> None:
        """A deadline's time has come."""
        if expired.timer == SILENCE and self._deadlines.silence is not None:
            left = self.heard_at + self._deadlines.silence - trio.current_time()
            if left > 0:
                self._start(left, expired)
                return
        self._running.pop((self._token, expired.timer, expired.about), None)
        self._owner.ring(expired)


@final
class _Alarm:
    """What rings when a deadline passes. A quarter of what a partial of a method weighs, and one is set for each turn."""

    __slots__ = ("_clock", "_expired")

    def __init__(self, clock: Clock, expired: on.Expired) -> None:
        self._clock = clock
        self._expired = expired

    def __call__(self) -> None:
        self._clock.passed(self._expired)
