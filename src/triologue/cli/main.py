"""The way into the `triologue` command, and its ways out: an exit code and, for an error, one line on stderr."""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click import ClickException

DEBUG_VARIABLE = "TRIOLOGUE_DEBUG"
MISSING_EXTRA = "triologue: the command needs its extra, install it with: pip install 'triologue[cli]'\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        argv: the arguments without the program's name; None: those of this process.
    """
    if find_spec("click") is None or find_spec("rich") is None:
        sys.stderr.write(MISSING_EXTRA)
        return 2
    _fill_what_is_closed()
    _calm_down()
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:  # while the command is still loaded, which takes a moment
        from triologue.cli.endings import ExitCode

        return ExitCode.INTERRUPTED


def _run(argv: list[str]) -> int:
    import click

    from triologue.cli.agent import agent
    from triologue.cli.commands import triologue
    from triologue.cli.endings import ExitCode

    triologue.add_command(agent)
    try:
        code = triologue.main(argv, prog_name="triologue", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        sys.stderr.write(f"{_usage_error(error)}\n")
        return ExitCode.USAGE
    except SystemExit:  # click makes one of a pipe that breaks, and of nothing else here
        _drop_stdout()
        return ExitCode.BROKEN_PIPE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the last one who can tell the user about it in one line
        return _tell(error)


def _tell(error: BaseException) -> int:
    """Say in one line what went wrong; return the exit code."""
    from triologue.cli.endings import ExitCode, exit_code_of, one_line

    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    code = exit_code_of(error)
    if code not in (ExitCode.BROKEN_PIPE, ExitCode.INTERRUPTED):
        sys.stderr.write(f"triologue: {one_line(error)}\n")
    try:
        sys.stdout.flush()
    except OSError:  # it is what is broken, and Python would say so at its exit
        _drop_stdout()
    return code


def _usage_error(error: "ClickException") -> str:
    """What is wrong with the command line, and who tells more."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "triologue"
    said = " ".join(error.format_message().split()).rstrip(".")
    return f"{path}: {said} (see `{path} --help`)"


def _drop_stdout() -> None:
    """Whoever read our output is gone, or its disk is full: what is left of it goes nowhere, quietly."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fill_what_is_closed() -> None:
    """A shell's `<&-` and `>&-` leave Python without a stream, and its number to whatever is opened next."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != fd:
                os.dup2(nowhere, fd)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", closefd=False))


def _calm_down() -> None:
    """No odd byte breaks the input or the output, and what is logged does not get into that."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    if os.environ.get(DEBUG_VARIABLE):
        logging.basicConfig(level=logging.INFO)
    else:
        logging.getLogger("triologue").addHandler(logging.NullHandler())
