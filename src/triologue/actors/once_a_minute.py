"""What clients, or a disk, can make a program log again and again: one line a minute, which tells of those between."""

from typing import Final, final

import trio

MINUTE: Final = 60.0

FORGET_ABOVE: Final = 1_000
"""Kinds that are remembered before those are forgotten whose minute is over."""


@final
class OnceAMinute:
    """Says of which of what is alike the log is told, on trio's clock. For what lives as long as the program."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], tuple[float, int]] = {}
        """Until when nothing is told, and how many were not."""

    def suffix(self, kind: str, error: BaseException | None = None) -> str | None:
        """One more of this kind: what its line ends with, `""` or ` (7 more since the last)`; None where it has no line.

        Args:
            kind: of what happened.
            error: what it was by. Of a kind, errors of one class that were raised in one place are alike: what breaks all
                the time must not hide what else breaks.
        """
        now, told = trio.current_time(), (kind, *_origin(error))
        until, untold = self._kinds.get(told, (now, 0))
        if now < until:
            self._kinds[told] = (until, untold + 1)
            return None
        if len(self._kinds) >= FORGET_ABOVE and told not in self._kinds:
            self._kinds = {each: said for each, said in self._kinds.items() if now < said[0]}
        self._kinds[told] = (now + MINUTE, 0)
        return f" ({untold} more since the last)" if untold else ""


def _origin(error: BaseException | None) -> tuple[object, ...]:
    """Its class, and the line that raised it; of a group, those of the first in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    place = error.__traceback__ if error is not None else None
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return (type(error), place.tb_frame.f_code.co_filename, place.tb_lineno) if place is not None else (type(error),)
