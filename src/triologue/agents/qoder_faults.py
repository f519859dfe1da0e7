"""Why the Qoder CLI went away, told from its exit code and its last words; pure.

The texts are those of version 1.1; one that is not recognised ends as `AgentCrashed` with the text in it.
"""

import re

from triologue.agents.endings import (
    WRONG_ARGUMENTS,
    Patterns,
    ending,
    first_match,
    missing_conversation,
    without_colours,
)
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

NO_ACCOUNT = 41
REFUSED = 42
BROKEN_CONFIG = 52
REFUSED_BY_THE_PARSER = 1


def diagnose(exit: Exit, refusal: ResultMessage | None, options: Options, *, config_dir: str) -> TriologueError:
    """Name the reason for which a connection ended by itself; see `Agent.diagnose`.

    Args:
        exit: how it went away.
        refusal: the error result that it gave instead of answering `initialize`.
        options: what it was started with.
        config_dir: its config folder, for the text.
    """
    refused = "\n".join([*(refusal.errors or []), refusal.result or ""]).strip() if refusal is not None else ""
    reason = (refusal.terminal_reason or "") if refusal is not None else ""
    if exit.code == NO_ACCOUNT or reason.startswith(("auth_", "service_account_", "job_token_")):
        why = refused or exit.stderr_tail.strip() or "it says no more"
        return NotLoggedIn(
            f"the Qoder CLI has no account ({why}); give Qoder(auth=...), or run `qodercli login` "
            f"(its config folder is {config_dir!r})"
        )
    # It prints its reasons and leaves with one of these; after any other end, what it once printed was not the reason.
    gave_reasons = bool(refused) or exit.code in (REFUSED, BROKEN_CONFIG, REFUSED_BY_THE_PARSER)
    said = f"{refused}\n{exit.stderr_tail}" if gave_reasons else ""
    if (told := first_match(_TEXTS, said, options, config_dir)) is not None:
        return told
    if refusal is not None:
        return AgentStartError(f"the Qoder CLI did not begin the conversation: {refused or refusal.subtype}")
    if exit.code in (REFUSED, BROKEN_CONFIG):
        return _refused(without_colours(exit.stderr_tail).strip())
    return AgentCrashed(f"the Qoder CLI {ending(exit)}", exit_code=exit.code, stderr_tail=exit.stderr_tail)


def _not_found(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return missing_conversation(options.resume or found["id"], options, config_dir)


def _nothing_to_continue(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    detail = "this folder has none to go on with; leave continue_conversation out"
    return missing_conversation("the latest", options, config_dir, detail=detail)


def _id_in_use(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return SessionIdInUse(
        f"session_id={brief(options.session_id)} has a conversation already (config folder {config_dir!r}); "
        "go on with it by `resume`, or choose another id"
    )


def _bad_option(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return InvalidOption(f"the Qoder CLI refuses its options: {found[0].strip()}")


def _logged_out(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return NotLoggedIn(
        f"the Qoder CLI has no account ({found[0]}); give Qoder(auth=...), or run `qodercli login` "
        f"(its config folder is {config_dir!r})"
    )


def _bad_arguments(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return _refused(" ".join(found[0].split()))


def _bad_value(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return _refused(found["said"].strip())


def _broke(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return AgentStartError(f"the Qoder CLI did not begin the conversation: {found[0].strip()}")


def _refused(said: str) -> AgentStartError:
    return AgentStartError(f"the Qoder CLI refused what it was started with: {said}", is_final=True)


# What it throws at values, as it does at what breaks in it: a file that is not there, a word that it does not have.
_BAD_VALUES = "|".join(
    (
        "System prompt file not found: ",
        "Error reading system prompt file: ",
        "Invalid (?:thinking mode|thinking budget|reasoning effort|context window|max model request retries): ",
        "Invalid (?:permission mode|setting source): ",
        "proxy must use ",
    )
)

_TEXTS: Patterns = [
    (re.compile(pattern, re.MULTILINE), explain)
    for pattern, explain in (
        (r'Invalid session identifier "(?P<id>[^"]*)"', _not_found),
        (r"No conversation found with session ID: (?P<id>\S+)", _not_found),
        (r"No conversation found to continue", _nothing_to_continue),
        (r"Session ID \S+ is already in use", _id_in_use),
        (r"Invalid session ID\. Must be a valid UUID\.?", _bad_option),
        (r"^--(session-id|fork-session|resume-session-at|resume-drops-turn) (must|can only) be used .*", _bad_option),
        (r"^Cannot combine --continue.*", _bad_option),
        (r"Not logged in", _logged_out),
        (r"^Invalid values:(\n.*)+", _bad_arguments),
        (WRONG_ARGUMENTS, _bad_arguments),
        (
            r"^Error: (--\S|Settings (file|validation)|Cannot read settings file|QODER(CN)?_CONFIG_DIR_NAME).*",
            _bad_arguments,
        ),
        (r"^Error: Invalid JSON provided to --settings.*", _bad_arguments),
        (r"^\[mcp-config\] (Failed to load|Invalid format in|Invalid inline JSON).*", _bad_arguments),
        (rf"^An unexpected critical error occurred:\s*(?P<said>\w*Error: (?:{_BAD_VALUES}).*)", _bad_value),
        (r"^An unexpected critical error occurred:.*", _broke),
    )
]
