"""Tables with a line for each row, of any number of rows: rich's own take a thousandth of a second for each of them."""

from collections.abc import Sequence
from typing import Final, NamedTuple, final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from triologue.cli.console import print_lines

GAP: Final = "  "
HEADER: Final = "bright_black"


class Column(NamedTuple):
    """What is the same in all rows."""

    name: str
    is_number: bool = False
    """It is aligned to the right."""
    most: int | None = None
    """Cells that it has at most, where the width of the table is bounded."""
    takes_rest: bool = False
    """It has what the others leave, where the width is bounded. One column has to."""


class Cell(NamedTuple):
    """One value."""

    text: str
    style: str = ""
    """As rich names it."""


@final
class Table:
    """Columns under their names; what has no room is cut, and its end is shown as `…`.

    Args:
        columns: from left to right.
        width: cells of a line, as a terminal has them; None: as many as it takes.
    """

    def __init__(self, columns: Sequence[Column], *, width: int | None) -> None:
        self._columns: Final = columns
        self._width: Final = width
        self._rows: Final[list[list[Cell]]] = []

    def add(self, *cells: Cell | str) -> None:
        """One more row: a value for each column, in one line."""
        given = (cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)
        self._rows.append([Cell(text.replace("\t", " "), style) for text, style in given])

    def lines(self) -> list[Text]:
        """The names, and the rows."""
        rows = [[Cell(column.name, HEADER) for column in self._columns], *self._rows]
        widths = self._widths(rows)
        return [self._line(row, widths) for row in rows]

    def print(self, console: Console) -> None:
        """Print it, however wide the console takes itself to be."""
        print_lines(self.lines(), console)

    def _widths(self, rows: list[list[Cell]]) -> list[int]:
        widths = [max(_cells_of(row[number].text) for row in rows) for number in range(len(self._columns))]
        if self._width is None:
            return widths
        for number, column in enumerate(self._columns):
            if column.most is not None:
                widths[number] = min(widths[number], column.most)
            elif column.takes_rest:
                widths[number] = 0
        room = self._width - len(GAP) * (len(widths) - 1)
        rest = next(number for number, column in enumerate(self._columns) if column.takes_rest)
        widths[rest] = max(1, room - sum(widths))
        while sum(widths) > room and max(widths) > 1:
            widths[widths.index(max(widths))] -= 1
        return widths

    def _line(self, row: list[Cell], widths: list[int]) -> Text:
        shown = [
            _fitted(cell.text, width, is_number=column.is_number)
            for column, cell, width in zip(self._columns, row, widths, strict=True)
        ]
        line = Text(GAP.join(shown), no_wrap=True, overflow="ellipsis")
        begin = 0
        for cell, text in zip(row, shown, strict=True):
            if cell.style:
                line.stylize(cell.style, begin, begin + len(text))
            begin += len(text) + len(GAP)
        return line


def _cells_of(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)  # most is, and rich looks at each character


def _fitted(text: str, width: int, *, is_number: bool) -> str:
    """Text with exactly so many cells."""
    room = width - _cells_of(text)
    if room < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * room + text if is_number else text + " " * room
