"""Why the Cortex Code CLI went away, told from its exit code and its last words; pure.

Nobody could look at that CLI here, so this goes by words that any such program uses; what is not recognised ends as
`AgentCrashed` with the text in it.
"""

import re

from triologue.agents.endings import Patterns, ending, first_match, missing_conversation
from triologue.errors import AgentCrashed, AgentStartError, NotLoggedIn, TriologueError
from triologue.messages import ResultMessage
from triologue.options import Options
from triologue.ports import Exit


def diagnose(exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
    """Name the reason for which a connection ended by itself; see `Agent.diagnose`."""
    refused = "\n".join([*(refusal.errors or []), refusal.result or ""]).strip() if refusal is not None else ""
    gave_reasons = bool(refused) or (exit.code or 0) > 0
    said = f"{refused}\n{exit.stderr_tail}" if gave_reasons else ""
    if (told := first_match(_TEXTS, said, options, "")) is not None:
        return told
    if refusal is not None:
        return AgentStartError(f"Cortex Code did not begin the conversation: {refused or refusal.subtype}")
    return AgentCrashed(f"Cortex Code {ending(exit)}", exit_code=exit.code, stderr_tail=exit.stderr_tail)


def _not_found(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    if not options.resume or options.resume not in found[0]:  # it speaks of something else
        return AgentStartError(f"Cortex Code did not begin the conversation: {found[0].strip()}")
    return missing_conversation(options.resume, options, None, detail=found[0].strip())


def _logged_out(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return NotLoggedIn(
        f"Cortex Code has no account ({found[0].strip()}); set up a Snowflake connection, and name it by "
        "Options(connection=...)"
    )


def _bad_arguments(found: re.Match[str], options: Options, config_dir: str) -> TriologueError:
    return AgentStartError(f"Cortex Code refused what it was started with: {found[0].strip()}", is_final=True)


_TEXTS: Patterns = [
    (re.compile(pattern, re.MULTILINE | re.IGNORECASE), explain)
    for pattern, explain in (
        (r"^.*\bno (session|conversation) (was )?found\b.*|^.*\b(session|conversation)\b.*\bnot found\b.*", _not_found),
        (r"^.*\bnot (logged in|authenticated)\b.*|^.*\bno (active|default) connection\b.*", _logged_out),
        (r"^error: (unknown|invalid|missing)( required)? (option|argument|command|flag|value)\b.*", _bad_arguments),
    )
]
