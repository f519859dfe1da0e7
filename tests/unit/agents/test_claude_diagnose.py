"""Why Claude Code went away, by its exit code and the texts that version 2.1.329 gives."""

from pathlib import Path

import pytest

from triologue.agents.claude_code import ClaudeCode
from triologue.errors import (
    AgentCrashed,
    AgentStartError,
    InvalidOption,
    NotLoggedIn,
    SessionIdInUse,
    SessionNotFound,
    TriologueError,
)
from triologue.messages import ResultMessage
from triologue.options import Options
from triologue.ports import Exit

ID = "688c0727-6f95-4d66-8683-e80df56b0870"
OTHER = "538ff161-7d4b-4250-a9e8-4671b9eb53ca"
AGENT = ClaudeCode(environ={"HOME": "/home/bot"})


def refusal(*errors: str) -> ResultMessage:
    """What it says instead of answering the handshake."""
    return ResultMessage(
        subtype="error_during_execution",
        duration_ms=0,
        duration_api_ms=0,
        is_error=True,
        num_turns=0,
        session_id=OTHER,
        errors=list(errors),
    )


def said(error: TriologueError) -> tuple[type[TriologueError], str]:
    return type(error), str(error)


def test_no_conversation_has_the_id() -> None:
    text = f"No conversation found with session ID: {ID}"
    options = Options(resume=ID, cwd="/work")
    error = AGENT.diagnose(Exit(code=1, stderr_tail=text + "\n"), refusal(text), options)
    assert isinstance(error, SessionNotFound)
    assert (error.session_id, error.cwd, error.config_dir) == (ID, "/work", "/home/bot/.claude")
    assert str(error) == (
        f"no conversation has the session id '{ID}' (cwd '/work', config folder '/home/bot/.claude'); "
        "start afresh by leaving `resume` out, or under a manager's key by `session.reset()`"
    )


def test_without_a_folder_of_its_own_it_looked_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exit = Exit(code=1, stderr_tail=f"No conversation found with session ID: {ID}\n")
    error = AGENT.diagnose(exit, None, Options(resume=ID))
    assert isinstance(error, SessionNotFound)
    assert error.cwd == tmp_path


@pytest.mark.parametrize(
    ("env", "config_dir"),
    [
        ({"HOME": "/other"}, "/other/.claude"),
        ({"CLAUDE_CONFIG_DIR": "/config", "HOME": "/other"}, "/config"),
    ],
)
def test_the_config_folder_is_the_one_that_the_agent_was_given(env: dict[str, str], config_dir: str) -> None:
    exit = Exit(code=1, stderr_tail=f"No conversation found with session ID: {ID}\n")
    error = AGENT.diagnose(exit, None, Options(resume=ID, env=env))
    assert isinstance(error, SessionNotFound)
    assert error.config_dir == config_dir


def test_no_conversation_has_the_title() -> None:
    text = (
        "Error: --resume requires a valid session ID or session title when used with --print. Usage: claude -p "
        '--resume <session-id|title>. Provided value "nonsense" is not a UUID and does not match any session title.'
    )
    error = AGENT.diagnose(Exit(code=1, stderr_tail=text), refusal(text), Options(resume="nonsense", cwd="/work"))
    assert said(error) == (
        SessionNotFound,
        (
            "no conversation has the session id 'nonsense' (cwd '/work', config folder '/home/bot/.claude'): it is neither a session id nor a session's title; "
            "start afresh by leaving `resume` out, or under a manager's key by `session.reset()`"
        ),
    )


def test_no_message_has_the_uuid() -> None:
    text = f"No message found with message.uuid of: {OTHER}"
    error = AGENT.diagnose(Exit(code=1), refusal(text), Options(resume=ID, resume_session_at=OTHER))
    assert said(error) == (
        InvalidOption,
        (
            f"resume_session_at='{OTHER}': the conversation '{ID}' has no message with this uuid; "
            "take the `uuid` of one of its messages"
        ),
    )


def test_the_id_is_in_use() -> None:
    exit = Exit(code=1, stderr_tail=f"Warning: something\nError: Session ID {ID} is already in use.\n")
    assert said(AGENT.diagnose(exit, None, Options(session_id=ID))) == (
        SessionIdInUse,
        (
            f"session_id='{ID}' has a conversation already (config folder '/home/bot/.claude'); "
            "go on with it by `resume`, or choose another id"
        ),
    )


@pytest.mark.parametrize(
    ("stderr", "kind", "text"),
    [
        ("Error: Invalid session ID. Must be a valid UUID.\n", InvalidOption, "session_id='nope' is not a UUID"),
        (
            "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons\n",
            InvalidOption,
            "permission_mode='bypassPermissions' is refused to root",
        ),
        ("Not logged in · Please run /login\n", NotLoggedIn, "Claude Code has no account (Not logged in)"),
        (
            "error: unknown option '--bogus'\n",
            AgentStartError,
            "refused what it was started with: error: unknown option",
        ),
        (
            "error: option '--max-turns <turns>' argument 'x' is invalid. must be a number\n",
            AgentStartError,
            "refused what it was started with: error: option '--max-turns <turns>' argument 'x' is invalid",
        ),
        ("Error: Settings file not found: /s.json\n", AgentStartError, "with: Error: Settings file not found: /s.json"),
        (
            "Error: Cannot use settings file (EISDIR: illegal operation on a directory, read): /s\n",
            AgentStartError,
            "with: Error: Cannot use settings file (EISDIR: illegal operation on a directory, read): /s",
        ),
        (
            "Error reading system prompt file: EISDIR: illegal operation on a directory, read\n",
            AgentStartError,
            "with: Error reading system prompt file: EISDIR: illegal operation",
        ),
        (
            "Error: Append system prompt file not found: /p.txt\n",
            AgentStartError,
            "with: Error: Append system prompt file not found: /p.txt",
        ),
        (
            "Error: Invalid --agents configuration:\ninvalid JSON: JSON Parse error: Expected '}'\n",
            AgentStartError,
            "with: Error: Invalid --agents configuration:\ninvalid JSON: JSON Parse error: Expected '}'",
        ),
        (
            "Error: Can only use --worktree in a git repository, but /w is not a git repository.\n",
            AgentStartError,
            "with: Error: Can only use --worktree in a git repository",
        ),
        (  # where the environment has FORCE_COLOR
            "\x1b[0m\x1b[31m\x1b[31mError: Settings file not found: /s.json\x1b[39m\x1b[0m\n",
            AgentStartError,
            "with: Error: Settings file not found: /s.json",
        ),
        (
            "Error: Invalid MCP configuration:\nMCP config file not found: /m.json\n",
            AgentStartError,
            "Error: Invalid MCP configuration:\nMCP config file not found: /m.json",
        ),
        (
            "Error: --session-id with --continue or --resume also needs --fork-session.\n",
            AgentStartError,
            "with: Error: --session-id with --continue or --resume also needs",
        ),
        (
            "Error processing --setting-sources: Invalid setting source: bogus.\n",
            AgentStartError,
            "with: Error processing --setting-sources: Invalid setting source: bogus.",
        ),
    ],
)
def test_what_it_printed_before_it_left(stderr: str, kind: type[TriologueError], text: str) -> None:
    error = AGENT.diagnose(Exit(code=1, stderr_tail=stderr), None, Options(session_id="nope"))
    assert type(error) is kind
    assert text in str(error)
    if isinstance(error, AgentStartError):
        assert error.is_final


def test_what_nothing_in_it_caught_is_no_refusal() -> None:
    """Its runtime prints that as its parser prints a wrong argument."""
    stderr = "1 | socket.end()\n           ^\nerror: socket hang up\n      at cli.js:1:20\n"
    error = AGENT.diagnose(Exit(code=1, stderr_tail=stderr), None, Options())
    assert said(error) == (AgentCrashed, f"Claude Code ended with exit code 1; its stderr ends with: {stderr.strip()}")


def test_a_refusal_that_is_not_recognised_keeps_its_text() -> None:
    error = AGENT.diagnose(Exit(code=1), refusal("the moon is full"), Options())
    assert said(error) == (AgentStartError, "Claude Code did not begin the conversation: the moon is full")
    assert isinstance(error, AgentStartError)
    assert not error.is_final


@pytest.mark.parametrize(
    ("exit", "text"),
    [
        (Exit(code=-9), "Claude Code was killed by SIGKILL; the system does so when memory runs out"),
        (Exit(code=-11), "Claude Code was killed by SIGSEGV"),
        (Exit(code=-200), "Claude Code was killed by signal 200"),
        (Exit(code=143), "Claude Code ended with exit code 143, after SIGTERM"),
        (Exit(code=3), "Claude Code ended with exit code 3"),
        (Exit(code=0), "Claude Code left by itself (exit code 0)"),
        (Exit(code=None), "Claude Code went away"),
        (
            Exit(code=143, closed_output=True, stderr_tail="EIO\n"),
            "Claude Code closed its output and did not exit, so it was stopped; its stderr ends with: EIO",
        ),
        (
            Exit(code=1, stderr_tail="Error parsing streaming input line (type=unknown, 7 chars): SyntaxError\n"),
            (
                "Claude Code ended with exit code 1; its stderr ends with: "
                "Error parsing streaming input line (type=unknown, 7 chars): SyntaxError"
            ),
        ),
        (
            # Long ago it complained; then it was killed.
            Exit(code=-9, stderr_tail="Please run /login\n"),
            (
                "Claude Code was killed by SIGKILL; the system does so when memory runs out; its stderr ends with: "
                "Please run /login"
            ),
        ),
    ],
)
def test_anything_else_is_a_crash_with_its_code_and_last_words(exit: Exit, text: str) -> None:
    error = AGENT.diagnose(exit, None, Options())
    assert isinstance(error, AgentCrashed)
    assert (str(error), error.exit_code, error.stderr_tail) == (text, exit.code, exit.stderr_tail)
