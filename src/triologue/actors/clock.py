"""The deadlines of one session: how long each is, which run now, and which stand still."""

from collections.abc import Collection
from functools import lru_cache
from typing import Protocol, TypeAlias, final

from triologue.actors.timers import Timers
from triologue.options import Deadlines
from triologue.session import CONCLUDE, SILENCE, effects as do, inputs as on

# Those that a session must be told of, so that it does not ask for timers that nobody wants.
_TIMED = ("first_event", "silence", "tool", "turn", "idle", "max_age")

_Key: TypeAlias = tuple[str, str]  # the timer, and what it is about
_Running: TypeAlias = tuple[float, do.SetTimer]  # when it passes, on trio's clock, and how it was set
_Paused: TypeAlias = tuple[float, do.SetTimer]  # what was left of it


@lru_cache(maxsize=64)  # all sessions of a manager share one set
def timed(deadlines: Deadlines) -> frozenset[str]:
    """The names of the deadlines that there are, of those that may be None for a turn, its tools and an agent at rest."""
    return frozenset(name for name in _TIMED if getattr(deadlines, name) is not None)


class Rings(Protocol):
    """Whose deadlines they are."""

    def ring(self, expired: on.Expired) -> None:
        """One has passed."""
        ...


@final
class Clock:
    """Knows when each deadline of its session passes. The manager's heap wakes it, under one entry for all of them.

    Several are set and cleared in every turn, and hardly one passes. So what is cleared, or set to a later time than
    the heap has for this clock, is only written down here.

    Args:
        timers: the heap.
        deadlines: how long each deadline is.
        owner: takes the word that one has passed.
    """

    __slots__ = ("_deadlines", "_entry", "_owner", "_paused", "_running", "_timers", "_wakes_at", "heard_at")

    def __init__(self, timers: Timers, deadlines: Deadlines, owner: Rings) -> None:
        self._timers = timers
        self._deadlines = deadlines
        self._owner = owner
        self._entry = object()
        """Under this it is in the heap, which keeps what is forgotten for a while: not a session that is put away."""
        self._running: dict[_Key, _Running] = {}
        self._paused: dict[_Key, _Paused] = {}
        self._wakes_at = float("inf")
        self.heard_at = 0.0
        """When the agent last said anything: the silence counts from there, and nothing is set anew for every word."""

    def __len__(self) -> int:
        return len(self._running)

    def set(self, effect: do.SetTimer) -> None:
        """Let a deadline run from now on."""
        seconds = self._seconds(effect.timer)
        if seconds is not None:
            self._start(seconds, effect)

    def clear(self, timer: str, about: str = "") -> None:
        """It no longer matters."""
        self._running.pop((timer, about), None)
        if self._paused:
            self._paused.pop((timer, about), None)

    def pause(self, timer: str) -> None:
        """It stands still."""
        running = self._running.pop((timer, ""), None)
        if running is not None:
            passes_at, effect = running
            self._paused[timer, ""] = (passes_at - self._timers.now(), effect)

    def resume(self, timer: str) -> None:
        """It goes on with what was left."""
        paused = self._paused.pop((timer, ""), None)
        if paused is not None:
            self._start(*paused)

    def close(self) -> None:
        """None of them will be needed again."""
        self._running.clear()
        self._paused.clear()
        self._wakes_at = float("inf")
        self._timers.forget(self._entry)

    def next(self, *, but: Collection[str] = ()) -> tuple[str, str, float] | None:
        """The deadline that passes first: its name, what of, and the seconds until then.

        Args:
            but: names of deadlines that mean nothing now.
        """
        now = self._timers.now()
        running = [(*key, self._passes_at(key) - now) for key in self._running if key[0] not in but]
        return min(running, key=lambda each: each[2], default=None)

    def _passes_at(self, key: _Key) -> float:
        passes_at, _ = self._running[key]
        if key[0] == SILENCE and self._deadlines.silence is not None:
            passes_at = max(passes_at, self.heard_at + self._deadlines.silence)
        return passes_at

    def _seconds(self, timer: str) -> float | None:
        if timer == CONCLUDE:  # never without end: whoever lets an agent go waits for it
            return self._deadlines.close if self._deadlines.control is None else self._deadlines.control
        seconds: float | None = getattr(self._deadlines, timer)
        return seconds

    def _start(self, seconds: float, effect: do.SetTimer) -> None:
        passes_at = self._timers.now() + seconds
        self._running[effect.timer, effect.about] = (passes_at, effect)
        if passes_at < self._wakes_at:
            self._wake_at(passes_at)

    def _wake_at(self, time: float) -> None:
        self._wakes_at = time
        self._timers.set(self._entry, time - self._timers.now(), self._woken)

    def _woken(self) -> None:
        """Tell of those that have passed, in order, as far as nobody clears them meanwhile; sleep until the next."""
        self._wakes_at = float("inf")
        now = self._timers.now()
        for key in sorted(self._running, key=self._passes_at):
            if key in self._running and self._passes_at(key) <= now:
                _, effect = self._running.pop(key)
                seconds = self._seconds(effect.timer)
                self._owner.ring(on.Expired(effect.timer, effect.generation, effect.about, seconds))
        if self._running:
            self._wake_at(min(map(self._passes_at, self._running)))
