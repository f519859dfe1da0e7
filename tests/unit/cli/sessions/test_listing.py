"""The table of sessions: what it leaves out where there is little room, and what many rows cost."""

import io
import re
from typing import Any

from rich.console import Console

from triologue.cli.sessions.listing import print_table, table_of
from triologue.ports import StoredSession


class CountingConsole(Console):
    """Counts how often rich lays something out."""

    renders = 0

    def render(self, *args: Any, **kwargs: Any) -> Any:
        self.renders += 1
        return super().render(*args, **kwargs)


def test_a_narrow_terminal_gets_less() -> None:
    head = StoredSession(key="chat/1", agent="embedded", last_active=100.0)
    holders = {"chat/1": "bot.py on web-1, pid 7"}
    for width, names, state in (
        (70, ["KEY", "TITLE", "ACTIVE", "STATE"], "in use by bot.py…"),
        (None, ["KEY", "TITLE", "AGENT", "TURNS", "COST", "ACTIVE", "STATE"], "in use by bot.py on web-1, pid 7"),
    ):
        table = table_of([head], {"chat/1": "T" * 100}, holders, now=160.0, width=width)
        header, row = (line.plain for line in table.lines())
        assert header.split() == names
        cells = re.split(r" {2,}", row)
        assert (cells[0], cells[1][-1], cells[-2:]) == ("chat/1", "…", ["1 min ago", state])


def test_many_rows_are_not_laid_out_one_by_one() -> None:
    heads = [StoredSession(key=f"chat/{number}") for number in range(2_000)]
    console = CountingConsole(file=io.StringIO(), width=80, force_terminal=True)
    print_table(heads, {head.key: "title" for head in heads}, {"chat/7": "bot.py"}, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\n") == 2_001
    assert console.renders < 50
