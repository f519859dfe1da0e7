"""Why Claude Code went away, told from its exit code and its last words; pure.

The texts are those of version 2.1; one that is not recognised ends as `AgentCrashed` with the text in it.
"""

import re

from triologue.agents.endings import WRONG_ARGUMENTS, Patterns, ending, first_match, missing_conversation
from triologue.errors import (
    AgentCrashed,
    AgentStartError,
    InvalidOption,
    NotLoggedIn,
    SessionIdInUse,
    TriologueError,
    brief,
)
from triologue.messages import ResultMessage
from triologue.options import Options
from triologue.ports import Exit


def diagnose(exit: Exit, refusal: ResultMessage | None, options: Options, *, config_dir: str) -> TriologueError:
    """Name the reason for which a connection ended by itself; see `Agent.diagnose`.

    Args:
        exit: how it went away.
        refusal: the error result that it gave instead of answering `initialize`.
        options: what it was started with.
        config_dir: its config folder, for the text.
    """
    refused = "\n".join(refusal.errors or []) if refusal is not None else ""
    # It prints its reasons and leaves with 1; after any other end, what it once printed was not the reason.
    said = f"{refused}\n{exit.stderr_tail}" if refused or exit.code == 1 else ""
    if (told := first_match(_TEXTS, said, options, config_dir)) is not None:
        return told
    if refusal is not None:
        return AgentStartError(f"Claude Code did not begin the conversation: {refused or refusal.subtype}")
    return AgentCrashed(f"Claude Code {ending(exit)}", exit_code=exit.code, stderr_tail=exit.stderr_tail)


def _not_found(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    detail = "" if found["id"] else "it is neither a session id nor a session's title"
    return missing_conversation(options.resume or found["id"] or "", options, config_dir, detail=detail)


def _no_such_message(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return InvalidOption(
        f"resume_session_at={brief(options.resume_session_at)}: the conversation {brief(options.resume)} has no message "
        "with this uuid; take the `uuid` of one of its messages"
    )


def _not_dropped(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return InvalidOption(
        f"resume_drops_turn={brief(options.resume_drops_turn)}: what comes after resume_session_at is not that turn alone, "
        f"says Claude Code ({found[0]})"
    )


def _id_in_use(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return SessionIdInUse(
        f"session_id={found['id']!r} has a conversation already (config folder {config_dir!r}); "
        "go on with it by `resume`, or choose another id"
    )


def _bad_id(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return InvalidOption(f"session_id={brief(options.session_id)} is not a UUID; `str(uuid.uuid4())` makes one")


def _refused_to_root(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return InvalidOption(
        "permission_mode='bypassPermissions' is refused to root; run as another user, or, in a container that holds "
        "nothing of value, say so with env={'IS_SANDBOX': '1'}"
    )


def _logged_out(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return NotLoggedIn(
        f"Claude Code has no account ({found[0]}); set ANTHROPIC_API_KEY, or run `claude` and log in "
        f"(its config folder is {config_dir!r})"
    )


def _bad_arguments(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return AgentStartError(f"Claude Code refused what it was started with: {found[0].strip()}", is_final=True)


_TEXTS: Patterns = [
    (re.compile(pattern, re.MULTILINE), explain)
    for pattern, explain in (
        (r"No conversation found with session ID: (?P<id>\S+)", _not_found),
        (r"--resume requires a valid session ID(?P<id>)", _not_found),
        (r"No message found with message\.uuid of", _no_such_message),
        (r"Resume rejected by --resume-drops-turn: .*", _not_dropped),
        (r"Session ID (?P<id>\S+) is already in use", _id_in_use),
        (r"Invalid session ID\. Must be a valid UUID", _bad_id),
        (r"cannot be used with root/sudo privileges", _refused_to_root),
        (r"Not logged in|Please run /login|Invalid API key", _logged_out),
        (WRONG_ARGUMENTS, _bad_arguments),
        (
            r"^Error: (--\S|When using --print|Cannot use both|Can only use --|Invalid JSON provided to --).*",
            _bad_arguments,
        ),
        (r"^Error: ((Cannot use s|S)ettings|(Append (subagent )?s|S)ystem prompt) file.*", _bad_arguments),
        (r"^Error: Invalid (MCP|--agents) configuration:\n?.*", _bad_arguments),
        (r"^Error (processing --|reading (append )?(subagent )?system prompt file).*", _bad_arguments),
    )
]
