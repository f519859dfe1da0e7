"""Listing a vendor's conversations without reading them whole: the beginning and the end of a file tell enough."""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from triologue.engine.histories import Line, is_session_id, parse_lines
from triologue.messages.loose import read_json
from triologue.sdk.vendor.session_files import SessionFiles

PEEK = 64 * 1024
"""Bytes that are read at either end."""

_LONGEST_PROMPT = 200
_COMMAND = re.compile(r"<command-name>(.*?)</command-name>")
# What stands in a prompt's place without anybody having said it.
_NOT_SAID = re.compile(
    r"<(local-command-stdout|session-start-hook|tick|goal)>|\[Request interrupted by user[^\]]*\]"
    r"|\s*<(ide_opened_file|ide_selection)>.*</\2>\s*$",
    re.DOTALL,
)


class SDKSessionInfo(Struct):
    """What a list of conversations shows of one."""

    session_id: str
    summary: str
    """Its title, its last prompt or its first one."""
    last_modified: int
    """Milliseconds since 1970."""
    file_size: int | None = None
    custom_title: str | None = None
    first_prompt: str | None = None
    git_branch: str | None = None
    cwd: str | None = None
    tag: str | None = None
    created_at: int | None = None
    """Milliseconds since 1970."""


def list_sessions(
    files: SessionFiles, directory: str | None, limit: int | None, offset: int, *, include_worktrees: bool
) -> list[SDKSessionInfo]:
    """Those of a project, or all of them; the one that was written last is the first."""
    found: dict[str, SDKSessionInfo] = {}
    for folder, project in files.projects(directory, with_worktrees=include_worktrees):
        for file in _histories(folder):
            info = session_info(file, project)
            known = found.get(file.stem)
            if info is not None and (known is None or info.last_modified > known.last_modified):
                found[file.stem] = info
    listed = sorted(found.values(), key=lambda info: info.last_modified, reverse=True)
    return page(listed, limit, offset)


def page(items: list[Any], limit: int | None, offset: int) -> list[Any]:
    """A part of a list; no limit above 0 means all."""
    begin = max(offset, 0)
    return items[begin : begin + limit] if limit is not None and limit > 0 else items[begin:]


def session_info(file: Path, project: str | None) -> SDKSessionInfo | None:
    """What is told of a conversation; None where it is a sub-agent's, or nothing in it could be shown."""
    try:
        head, tail, stat = _ends(file)
    except OSError:
        return None
    if not head or re.search(r'"isSidechain": ?true', head.partition("\n")[0]):
        return None
    title = _last("customTitle", tail, head) or _last("aiTitle", tail, head)
    first = first_prompt(parse_lines(head.encode()))
    summary = title or _last("lastPrompt", tail) or _last("summary", tail) or first
    if not summary:
        return None
    return SDKSessionInfo(
        session_id=file.stem,
        summary=summary,
        last_modified=int(stat.st_mtime * 1000),
        file_size=stat.st_size,
        custom_title=title,
        first_prompt=first,
        git_branch=_last("gitBranch", tail) or _first("gitBranch", head),
        cwd=_first("cwd", head) or project,
        tag=_tag(tail),
        created_at=_milliseconds(_first("timestamp", head)),
    )


def first_prompt(lines: list[Line]) -> str | None:
    """The first thing that the user said, cut; else the first command."""
    command: str | None = None
    for line in lines:
        for text in _texts(line):
            if (found := _COMMAND.search(text)) is not None:
                command = command or found[1]
            elif text and not _NOT_SAID.match(text):
                return text if len(text) <= _LONGEST_PROMPT else text[:_LONGEST_PROMPT].rstrip() + "…"
    return command or None


def _texts(line: Line) -> list[str]:
    """What the user said in a line, each as one line of text."""
    if line.get("type") != "user" or line.get("isMeta") is True or line.get("isCompactSummary") is True:
        return []
    said: list[str] = []
    match line:
        case {"message": {"content": str() as text}}:
            said = [text]
        case {"message": {"content": list() as blocks}}:
            known = [block for block in blocks if isinstance(block, dict)]
            if any(block.get("type") == "tool_result" for block in known):
                return []
            said = [str(block.get("text") or "") for block in known if block.get("type") == "text"]
        case _:
            pass
    return [text.replace("\n", " ").strip() for text in said]


def _histories(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.suffix == ".jsonl" and is_session_id(file.stem)]
    except OSError:
        return []


def _ends(file: Path) -> tuple[str, str, os.stat_result]:
    with file.open("rb") as opened:
        stat = os.fstat(opened.fileno())
        head = opened.read(PEEK)
        tail = head
        if stat.st_size > PEEK:
            opened.seek(stat.st_size - PEEK)
            tail = opened.read(PEEK)
    return head.decode(errors="replace"), tail.decode(errors="replace"), stat


def _values(name: str, text: str) -> list[str]:
    """Every text of this name, also in a line that is cut off."""
    found: list[str] = []
    for raw in re.findall(rf'"{name}": ?("(?:[^"\\]|\\.)*")', text):
        try:
            found.append(read_json(raw.encode()))
        except ValueError:
            continue
    return found


def _last(name: str, *texts: str) -> str | None:
    return next((values[-1] for text in texts if (values := _values(name, text)) and values[-1]), None)


def _first(name: str, text: str) -> str | None:
    values = _values(name, text)
    return (values[0] or None) if values else None


def _tag(tail: str) -> str | None:
    tags = [line.get("tag") for line in parse_lines(tail.encode()) if line.get("type") == "tag"]
    return tags[-1] or None if tags else None


def _milliseconds(stamp: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(stamp).timestamp() * 1000) if stamp else None
    except ValueError:
        return None
