"""Finding files by their names, and lines by what they say."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta, Struct

from triologue.engine.builtin_tools.definition import BuiltinTool, ToolFailed, define, outcome, resolve
from triologue.engine.builtin_tools.running import run_program
from triologue.engine.toolbox import Guard, ToolOutcome

TIMEOUT = 20.0
MAX_FOUND = 100
"""Files that one `Glob` names."""
MAX_OUTPUT = 30_000
"""Characters that one `Grep` gives."""

_PROGRAM = Path(__file__).with_name("search_program.py")
_MAX_ANSWER = 16 * 1024 * 1024
_Path = Annotated[str | None, Meta(description="The folder or file to search; the working directory if left out")]


class GlobArguments(Struct):
    """Arguments of `Glob`."""

    pattern: Annotated[str, Meta(description="Such as `*.py` (at any depth) or `src/**/*.{ts,tsx}`; it is below path")]
    path: _Path = None


class GrepArguments(Struct, rename={"after": "-A", "before": "-B", "context": "-C", "numbers": "-n", "any_case": "-i"}):
    """Arguments of `Grep`."""

    pattern: Annotated[str, Meta(description="A regular expression, as Python has them")]
    path: _Path = None
    glob: Annotated[str | None, Meta(description="Only in files that fit this pattern")] = None
    type: Annotated[str | None, Meta(description="Only in files of this language: `py`, `js`, `rust` ...")] = None
    output_mode: Literal["files_with_matches", "content", "count"] = "files_with_matches"
    head_limit: Annotated[int, Meta(description="At most as many lines or files; 0: no limit", ge=0)] = 0
    multiline: Annotated[bool, Meta(description="Matches may go over lines, and `.` fits a line end")] = False
    after: Annotated[int, Meta(description="Lines to show after each match", ge=0)] = 0
    before: Annotated[int, Meta(description="Lines to show before each match", ge=0)] = 0
    context: Annotated[int, Meta(description="Lines to show around each match", ge=0)] = 0
    numbers: Annotated[bool, Meta(description="Show the numbers of lines")] = True
    any_case: Annotated[bool, Meta(description="Letters may be large or small")] = False


def glob_tool(cwd: Path) -> BuiltinTool:
    """`Glob`."""

    async def run(given: GlobArguments) -> ToolOutcome:
        root = resolve(cwd, given.path or "")
        if given.pattern.startswith(("/", "~")) or ".." in given.pattern.split("/"):
            raise ToolFailed("The pattern is for files below path; give the folder as path.")
        began = trio.current_time()
        found = await _search({"do": "glob", "root": str(root), "pattern": given.pattern, "limit": MAX_FOUND}, cwd)
        names = [os.path.join(root, name) for name in found["files"]]  # noqa: PTH118 - names only
        value = {
            "filenames": names,
            "durationMs": round((trio.current_time() - began) * 1000),
            "numFiles": len(names),
            "truncated": found["truncated"],
        }
        more = ["(there are more; give a narrower pattern)"] if found["truncated"] else []
        return outcome("\n".join([*names, *more]) or "No files found", value)

    description = "Find files by a pattern for their names. Those that were changed last come first."
    return define("Glob", description, GlobArguments, run, Guard(kind="read", path="path"))


def grep_tool(cwd: Path) -> BuiltinTool:
    """`Grep`."""

    async def run(given: GrepArguments) -> ToolOutcome:
        root = resolve(cwd, given.path or "")
        asked = {
            "do": "grep",
            "root": str(root),
            "pattern": given.pattern,
            "glob": given.glob,
            "type": given.type,
            "mode": given.output_mode,
            "multiline": given.multiline,
            "before": given.before or given.context,
            "after": given.after or given.context,
            "numbers": given.numbers,
            "any_case": given.any_case,
            "limit": given.head_limit or None,
            "characters": MAX_OUTPUT,
            "shown": _shown_root(cwd, root),
        }
        return _told(await _search(asked, cwd), given)

    description = "Find files, or lines of files, in which a regular expression has a match."
    return define("Grep", description, GrepArguments, run, Guard(kind="read", path="path"))


def _shown_root(cwd: Path, root: Path) -> str:
    """How paths below the root begin: as seen from the working directory, where it is in it."""
    relative = os.path.relpath(root, cwd)
    return str(root) if relative.startswith("..") else "" if relative == "." else relative


def _told(found: dict[str, Any], given: GrepArguments) -> ToolOutcome:
    lines, files = found["lines"], found["files"]
    value: dict[str, Any] = {"mode": given.output_mode, "numFiles": len(files), "filenames": files}
    note = ["(cut here; narrow the search, or raise head_limit)"] if found["truncated"] else []
    if given.output_mode == "files_with_matches":
        head = f"Found {len(files)} file{'s' * (len(files) != 1)}" if files else "No files found"
        return outcome("\n".join([head, *files, *note]), value)
    value |= {"filenames": [], "content": "\n".join(lines)}
    if given.output_mode == "count":
        value["numMatches"] = found["matches"]
        sums = f"{found['matches']} matches in {len(files)} files"
        return outcome("\n".join([*lines, *note, sums]), value)
    value["numLines"] = len(lines)
    return outcome("\n".join([*lines, *note]) or "No matches found", value)


async def _search(asked: dict[str, Any], cwd: Path) -> dict[str, Any]:
    """Search in a process of its own: a regular expression may take for ever, and nothing in this one stops it."""
    argv = [sys.executable, "-I", "-S", str(_PROGRAM), json.dumps(asked)]
    try:
        ran = await run_program(argv, cwd=cwd, timeout=TIMEOUT, keep=_MAX_ANSWER)
    except (OSError, ValueError) as error:
        raise ToolFailed(f"The search cannot be started in {cwd}: {error}") from error
    if ran.code is None:
        raise ToolFailed(f"The search took more than {TIMEOUT:g} s and was stopped; narrow it.")
    try:
        answer: dict[str, Any] = json.loads(ran.stdout)
    except ValueError:
        raise ToolFailed(f"The search failed (exit code {ran.code}): {ran.stderr.strip()[-500:]}") from None
    if "error" in answer:
        raise ToolFailed(answer["error"])
    return answer
