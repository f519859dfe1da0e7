"""How many stand before each in a line."""

from collections.abc import Iterable
from typing import final


@final
class Standings:
    """Counted for all at once, when somebody asks: who asks for one mostly asks for each, and the line may be long.

    Args:
        line: the keys that wait, in order.
    """

    def __init__(self, line: Iterable[str]) -> None:
        self._line = line
        self._before: dict[str, int] | None = None

    def changed(self) -> None:
        """The line is another from now on."""
        self._before = None

    def before(self, key: str) -> int:
        """How many stand before this one, which is in it."""
        if self._before is None:
            self._before = {key: number for number, key in enumerate(self._line)}
        return self._before[key]
