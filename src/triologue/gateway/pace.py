"""How many prompts a token may send in a second."""

from typing import Final, final

FORGET_ABOVE: Final = 1_000
"""Tokens that are remembered before those are forgotten that have sent nothing lately."""


@final
class Pace:
    """What each token has sent lately.

    Args:
        rate: prompts a second, and as many at once.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._spent: dict[str, tuple[float, float]] = {}
        """By token: prompts that count at a time."""

    def __len__(self) -> int:
        return len(self._spent)

    def spend(self, id: str, now: float) -> bool:
        """Count one more of this token; False: that would be too many, and it does not count."""
        spent = self._left(id, now) + 1
        if spent > max(self.rate, 1):
            return False
        if len(self._spent) >= FORGET_ABOVE and id not in self._spent:
            self._spent = {each: said for each, said in self._spent.items() if self._left(each, now) > 0}
        self._spent[id] = (spent, now)
        return True

    def _left(self, id: str, now: float) -> float:
        spent, then = self._spent.get(id, (0.0, now))
        return max(0.0, spent - (now - then) * self.rate)
