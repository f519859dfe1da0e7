"""How a program ended, in words, and its last words looked up; pure."""

import re
import signal
from collections.abc import Callable
from typing import TypeAlias

from triologue.errors import SessionNotFound, TriologueError
from triologue.options import Options
from triologue.ports import Exit

# A shell's convention, which the programs follow: 128 and the number of the signal that it ended by.
SIGNALLED = 128

# As commander says it. Not all that begins so: their runtime says `error: socket hang up` of what it did not catch.
WRONG_ARGUMENTS = r"^error: (unknown|missing required|required|option|command-argument|too many arguments)\b.*"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Explain: TypeAlias = Callable[[re.Match[str], Options, str], TriologueError]
"""Takes what was found, the options and the config folder."""
Patterns: TypeAlias = list[tuple[re.Pattern[str], Explain]]


def first_match(patterns: Patterns, said: str, options: Options, config_dir: str) -> TriologueError | None:
    """What the first pattern that is found means."""
    said = without_colours(said)
    for pattern, explain in patterns:
        if found := pattern.search(said):
            return explain(found, options, config_dir)
    return None


def without_colours(said: str) -> str:
    """What a program wrote for a terminal: some always do, others where the environment has `FORCE_COLOR`."""
    return _COLOURS.sub("", said)


def ending(exit: Exit) -> str:
    """How it ended, as the end of a sentence."""
    code = exit.code
    if exit.closed_output:
        return "closed its output and did not exit, so it was stopped"
    if code is None:
        return "went away"
    if code == 0:
        return "left by itself (exit code 0)"
    number = -code if code < 0 else code - SIGNALLED
    name = _signal_name(number)
    if code < 0:
        memory = "; the system does so when memory runs out" if number == signal.SIGKILL else ""
        return f"was killed by {name or f'signal {number}'}{memory}"
    return f"ended with exit code {code}" + (f", after {name}" if name else "")


def missing_conversation(
    session_id: str, options: Options, config_dir: str | None, *, detail: str = ""
) -> SessionNotFound:
    """There is none with this id."""
    return SessionNotFound(session_id, cwd=options.cwd, config_dir=config_dir, detail=detail)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
