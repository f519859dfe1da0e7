"""Ctrl-C while a command is loaded, which takes a moment, ends it without a traceback."""

import signal
import sys
import threading
from types import TracebackType

COMMANDS = ("triologue", "triologue-agent")


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # A KeyboardInterrupt that nobody has caught ends the process by SIGINT, and that tells a shell enough.
    if not issubclass(kind, KeyboardInterrupt):
        _before(kind, error, trace)


_before = sys.excepthook
# What this process was started as comes before its arguments: a program's path, or behind `-m` the name of a module.
_started_as = sys.orig_argv[-len(sys.argv) :][:1]
_is_command = any(each.rpartition("/")[2] in COMMANDS for each in _started_as)
if _is_command:
    sys.excepthook = _show

# An exception in the middle of what msgspec makes of a class has crashed Python, once in 200 times.
_is_held = (
    _is_command
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _is_held:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def over() -> None:
    """All of it is loaded."""
    if _is_held and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
