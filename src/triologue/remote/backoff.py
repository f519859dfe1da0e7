"""How long to wait before the next attempt to connect."""

from collections.abc import Callable
from typing import Final, final

MAX_DELAY: Final = 30.0
"""Seconds; no wait is longer."""
_FIRST_DELAY: Final = 0.5
_STEADY: Final = 10.0
"""Seconds that a connection must have held for the next attempt to come at once."""


@final
class Backoff:
    """The first attempt comes at once, each next one after about twice as long, at most `MAX_DELAY`.

    By chance it is up to half less, so that the many clients of a gateway do not all come back together.

    Args:
        roll: a number from 0 to 1 by chance.
    """

    def __init__(self, roll: Callable[[], float]) -> None:
        self._roll = roll
        self._failures = 0

    def next(self, held: float) -> float:
        """Seconds to wait.

        Args:
            held: seconds that the last connection was open; 0 where there was none.
        """
        if held >= _STEADY:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        longest = min(MAX_DELAY, _FIRST_DELAY * 2.0 ** min(self._failures - 2, 10))
        return longest * (0.5 + self._roll() / 2)
