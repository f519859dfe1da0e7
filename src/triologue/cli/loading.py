"""Ctrl-C while a command is loaded, which takes a moment, ends it without a traceback."""

import sys
from types import TracebackType

COMMANDS = ("triologue", "triologue-agent")


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # A KeyboardInterrupt that nobody has caught ends the process by SIGINT, and that tells a shell enough.
    if not issubclass(kind, KeyboardInterrupt):
        _before(kind, error, trace)


_before = sys.excepthook
# What this process was started as comes before its arguments: a program's path, or behind `-m` the name of a module.
_started_as = sys.orig_argv[-len(sys.argv) :][:1]
if any(each.rpartition("/")[2] in COMMANDS for each in _started_as):
    sys.excepthook = _show
