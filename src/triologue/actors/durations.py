"""How long things took, as a histogram: a few numbers, whatever happens."""

from bisect import bisect_left
from typing import Final

import msgspec
from msgspec import Struct

BOUNDS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Seconds. Turns take from a second to an hour, and these steps tell slow ones from stuck ones."""


class Durations(Struct):
    """Durations that were counted."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """How many were at most as long as the bound of their place in `BOUNDS`, and longer than the one before it; the last
    counts those that were longer than all."""
    seconds: float = 0.0
    """All of them together."""

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> "Durations":
        """As they are now."""
        return Durations(self.counts.copy(), self.seconds)
