"""What was said in a vendor's conversations on disk."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from triologue.engine.histories import Line, conversation_lines, parse_lines
from triologue.messages.message import decode_object
from triologue.sdk.vendor.session_files import SessionFiles
from triologue.sdk.vendor.session_listing import page


class SessionMessage(Struct):
    """A message as it was written down."""

    type: str
    """`user` or `assistant`."""
    uuid: str
    session_id: str
    message: Any
    """The Messages API message."""
    parent_tool_use_id: str | None = None
    """Of a sub-agent: the call that started it."""
    parent_agent_id: str | None = None
    """Of a sub-agent: the one that started it, if one did (Claude Code)."""
    tool_use_result: Any = None
    """The tool's structured output (Qoder)."""


def session_messages(
    files: SessionFiles,
    session_id: str,
    directory: str | None,
    limit: int | None,
    offset: int,
    *,
    historical: bool = False,
) -> list[SessionMessage]:
    """The conversation as it would be gone on with; with `historical`, what was summed up in place of the summary."""
    found = files.find(session_id, directory)
    if found is None:
        return []
    is_qoder = files.rules.marks_leaf
    lines = conversation_lines(_lines(found[0]), honors_leaf=is_qoder, crosses_compaction=historical)
    shown = [line for line in lines if _is_shown(line) and not (historical and line.get("isCompactSummary") is True)]
    return page([_message(line, with_result=is_qoder) for line in shown], limit, offset)


def subagent_messages(
    files: SessionFiles, session_id: str, agent_id: str, directory: str | None, limit: int | None, offset: int
) -> list[SessionMessage]:
    """What a sub-agent was told and said."""
    file = files.subagents(session_id, directory).get(agent_id)
    if file is None:
        return []
    facts = _facts(file)
    lines = conversation_lines(_lines(file), honors_leaf=False)
    messages = [
        _message(line, facts=facts, with_result=files.rules.marks_leaf)
        for line in lines
        if line["type"] in ("user", "assistant")
    ]
    return page(messages, limit, offset)


def _is_shown(line: Line) -> bool:
    hidden = line.get("isMeta") or line.get("isSidechain") or line.get("teamName")
    return line["type"] in ("user", "assistant") and not hidden


def _message(line: Line, *, facts: dict[str, Any] | None = None, with_result: bool) -> SessionMessage:
    facts = facts or {}
    return SessionMessage(
        type=line["type"],
        uuid=line["uuid"],
        session_id=line.get("sessionId") or "",
        message=line.get("message"),
        parent_tool_use_id=_text(facts.get("toolUseId")),
        parent_agent_id=_text(facts.get("parentAgentId")),
        tool_use_result=line.get("toolUseResult") if with_result and line["type"] == "user" else None,
    )


def _facts(file: Path) -> dict[str, Any]:
    """What stands beside the file of a sub-agent."""
    try:
        return decode_object(file.with_suffix(".meta.json").read_bytes())
    except OSError:
        return {}


def _lines(file: Path) -> list[Line]:
    try:
        return parse_lines(file.read_bytes())
    except OSError:
        return []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
