"""The terminal, or whatever the output is."""

from typing import final

from rich.console import Console


@final
class _Console(Console):
    """Whoever reads the output may leave early; then `main` ends as a shell expects, and not as rich does."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def new_console() -> Console:
    """A console on standard output, that colours nothing by itself."""
    return _Console(highlight=False)
