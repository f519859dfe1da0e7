"""What a foreign function calls to end the program, which is not its own."""

from collections.abc import Generator
from contextlib import contextmanager


class Exited(Exception):
    """A function that an agent called would have ended the whole program."""

    def __init__(self, code: object) -> None:
        super().__init__(f"it called sys.exit({'' if code is None else repr(code)}), which ends nothing here")


@contextmanager
def no_exit() -> Generator[None]:
    """In this block `SystemExit` is a failure: a command line that is wrapped as a tool ends by it, if it went well too.

    Raises:
        Exited: in its place, alone or in its group.
    """
    try:
        yield
    except SystemExit as exit:
        raise Exited(exit.code) from exit
    except BaseExceptionGroup as group:
        exits, rest = group.split(SystemExit)
        if exits is None:
            raise
        others = () if rest is None else (rest,)
        raise BaseExceptionGroup(group.message, [Exited(_first(exits).code), *others]) from group


def _first(exits: BaseExceptionGroup[SystemExit]) -> SystemExit:
    first = exits.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
