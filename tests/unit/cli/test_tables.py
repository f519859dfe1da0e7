"""Tables with a line for each row."""

import pytest
from rich.cells import cell_len
from rich.style import Style

from triologue.cli.tables import Cell, Column, Table

COLUMNS = [Column("KEY", most=6), Column("TITLE", takes_rest=True), Column("TURNS", is_number=True)]


def table(width: int | None, *rows: tuple[Cell | str, ...]) -> list[str]:
    made = Table(COLUMNS, width=width)
    for row in rows:
        made.add(*row)
    return [line.plain for line in made.lines()]


def test_columns_are_as_wide_as_their_values() -> None:
    assert table(None, ("a long key", "b", "1"), ("日本", "tab\there", "1000000")) == [
        "KEY         TITLE       TURNS",
        "a long key  b               1",
        "日本        tab here  1000000",
    ]


def test_one_column_takes_what_a_terminal_has_left() -> None:
    assert table(20, ("a long key", "a long title", "1"), ("日本語の鍵", "b", "2")) == [
        "KEY     TITLE  TURNS",
        "a lon…  a lo…      1",
        "日本 …  b          2",
    ]


@pytest.mark.parametrize("width", range(7, 40))
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    lines = table(width, ("日本語の鍵", "日本語の題", "1" * 30), ("k", "t" * 50, "3"))
    assert {cell_len(line) for line in lines} == {width}


def test_a_style_is_that_of_its_value_alone() -> None:
    made = Table(COLUMNS, width=None)
    made.add("k", Cell("t", "green"), "1")
    assert [(span.start, span.end, span.style) for span in made.lines()[1].spans] == [(5, 10, "green")]
    assert Style.parse(str(made.lines()[0].spans[0].style)) == Style(color="bright_black")
