"""The vendors' errors. Their trees agree but for the name of the root, so there is one for all of them.

What triologue raises is translated into these at the edge of a face, and stays as the `__cause__`. Options and prompts
that cannot be are `ValueError`s there too, and pass as they are; so does what an agent does not have.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from triologue.errors import (
    AgentCrashed,
    AgentNotFound,
    AgentStartError,
    CallerError,
    InvalidOption,
    LimitError,
    NotLoggedIn,
    SessionIdInUse,
    SessionNotFound,
    TriologueError,
    TurnError,
    UnsupportedOption,
    UnsupportedRequest,
)
from triologue.messages import ResultMessage


class SDKError(Exception):
    """The root, under each vendor's own name."""


class CLIConnectionError(SDKError):
    """There is no connection to the agent."""


class CLINotFoundError(CLIConnectionError):
    """The agent's program is not there."""

    def __init__(self, message: str = "the agent's program was not found", cli_path: str | None = None) -> None:
        super().__init__(f"{message}: {cli_path}" if cli_path else message)


class ProcessError(SDKError):
    """The agent's process went away. Its text has the end of `stderr` already."""

    def __init__(self, message: str, exit_code: int | None = None, stderr: str | None = None) -> None:
        self.exit_code, self.stderr = exit_code, stderr
        super().__init__(message)


class ResultError(ProcessError):
    """The run ended with an error result, which was given before; its fields are here again."""

    def __init__(self, message: str, data: dict[str, Any] | None = None, exit_code: int | None = None) -> None:
        self.data = data if data is not None else {}
        errors = self.data.get("errors")
        self.subtype: str | None = self.data.get("subtype")
        self.errors: list[str] = [str(each) for each in errors] if isinstance(errors, list) else []
        self.result: str | None = self.data.get("result")
        self.api_error_status: int | None = self.data.get("api_error_status")
        self.terminal_reason: str | None = self.data.get("terminal_reason")
        self.session_id: str | None = self.data.get("session_id")
        super().__init__(message, exit_code)


class CLIJSONDecodeError(SDKError):
    """A line of the agent was no JSON. Never raised here: such a line is a `MalformedMessage`, and the next is read."""

    def __init__(self, line: str, original_error: Exception) -> None:
        self.line, self.original_error = line, original_error
        super().__init__(f"no JSON: {line[:100]!r}")


class UnsupportedCliCapabilityError(SDKError):
    """The agent that runs has not announced what this needs (Qoder)."""

    def __init__(self, capability: str) -> None:
        self.capability = capability
        super().__init__(f"the agent does not announce the capability {capability!r}; a newer version of it may")


def translated(error: TriologueError) -> Exception:
    """The vendor's error for one of ours; one that the vendors do not have passes as it is."""
    match error:
        case UnsupportedRequest(capability=str() as capability):
            return UnsupportedCliCapabilityError(capability)
        case InvalidOption() | UnsupportedOption() | UnsupportedRequest():
            return error
        case TurnError(__cause__=TriologueError() as cause):
            return translated(cause)
        case TurnError(result=ResultMessage() as result):
            return ResultError(str(error), result.data, exit_code=1)
        case _:
            return _of_the_link(error)


def _of_the_link(error: TriologueError) -> SDKError:
    match error:
        case AgentNotFound():
            return CLINotFoundError(str(error))
        case AgentCrashed():
            return ProcessError(str(error), error.exit_code, error.stderr_tail)
        case SessionNotFound() | SessionIdInUse():
            return ProcessError(str(error), exit_code=1)
        case AgentStartError() | NotLoggedIn() | CallerError() | LimitError():
            return CLIConnectionError(str(error))
        case _:
            return SDKError(str(error))


@contextmanager
def as_vendor() -> Generator[None]:
    """Raise the vendor's error where one of ours is raised inside."""
    try:
        yield
    except TriologueError as error:
        shown = translated(error)
        if shown is error:
            raise
        raise shown from error
