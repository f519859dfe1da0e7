"""What happened in the demo: every accepted turn, its outcome and how long it took."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import final

from msgspec import Struct

from triologue.messages import Outcome


class TurnRecord(Struct):
    """One turn that was accepted. Times are seconds from sending its prompt."""

    key: str
    outcome: Outcome | None = None
    first_text: float | None = None
    whole: float | None = None


@final
class Tally:
    """The demo's own books, kept from what callers see."""

    def __init__(self, *, conversations: int, turns: int) -> None:
        self.conversations = conversations
        """What the stories have, forks included."""
        self.expected = turns
        """What the stories have."""
        self.turns: list[TurnRecord] = []
        self.texts: dict[str, str] = {}
        """What is being said, by the key of each turn that runs."""
        self.forks = 0
        self.wakes = 0
        """Conversations that went on after their agent was let go."""
        self.recalls = 0
        """Answers that had to contain, and did contain, what was told before."""
        self.problems: list[str] = []

    def accept(self, key: str) -> TurnRecord:
        """A turn was accepted."""
        record = TurnRecord(key)
        self.turns.append(record)
        return record

    def outcomes(self) -> Counter[str]:
        """How many turns ended in which way."""
        return Counter(turn.outcome.kind for turn in self.turns if turn.outcome is not None)

    def done(self) -> int:
        """Turns that have their outcome."""
        return sum(turn.outcome is not None for turn in self.turns)

    def lost(self) -> int:
        """Accepted turns without an outcome."""
        return len(self.turns) - self.done()

    def whole_times(self) -> list[float]:
        """Seconds to the end of each answered turn."""
        return [turn.whole for turn in self._answered() if turn.whole is not None]

    def first_text_times(self) -> list[float]:
        """Seconds to the first words of each answered turn."""
        return [turn.first_text for turn in self._answered() if turn.first_text is not None]

    def _answered(self) -> list[TurnRecord]:
        return [turn for turn in self.turns if turn.outcome is not None and turn.outcome.kind == "answered"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
