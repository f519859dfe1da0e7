"""The tools of the agent program: files, search and a shell, under the names and parameters of Claude Code."""

from os import PathLike, fspath
from pathlib import Path

from triologue.engine.builtin_tools.definition import BuiltinTool as BuiltinTool
from triologue.engine.builtin_tools.files import edit_tool, read_tool, write_tool
from triologue.engine.builtin_tools.search import glob_tool, grep_tool
from triologue.engine.builtin_tools.shell import bash_tool


def builtin_tools(cwd: str | PathLike[str]) -> list[BuiltinTool]:
    """`Read`, `Write`, `Edit`, `Glob`, `Grep` and `Bash`, for a conversation in this folder.

    They do what they are called for, wherever that is: whether a call may run is for the rules that look at its guard.
    """
    folder = Path(fspath(cwd)).absolute()
    makers = (read_tool, write_tool, edit_tool, glob_tool, grep_tool, bash_tool)
    return [make(folder) for make in makers]
