"""Naming, tagging, deleting and copying a vendor's conversations on disk, as its program does it."""

import json
import os
import shutil
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from msgspec import Struct

from triologue.engine.histories import LINKED, Line, conversation_lines, is_session_id, parse_lines
from triologue.errors import brief
from triologue.sdk.vendor.session_files import SessionFiles
from triologue.sdk.vendor.session_listing import session_info

# What belongs to the conversation that is copied, and not to its copy.
_LEFT_BEHIND = ("teamName", "agentName", "sessionKind", "slug", "sourceToolAssistantUUID")


class ForkSessionResult(Struct):
    """The copy of a conversation."""

    session_id: str


def rename(files: SessionFiles, session_id: str, title: str, directory: str | None) -> None:
    """Give a conversation a title; the last one counts."""
    title = title.strip()
    if not title:
        raise ValueError("a title is some text")
    _append(
        _found(files, session_id, directory), {"type": "custom-title", "customTitle": title, "sessionId": session_id}
    )


def tag(files: SessionFiles, session_id: str, tag: str | None, directory: str | None) -> None:
    """Give a conversation a tag; None takes it away."""
    if tag is not None and not (tag := _visible(tag).strip()):
        raise ValueError("a tag is some text that can be seen; None takes it away")
    _append(_found(files, session_id, directory), {"type": "tag", "tag": tag or "", "sessionId": session_id})


def delete(files: SessionFiles, session_id: str, directory: str | None) -> None:
    """Remove a conversation, and what its sub-agents did."""
    file = _found(files, session_id, directory)
    file.unlink()
    shutil.rmtree(file.with_suffix(""), ignore_errors=True)


def fork(
    files: SessionFiles, session_id: str, directory: str | None, up_to_message_id: str | None, title: str | None
) -> ForkSessionResult:
    """Copy a conversation under a new id, with new ids for its messages."""
    if up_to_message_id and not is_session_id(up_to_message_id):
        raise ValueError(f"up_to_message_id={brief(up_to_message_id)} is not a UUID")
    file = _found(files, session_id, directory)
    lines = _to_copy(files, parse_lines(file.read_bytes()))
    if up_to_message_id:
        end = next((index for index, line in enumerate(lines) if line["uuid"] == up_to_message_id), None)
        if end is None:
            raise ValueError(f"no message of session {session_id} has the uuid {up_to_message_id}")
        lines = lines[: end + 1]
    if all(line["type"] == "progress" for line in lines):
        raise ValueError(f"session {session_id} has no messages to copy")
    info = session_info(file, None)
    named = (title or "").strip()
    if not named:
        known = info and (info.custom_title or info.first_prompt)
        named = f"{known or 'Forked session'} (fork)"
    copy = str(uuid4())
    copied = _copies(lines, session_id, copy)
    copied.append({"type": "custom-title", "sessionId": copy, "customTitle": named})
    data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in copied).encode()
    opened = os.open(file.with_name(f"{copy}.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as out:
        out.write(data)
    return ForkSessionResult(copy)


def _to_copy(files: SessionFiles, lines: list[Line]) -> list[Line]:
    """What a copy is made of: at Qoder the branch that is alive, at Claude all of them."""
    if files.rules.marks_leaf:
        lines = conversation_lines(lines, honors_leaf=True, crosses_compaction=True)
    return [
        line
        for line in lines
        if line.get("type") in LINKED and isinstance(line.get("uuid"), str) and not line.get("isSidechain")
    ]


def _copies(lines: list[Line], source: str, copy: str) -> list[Line]:
    """The lines under new ids. Those that only showed progress are left out, and what follows them closes up."""
    ids = {line["uuid"]: str(uuid4()) for line in lines}
    by_id = {line["uuid"]: line for line in lines}
    kept = [line for line in lines if line["type"] != "progress"]
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    copied: list[Line] = []
    for line in kept:
        parent = line.get("parentUuid")
        while parent in by_id and by_id[parent]["type"] == "progress":
            parent = by_id[parent].get("parentUuid")
        new = {name: value for name, value in line.items() if name not in _LEFT_BEHIND}
        new |= {
            "uuid": ids[line["uuid"]],
            "parentUuid": ids.get(parent or ""),
            "logicalParentUuid": ids.get(line.get("logicalParentUuid") or ""),
            "sessionId": copy,
            # The last one is now, because what was written last is gone on with.
            "timestamp": now if line is kept[-1] else line.get("timestamp", now),
            "isSidechain": False,
            "forkedFrom": {"sessionId": source, "messageUuid": line["uuid"]},
        }
        copied.append(new)
    return copied


def _found(files: SessionFiles, session_id: str, directory: str | None) -> Path:
    if not is_session_id(session_id):
        raise ValueError(f"session_id={brief(session_id)} is not a UUID")
    found = files.find(session_id, directory)
    if found is None:
        where = f" of the project {directory}" if directory else ""
        raise FileNotFoundError(f"no conversation{where} has the session id {session_id}")
    return found[0]


def _append(file: Path, line: Line) -> None:
    """One line in one write, on a line of its own even where another writer was torn off; the file must be there."""
    data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    opened = os.open(file, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(opened).st_size
        if size and os.pread(opened, 1, size - 1) != b"\n":
            data = b"\n" + data
        os.write(opened, data)
    finally:
        os.close(opened)


def _visible(text: str) -> str:
    """Without characters that nobody sees, and in one form of those that have several."""
    for _ in range(10):  # what is left may combine anew
        before = text
        composed = unicodedata.normalize("NFKC", text)
        text = "".join(each for each in composed if unicodedata.category(each) not in ("Cf", "Co", "Cn"))
        if text == before:
            break
    return text
