"""One gate: closed, then tried by a probe, then opened a slice at a time."""

from enum import Enum, auto
from typing import final

from triologue.session.usage_limits import LimitReached
from triologue.supervision.standings import Standings

FIRST_BACKOFF, MAX_BACKOFF = 60.0, 900.0
"""Seconds that it is closed where no time was named: at first, and at most."""
MAX_BELIEVED = 40 * 86_400.0
"""Seconds ahead that a named time may be; there is no limit by longer than a month, so that would be a mistake."""
PROBE_PATIENCE = 60.0
"""Seconds for a probe to tell; then another is let through too."""
FIRST_SLICE, MAX_SLICE = 4, 32
"""Turns let through at once after a good probe, and at most; each slice is twice the one before."""
SLICE_EVERY = 5.0
"""Seconds from one slice to the next."""


class State(Enum):
    """How far a gate is."""

    CLOSED = auto()
    PROBING = auto()
    """Its time has come: one turn at a time is let through, to see."""
    OPENING = auto()
    """A probe went well: those who wait are let through in slices."""


@final
class Gate:
    """The gate of one credential, from its first limit until nobody waits any more."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.waiting: dict[str, None] = {}
        """Keys, in the order in which they asked."""
        self.standings = Standings(self.waiting)
        self.probes: dict[str, None] = {}
        """Turns that were let through to see, and have not told."""
        self.due = 0.0
        """When it goes on, if somebody waits."""
        self.reason = ""
        self._repeats = 0
        self._slice = FIRST_SLICE

    @property
    def closed_until(self) -> float | None:
        """When it is tried again, while it is closed."""
        return self.due if self.state is State.CLOSED else None

    @property
    def is_open(self) -> bool:
        """Everyone has been let through, and it holds nobody any more."""
        return self.state is State.OPENING and not self.waiting

    def ask(self, key: str) -> None:
        """It waits from now on."""
        self.waiting[key] = None
        self.standings.changed()

    def withdraw(self, key: str) -> None:
        """It waits no more, and is no probe."""
        self.waiting.pop(key, None)
        self.probes.pop(key, None)
        self.standings.changed()

    def close(self, limit: LimitReached, now: float) -> None:
        """A limit was reached. While it is closed that tells nothing new, unless a later time is named."""
        named = limit.resets_at
        if named is not None and not now < named <= now + MAX_BELIEVED:
            named = None
        was_closed = self.state is State.CLOSED and self.due > now
        if was_closed and (named is None or named <= self.due):
            return
        if named is None:
            named = now + min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._repeats, 10))
        if not was_closed:
            self._repeats += 1
        self.state, self.due, self.reason = State.CLOSED, named, limit.reason
        self.probes.clear()

    def open(self, now: float) -> None:
        """A probe went well."""
        self.state, self.due = State.OPENING, now
        self._repeats, self._slice = 0, FIRST_SLICE
        self.probes.clear()

    def advance(self, now: float) -> list[str]:
        """Whoever is let through now."""
        if self.state is State.CLOSED and now >= self.due:
            self.state = State.PROBING
        if self.state is State.PROBING and (not self.probes or now >= self.due):
            probes = self._take(1)
            self.probes.update(dict.fromkeys(probes))
            self.due = now + PROBE_PATIENCE
            return probes
        if self.state is State.OPENING and now >= self.due:
            released = self._take(self._slice)
            self._slice = min(MAX_SLICE, 2 * self._slice)
            self.due = now + SLICE_EVERY
            return released
        return []

    def _take(self, count: int) -> list[str]:
        keys = list(self.waiting)[:count]
        for key in keys:
            del self.waiting[key]
        self.standings.changed()
        return keys
