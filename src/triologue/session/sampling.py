"""What one agent can make a program log again and again: it is told of now and then, so that no agent fills the log."""

from typing import final

TOLD = 10
"""Of what is alike each of these is told; of more, those that make it ten times as many."""


@final
class LogSampler:
    """Counts what is alike, and says of which the log is told. For as long as one agent lives."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] | None = None  # made when it is needed, which it seldom is

    def suffix(self, kind: str) -> str | None:
        """One more of this kind: what its line has behind its kind, `""` or ` (1000 by now)`; None where it is to have no line."""
        counts = self._counts = self._counts if self._counts is not None else {}
        count = counts[kind] = counts.get(kind, 0) + 1
        if count <= TOLD:
            return ""
        return f" ({count} by now)" if str(count).strip("0") == "1" else None
