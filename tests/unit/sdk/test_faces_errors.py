"""The vendors' errors for ours."""

import pytest

import triologue as tri
from triologue.sdk import claude, qoder
from triologue.sdk.vendor.errors import as_vendor, translated


def failed(cause: Exception | None = None, result: tri.ResultMessage | None = None) -> tri.TurnFailed:
    error = tri.TurnFailed("failed", result=result)
    error.__cause__ = cause
    return error


RESULT = tri.ResultMessage(
    subtype="error_max_turns",
    duration_ms=1,
    duration_api_ms=1,
    is_error=True,
    num_turns=3,
    session_id="s",
    errors=["too many"],
    terminal_reason="max_turns",
)


HUNG = tri.TurnTimeout("start", seconds=60)
HUNG.__cause__ = tri.AgentStartError("it did not answer")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tri.AgentNotFound("x"), claude.CLINotFoundError),
        (tri.AgentStartError("x"), claude.CLIConnectionError),
        (tri.NotLoggedIn("x"), claude.CLIConnectionError),
        (tri.AgentCrashed("x", exit_code=7, stderr_tail="oh"), claude.ProcessError),
        (failed(tri.AgentCrashed("x")), claude.ProcessError),
        (failed(HUNG), claude.CLIConnectionError),
        (failed(result=RESULT), claude.ResultError),
        (tri.SessionNotFound("x"), claude.ProcessError),
        (tri.SessionIdInUse("x"), claude.ProcessError),
        (tri.ManagerClosed("x"), claude.CLIConnectionError),
        (tri.MailboxFull("x"), claude.CLIConnectionError),
        (tri.AgentProtocolError("x"), claude.ClaudeSDKError),
        (tri.StoreError("x"), claude.ClaudeSDKError),
        (tri.UnsupportedRequest("qoder", "get_goal", capability="goal_v1"), qoder.UnsupportedCliCapabilityError),
        (tri.InvalidOption("x"), tri.InvalidOption),
        (tri.UnsupportedOption("a", "o", 1), tri.UnsupportedOption),
        (tri.UnsupportedRequest("a", "r"), tri.UnsupportedRequest),
    ],
)
def test_each_has_its_own(ours: tri.TriologueError, theirs: type[Exception]) -> None:
    assert type(translated(ours)) is theirs
    with pytest.raises(theirs) as caught, as_vendor():
        raise ours
    assert caught.value is ours or caught.value.__cause__ is ours


def test_they_tell_what_the_vendors_tell() -> None:
    crash = translated(tri.AgentCrashed("gone", exit_code=7, stderr_tail="oh"))
    assert isinstance(crash, claude.ProcessError)
    assert (crash.exit_code, crash.stderr) == (7, "oh")
    error = translated(failed(result=RESULT))
    assert isinstance(error, claude.ResultError)
    assert (error.subtype, error.errors, error.terminal_reason, error.session_id, error.exit_code) == (
        "error_max_turns",
        ["too many"],
        "max_turns",
        "s",
        1,
    )
    missing = translated(tri.UnsupportedRequest("qoder", "get_goal", capability="goal_v1"))
    assert isinstance(missing, qoder.UnsupportedCliCapabilityError)
    assert missing.capability == "goal_v1"


def test_they_can_be_made_as_the_vendors() -> None:
    assert str(claude.CLINotFoundError("not here", "/bin/claude")) == "not here: /bin/claude"
    assert claude.ResultError("x", {"errors": [1], "result": "r"}, 2).errors == ["1"]
    assert claude.CLIJSONDecodeError("{", ValueError()).line == "{"
