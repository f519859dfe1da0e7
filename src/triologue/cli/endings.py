"""How a command ends: its exit code, and the one line that says why."""

import errno
from enum import IntEnum

from triologue.agents.discovery import PROGRAMS
from triologue.errors import (
    START_AFRESH,
    AgentNotFound,
    AgentStartError,
    CallerError,
    NotLoggedIn,
    SessionNotFound,
    TriologueError,
    TurnError,
    TurnInterrupted,
)


class ExitCode(IntEnum):
    """What a script can tell from `$?`. The numbers above 100 are those that shells use."""

    OK = 0
    """Answered; or all is well."""
    FAILED = 1
    """The turn failed; or something was found that is not well."""
    USAGE = 2
    """The command line, or a value in it, cannot be."""
    NO_AGENT = 3
    """The agent is not installed, does not start, or has no account."""
    NO_SESSION = 4
    """There is no conversation with the id that was asked for."""
    BUG = 70
    """A bug in triologue."""
    TIMED_OUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


def sole_error(error: BaseException) -> BaseException:
    """The error that tells most: the first one in a group, and what stands behind a turn that failed."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    while isinstance(error, TurnError) and isinstance(error.__cause__, TriologueError):
        error = error.__cause__
    return error


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that an error means."""
    match sole_error(error):
        case KeyboardInterrupt() | TurnInterrupted():
            return ExitCode.INTERRUPTED
        case BrokenPipeError():
            return ExitCode.BROKEN_PIPE
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            return ExitCode.FAILED
        case CallerError():
            return ExitCode.USAGE
        case AgentNotFound() | AgentStartError() | NotLoggedIn():
            return ExitCode.NO_AGENT
        case SessionNotFound():
            return ExitCode.NO_SESSION
        case TriologueError():
            return ExitCode.FAILED
        case _:
            return ExitCode.BUG


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    error = sole_error(error)
    said = str(error).strip()
    if isinstance(error, AgentNotFound) and "\n" in said:
        # Its text lists every place that was looked at, and a screenful is no clear line.
        missing = next((each.missing for each in PROGRAMS.values() if said.startswith(each.title)), said.split("\n")[0])
        return f"{missing} (`triologue doctor` lists where it was looked for)"
    if isinstance(error, NotLoggedIn) and said.partition(":")[0] in PROGRAMS:  # its own words, and it may have several
        said = f"{said} (`triologue doctor` says which account it would use)"
    if isinstance(error, SessionNotFound):
        said = said.replace(START_AFRESH, "`triologue sessions list` shows what is kept")
    if isinstance(error, OSError) and exit_code_of(error) is ExitCode.FAILED:
        return f"the output cannot be written: {error.strerror}"
    if not isinstance(error, TriologueError):
        return f"a bug in triologue, please report it: {type(error).__name__}: {' '.join(said.split())}"
    return " ".join(said.split())
