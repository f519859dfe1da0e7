"""Reading, writing and changing files."""

import base64
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import trio
from msgspec import Meta, Struct

from triologue.engine.builtin_tools.definition import BuiltinTool, ToolFailed, define, outcome, resolve
from triologue.engine.builtin_tools.patches import structured_patch
from triologue.engine.toolbox import Guard, ToolOutcome

MAX_SHOWN = 256 * 1024
"""Bytes of text that one `Read` gives."""
MAX_READ = 64 * 1024 * 1024
"""Bytes of the largest file that is looked into at all."""
MAX_PICTURE = 5 * 1024 * 1024

_PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_FilePath = Annotated[str, Meta(description="The file; a relative path is one from the working directory")]
_Positive = Annotated[int, Meta(ge=1)]

Result = TypeVar("Result")


class ReadArguments(Struct):
    """Arguments of `Read`."""

    file_path: _FilePath
    offset: Annotated[int | None, Meta(description="The first line to read, counted from 1")] = None
    limit: Annotated[_Positive | None, Meta(description="How many lines to read")] = None


class WriteArguments(Struct):
    """Arguments of `Write`."""

    file_path: _FilePath
    content: Annotated[str, Meta(description="All that the file is to hold")]


class EditArguments(Struct):
    """Arguments of `Edit`."""

    file_path: _FilePath
    old_string: Annotated[str, Meta(description="The text to replace, exactly as the file has it; empty: a new file")]
    new_string: Annotated[str, Meta(description="What comes in its place")]
    replace_all: Annotated[bool, Meta(description="Replace it wherever it is, not only where it is once")] = False


def read_tool(cwd: Path) -> BuiltinTool:
    """`Read`."""

    async def run(given: ReadArguments) -> ToolOutcome:
        # Abandoned when the turn is interrupted: nothing depends on how far it came.
        return await trio.to_thread.run_sync(_read, cwd, given, abandon_on_cancel=True)

    description = "Read a text file, with the number of each line before it, or look at a picture."
    return define("Read", description, ReadArguments, run, Guard(kind="read", path="file_path"))


def write_tool(cwd: Path) -> BuiltinTool:
    """`Write`."""

    async def run(given: WriteArguments) -> ToolOutcome:
        # Never abandoned: what is told of it must be true.
        return await trio.to_thread.run_sync(_write, cwd, given)

    description = "Write a file: a new one, with the folders above it, or all of one that is there."
    return define("Write", description, WriteArguments, run, Guard(kind="edit", path="file_path"))


def edit_tool(cwd: Path) -> BuiltinTool:
    """`Edit`."""

    async def run(given: EditArguments) -> ToolOutcome:
        return await trio.to_thread.run_sync(_edit, cwd, given)

    description = "Replace a text in a file. It must be in it exactly once, unless replace_all is set."
    return define("Edit", description, EditArguments, run, Guard(kind="edit", path="file_path"))


def _read(cwd: Path, given: ReadArguments) -> ToolOutcome:
    path = resolve(cwd, given.file_path)
    data = _translated(cwd, path, lambda: _content(path))
    if path.suffix.lower() in _PICTURES and len(data) <= MAX_PICTURE:
        return _picture(path, data)
    if b"\0" in data[:8192]:
        raise ToolFailed(f"{path} is no text file")
    lines = data.decode("utf-8", "replace").split("\n")
    first = max(given.offset or 1, 1)
    if first > len(lines):
        raise ToolFailed(f"{path} has {len(lines)} lines, so there is no line {first}")
    shown = lines[first - 1 :] if given.limit is None else lines[first - 1 : first - 1 + given.limit]
    if (size := sum(len(line.encode()) + 1 for line in shown)) > MAX_SHOWN + 1:
        raise ToolFailed(
            f"that is {size} bytes of {path}, and at most {MAX_SHOWN} are read at once; "
            "read a part of it with offset and limit, or search in it"
        )
    file = {
        "filePath": str(path),
        "content": "\n".join(shown),
        "numLines": len(shown),
        "startLine": first,
        "totalLines": len(lines),
    }
    numbered = "\n".join(f"{number}\t{line}" for number, line in enumerate(shown, first))
    return outcome(numbered if data else "(the file is empty)", {"type": "text", "file": file})


def _picture(path: Path, data: bytes) -> ToolOutcome:
    encoded, kind = base64.b64encode(data).decode(), _PICTURES[path.suffix.lower()]
    block = {"type": "image", "source": {"type": "base64", "media_type": kind, "data": encoded}}
    return outcome([block], {"type": "image", "file": {"base64": encoded, "type": kind, "originalSize": len(data)}})


def _write(cwd: Path, given: WriteArguments) -> ToolOutcome:
    path = resolve(cwd, given.file_path)
    before: str | None = None
    if path.exists():
        before = _translated(cwd, path, lambda: _content(path)).decode("utf-8", "replace")
    _translated(cwd, path, lambda: _put(path, given.content))
    value: dict[str, Any] = {
        "type": "create" if before is None else "update",
        "filePath": str(path),
        "content": given.content,
        "structuredPatch": [] if before is None else structured_patch(before, given.content),
        "originalFile": before,
        "userModified": False,
    }
    return outcome(f"The file {path} was {'created' if before is None else 'written anew'}.", value)


def _edit(cwd: Path, given: EditArguments) -> ToolOutcome:
    path, old, new = resolve(cwd, given.file_path), given.old_string, given.new_string
    if old == new:
        raise ToolFailed("old_string and new_string are the same, so there is nothing to change")
    if not old and not path.exists():
        return _write(cwd, WriteArguments(file_path=given.file_path, content=new))
    # Bytes that are no UTF-8 stay as they are.
    before = _translated(cwd, path, lambda: _content(path)).decode("utf-8", "surrogateescape")
    if old and old not in before and "\r\n" in before:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    count = before.count(old) if old else int(not before)
    if count == 0:
        raise ToolFailed(
            f"{path} does not have this text in it, which must be exactly as it is there: {given.old_string}"
        )
    if count > 1 and not given.replace_all:
        raise ToolFailed(
            f"{path} has this text {count} times; give more of what is around the one that you mean, "
            f"or set replace_all: {given.old_string}"
        )
    after = before.replace(old, new) if old else new
    _translated(cwd, path, lambda: _put(path, after))
    value: dict[str, Any] = {
        "filePath": str(path),
        "oldString": given.old_string,
        "newString": given.new_string,
        "originalFile": _shown(before),
        "structuredPatch": structured_patch(_shown(before), _shown(after)),
        "userModified": False,
        "replaceAll": given.replace_all,
    }
    return outcome(f"The file {path} was changed{f' in {count} places' if count > 1 else ''}.", value)


def _content(path: Path) -> bytes:
    """A whole file; never one that could be waited for without end."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(about.st_mode):
        raise ToolFailed(f"{path} is no ordinary file")
    if about.st_size > MAX_READ:
        raise ToolFailed(f"{path} has {about.st_size} bytes, which is too much to look into; search in it instead")
    with path.open("rb") as file:
        data = file.read(MAX_READ + 1)
    if len(data) > MAX_READ:  # some have more in them than they say
        raise ToolFailed(f"{path} has more than {MAX_READ} bytes, which is too much to look into")
    return data


def _put(path: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _shown(text: str) -> str:
    """The text with U+FFFD for what was no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _translated(cwd: Path, path: Path, do: Callable[[], Result]) -> Result:
    try:
        return do()
    except FileNotFoundError:
        raise ToolFailed(f"There is no file {path}. The working directory is {cwd}.") from None
    except UnicodeError as error:
        raise ToolFailed(f"{path} cannot hold this text: {error}") from None
    except OSError as error:
        raise ToolFailed(f"{path}: {error.strerror or error}") from None
