"""Many lines on the terminal."""

import io
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from triologue.cli.console import AT_ONCE, print_lines


class CountingConsole(Console):
    """Counts the lines that it is given in a call."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.calls: list[int] = []
        super().__init__(file=self.written, width=10, color_system="standard", force_terminal=True)

    def print(self, *objects: Any, **kwargs: Any) -> None:
        self.calls += [text.plain.count("\n") + 1 for text in objects]
        super().print(*objects, **kwargs)


def test_rich_has_some_lines_at_a_time_and_not_all() -> None:
    console = CountingConsole()
    asked_for: list[int] = []

    def lines() -> Iterator[Text]:
        for number in range(2 * AT_ONCE + 1):
            asked_for.append(len(console.calls))
            yield Text(f"line {number}, which is longer than the terminal", "red" if number == 0 else "")

    print_lines(lines(), console)
    assert console.calls == [AT_ONCE, AT_ONCE, 1]
    assert asked_for == [0] * AT_ONCE + [1] * AT_ONCE + [2], "nor are they made before"
    first, *others = console.written.getvalue().splitlines()
    assert first == "\x1b[31mline 0, which is longer than the terminal\x1b[0m"
    assert others == [f"line {number}, which is longer than the terminal" for number in range(1, 2 * AT_ONCE + 1)]


def test_no_lines_are_nothing() -> None:
    console = CountingConsole()
    print_lines([], console)
    assert (console.calls, console.written.getvalue()) == ([], "")
