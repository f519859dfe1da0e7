"""The agent as a program: the engine between stdin and stdout."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from triologue.standin.launch import Launch

TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Be the agent of a host that started this program; return the exit code.

    Args:
        argv: the arguments without the program's name; None: those of this process.
    """
    signal.signal(signal.SIGTERM, _terminated)  # until the event loop runs, which takes it over
    from triologue.standin.grammar import UsageError

    try:
        return _run(sys.argv[1:] if argv is None else list(argv), os.environ)
    except UsageError as error:
        _complain(f"{error.text}\n")
        return error.code
    except KeyboardInterrupt:
        return 0


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(TERMINATED)


def _run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    from triologue.standin.launch import read_launch

    launch = read_launch(words, environment)
    if launch.shows is not None:
        from triologue.standin.texts import help_text, version_text

        if sys.stdout is None:
            return 1
        sys.stdout.write(version_text(launch.dialect) if launch.shows == "version" else help_text(launch.dialect))
        return 0
    return _serve(launch, environment)


def _serve(launch: "Launch", environment: Mapping[str, str]) -> int:
    import trio

    from triologue.standin.assembly import assemble
    from triologue.standin.grammar import UsageError
    from triologue.standin.stdio import serve_stdio

    if sys.stdin is None or sys.stdout is None:
        raise UsageError("Error: stdin and stdout must be open, for the frames go over them")
    setup = assemble(launch, environment)
    exit = trio.run(partial(serve_stdio, launch, setup, environment))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is done, and how it ended stays as it is
    _complain(exit.stderr_tail)
    return exit.code or 0


def _complain(text: str) -> None:
    """Write to stderr, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(text)
