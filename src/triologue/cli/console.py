"""The terminal, or whatever the output is."""

import shutil
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, final

import msgspec
from rich.console import Console
from rich.text import Text

AT_ONCE: Final = 500
"""Lines that rich is given in one call. It takes its time for each call, and a kilobyte for each line until its end."""

PIPE_WIDTH = 2_000
"""Characters of a line that nobody sees in a terminal."""


@final
class _Console(Console):
    """Whoever reads the output may leave early; then `main` ends as a shell expects, and not as rich does."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def new_console() -> Console:
    """A console on standard output, that colours nothing by itself."""
    console = _Console(highlight=False)
    if not console.width:  # COLUMNS=0, which says that nobody knows: rich would print nothing at all
        console.width = shutil.get_terminal_size().columns
    return console


def print_lines(lines: Iterable[Text], console: Console) -> None:
    """Print any number of lines, each as long as it is."""
    rest = iter(lines)
    while some := list(islice(rest, AT_ONCE)):
        console.print(Text("\n").join(some), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print it, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
