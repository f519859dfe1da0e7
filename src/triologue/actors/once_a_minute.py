"""What clients, or a disk, can make a program log again and again: one line a minute, which tells of those between."""

from typing import Final, final

import trio

MINUTE: Final = 60.0


@final
class OnceAMinute:
    """Says of which of what is alike the log is told, on trio's clock. For what lives as long as the program."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}
        """Until when nothing is told, and how many were not."""

    def suffix(self, kind: str) -> str | None:
        """One more of this kind: what its line ends with, `""` or ` (7 more since the last)`; None where it has no line.

        Args:
            kind: of few; each is remembered.
        """
        now = trio.current_time()
        until, untold = self._kinds.get(kind, (now, 0))
        if now < until:
            self._kinds[kind] = (until, untold + 1)
            return None
        self._kinds[kind] = (now + MINUTE, 0)
        return f" ({untold} more since the last)" if untold else ""
