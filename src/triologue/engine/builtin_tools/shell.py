"""Commands of a shell."""

import shutil
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from triologue.engine.builtin_tools.definition import BuiltinTool, ToolFailed, define, outcome
from triologue.engine.builtin_tools.running import run_program
from triologue.engine.toolbox import Guard, ToolOutcome

DEFAULT_TIMEOUT = 120_000
MAX_TIMEOUT = 600_000
MAX_OUTPUT = 30_000
"""Bytes of a command's output that the model is given."""


class BashArguments(Struct):
    """Arguments of `Bash`."""

    command: Annotated[str, Meta(description="The command")]
    timeout: Annotated[float, Meta(description=f"Milliseconds that it may take, at most {MAX_TIMEOUT}", gt=0)] = (
        DEFAULT_TIMEOUT
    )
    description: Annotated[str, Meta(description="What it does, in a few words")] = ""
    run_in_background: Annotated[bool, Meta(description="Not supported")] = False


def bash_tool(cwd: Path) -> BuiltinTool:
    """`Bash`."""
    shell = shutil.which("bash") or "/bin/sh"

    async def run(given: BashArguments) -> ToolOutcome:
        if given.run_in_background:
            raise ToolFailed("This agent runs no commands in the background; call it without run_in_background.")
        timeout = min(given.timeout, MAX_TIMEOUT) / 1000
        try:
            ran = await run_program([shell, "-c", given.command], cwd=cwd, timeout=timeout, keep=MAX_OUTPUT)
        except (OSError, ValueError) as error:
            raise ToolFailed(f"The shell cannot be started in {cwd}: {error}") from error
        said = "\n".join(part for part in (ran.stdout.rstrip("\n"), ran.stderr.rstrip("\n")) if part)
        if ran.code is None:
            raise ToolFailed(f"Command timed out after {timeout:g} s and was stopped\n{said}".rstrip())
        if ran.code != 0:
            # A shell says of its children's signals what it says here of its own.
            raise ToolFailed(f"Exit code {ran.code if ran.code > 0 else 128 - ran.code}\n{said}".rstrip())
        value = {
            "stdout": ran.stdout.rstrip("\n"),
            "stderr": ran.stderr.rstrip("\n"),
            "interrupted": False,
            "isImage": False,
            "noOutputExpected": False,
        }
        return outcome(said or "(no output)", value)

    description = (
        "Run a command with bash. Each one starts in the working directory; what it leaves in the background is "
        "stopped when it ends."
    )
    return define(
        "Bash", description, BashArguments, run, Guard(kind="run", command="command", description="description")
    )
