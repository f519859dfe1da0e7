"""The terminal, or whatever the output is."""

import shutil
import sys
from typing import Any, final

import msgspec
from rich.console import Console


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


def print_json(value: Any) -> None:
    """Print it, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
