"""A history file, read: whoever wrote it, and however much of it is broken."""

import os
from collections.abc import Iterable
from typing import Any, Final, final

from msgspec import Struct

from triologue.engine.transcripts import Entry, Transcript
from triologue.messages.loose import read_json

OURS: Final = "triologue"
"""The `entrypoint` of lines that were written here."""
ABOUT_AGENT: Final = "agent_metadata"
"""The type of the line that tells what a sub-agent is: to the programs it is a file beside that of its history."""
UNTOLD: Final = "api-request"
"""What the types of lines begin with that are no part of a conversation: what was sent to the model, again and again."""

LINKED: Final = ("user", "assistant", "progress", "system", "attachment")
"""The types of the lines that others may follow."""
_COUNTED: dict[str, Any] = {"inputTokens": 0, "outputTokens": 0, "costUSD": 0.0}

Line = dict[str, Any]


class History(Struct, frozen=True):
    """What a file holds."""

    transcript: Transcript
    last_prompt: str | None
    raw: dict[str, Line]
    """Its user and assistant lines, by uuid."""


def parse_lines(data: bytes) -> list[Line]:
    """The lines that are JSON objects; a torn end and garbage are passed over."""
    lines: list[Line] = []
    for text in data.split(b"\n"):
        try:
            line = read_json(text) if text.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def read_history(session_id: str, data: bytes, *, honors_leaf: bool) -> History | None:
    """Read a file; None when nobody could go on with what is in it.

    Args:
        session_id: whose file it is.
        data: all of it.
        honors_leaf: whether an `active-leaf` line says where the conversation goes on.
    """
    lines = parse_lines(data)
    if lines and lines[0].get("isSidechain") is True:
        return None
    linked = _linked(lines)
    chain = _with_parallel_calls(_chain(linked, _marked_leaf(lines) if honors_leaf else None), linked)
    entries = _Entries()
    for line in chain:
        entries.take(line)
    if not any(entry.role == "user" for entry in entries.all):
        return None
    cwd = next((line["cwd"] for line in chain if isinstance(line.get("cwd"), str)), None)
    transcript = Transcript(session_id, cwd or os.getcwd())  # noqa: PTH109 - a name only
    transcript.entries = entries.all
    transcript.prompts = _answered_elsewhere(chain)
    last_prompt = _read_bookkeeping(transcript, lines)
    return History(transcript, last_prompt, {uuid: line for uuid, line in linked.items() if "message" in line})


def conversation_lines(lines: list[Line], *, honors_leaf: bool, crosses_compaction: bool = False) -> list[Line]:
    """The lines of the branch that was written last, in their order; of a sub-agent's file as well.

    Args:
        lines: of `parse_lines`.
        honors_leaf: whether an `active-leaf` line says where the conversation goes on.
        crosses_compaction: go on behind a summary with what was summed up.
    """
    linked = _linked(lines)
    leaf = linked.get(_marked_leaf(lines) or "") if honors_leaf else None
    said = [line for line in reversed(linked.values()) if line["type"] in ("user", "assistant")]
    leaf = leaf or next((line for line in said if is_main(line) and not line.get("isMeta")), said[0] if said else None)
    return _with_parallel_calls(_walk_back(linked, leaf, crosses_compaction=crosses_compaction), linked)


def read_names(lines: Iterable[Line]) -> dict[str, str]:
    """The `title` and the `tag` that were given last; `""` for a tag that was taken away."""
    names: dict[str, str] = {}
    for line in lines:
        match line:
            case {"type": "custom-title", "customTitle": str() as title}:
                names["title"] = title
            case {"type": "tag", "tag": str() as tag}:
                names["tag"] = tag
            case _:
                pass
    return names


def _read_bookkeeping(transcript: Transcript, lines: list[Line]) -> str | None:
    """Take in what stands between the messages. Returns the last prompt, as it was noted."""
    names = read_names(lines)
    transcript.title, transcript.tag = names.get("title") or None, names.get("tag") or None
    last_prompt: str | None = None
    for line in lines:
        match line:
            case {"type": "prompt-state", "states": dict() as states}:
                if line.get("complete") is True:
                    transcript.prompts = {}
                transcript.prompts |= {uuid: state for uuid, state in states.items() if isinstance(state, str)}
            case {"type": "cost-state", "totalCostUSD": int() | float() as cost, "modelUsage": dict() as usages}:
                transcript.cost_usd = float(cost)
                transcript.model_usage = {
                    model: {**_COUNTED, **usage} for model, usage in usages.items() if isinstance(usage, dict)
                }
            case {"type": "last-prompt", "lastPrompt": str() as prompt}:
                last_prompt = prompt
            case _:
                pass
    return last_prompt


def _marked_leaf(lines: list[Line]) -> str | None:
    marks = [line.get("leafUuid") for line in lines if line.get("type") == "active-leaf"]
    return marks[-1] if marks and isinstance(marks[-1], str) else None


def _linked(lines: list[Line]) -> dict[str, Line]:
    """The lines that others may follow, by uuid."""
    linked: dict[str, Line] = {}
    for line in lines:
        if line.get("type") in LINKED and isinstance(uuid := line.get("uuid"), str):
            linked.pop(uuid, None)  # the later one counts, in its place
            linked[uuid] = line
    return linked


def _chain(linked: dict[str, Line], marked: str | None) -> list[Line]:
    """The branch that the conversation went on with last, from its first line."""
    leaf = linked.get(marked or "") or next((each for each in reversed(linked.values()) if is_main(each)), None)
    return _walk_back(linked, leaf)


def _walk_back(linked: dict[str, Line], leaf: Line | None, *, crosses_compaction: bool = False) -> list[Line]:
    """What leads to a line, from the first one."""
    chain: list[Line] = []
    seen: set[str] = set()
    line = leaf
    while line is not None and line["uuid"] not in seen:
        seen.add(line["uuid"])
        chain.append(line)
        parent = line.get("parentUuid")
        if crosses_compaction and line.get("subtype") == "compact_boundary":
            parent = line.get("logicalParentUuid") or parent
        line = linked.get(parent) if isinstance(parent, str) else None
    return chain[::-1]


def is_main(line: Line) -> bool:
    """Is it said in the conversation itself, and not by or to a sub-agent?"""
    return line["type"] in ("user", "assistant") and not line.get("isSidechain") and not line.get("teamName")


def _with_parallel_calls(chain: list[Line], linked: dict[str, Line]) -> list[Line]:
    """Put back what hangs beside the branch: Claude ties each result to its own call, so parallel ones fork.

    Lines that were written here never do, and a line of ours beside the branch was cut off on purpose.
    """
    on_chain = {line["uuid"] for line in chain}
    last_of = {said: line["uuid"] for line in chain if (said := _message_id(line))}
    answered = {use for line in chain for use in _ids(line, "tool_result", "tool_use_id")}
    callers: dict[str, str] = {}
    beside: dict[str, list[Line]] = {}
    for line in linked.values():
        if (said := _message_id(line)) in last_of:
            callers |= dict.fromkeys(_ids(line, "tool_use", "id"), said)
            if line["uuid"] not in on_chain and line.get("entrypoint") != OURS:
                beside.setdefault(last_of[said], []).append(line)
    for line in linked.values():
        uses = [use for use in _ids(line, "tool_result", "tool_use_id") if use in callers and use not in answered]
        if uses and line.get("entrypoint") != OURS and not line.get("isSidechain"):
            answered |= set(uses)
            beside.setdefault(last_of[callers[uses[0]]], []).append(line)
    return [each for line in chain for each in (line, *beside.get(line["uuid"], ()))]


def _message_id(line: Line) -> str:
    """The id of the model's message that the line is a block of; `""` when it is none."""
    match line:
        case {"type": "assistant", "message": {"id": str() as said}} if not line.get("isSidechain"):
            return said
        case _:
            return ""


def _blocks(line: Line) -> list[dict[str, Any]]:
    match line:
        case {"message": {"content": list() as blocks}}:
            return [block for block in blocks if isinstance(block, dict) and isinstance(block.get("type"), str)]
        case _:
            return []


def _ids(line: Line, kind: str, name: str) -> list[str]:
    return [each for block in _blocks(line) if block["type"] == kind and isinstance(each := block.get(name), str)]


def _answered_elsewhere(chain: list[Line]) -> dict[str, str]:
    """Prompts that another program wrote and that a model began to answer: they are known, so they do not run again."""
    waiting: list[str] = []
    answered: dict[str, str] = {}
    for line in chain:
        if line["type"] == "assistant":
            answered |= dict.fromkeys(waiting, "completed")
            waiting = []
        elif _is_foreign_prompt(line):
            waiting.append(line["uuid"])
    return answered


def _is_foreign_prompt(line: Line) -> bool:
    is_prompt = line["type"] == "user" and not line.get("isMeta") and not _ids(line, "tool_result", "tool_use_id")
    return is_prompt and line.get("entrypoint") != OURS


@final
class _Entries:
    """Puts the blocks of a message together again, each of which has a line of its own."""

    def __init__(self) -> None:
        self.all: list[Entry] = []
        self._by_message: dict[str, Entry] = {}

    def take(self, line: Line) -> None:
        content = line["message"].get("content") if isinstance(line.get("message"), dict) else None
        if line["type"] not in ("user", "assistant") or line.get("isApiErrorMessage"):
            return  # what the agent said in the model's place is nothing that the model said
        if isinstance(content, list):
            content = _blocks(line)
        elif not isinstance(content, str):
            return
        entry = self._begun(line, content)
        if entry is not None:
            entry.add(_blocks(line)[0], line["uuid"])
            return
        entry = Entry(line["type"], content, [line["uuid"]])
        self.all.append(entry)
        if said := _message_id(line):
            self._by_message[said] = entry

    def _begun(self, line: Line, content: str | list[dict[str, Any]]) -> Entry | None:
        """The message that the line goes on with, if it does."""
        if isinstance(content, str) or len(content) != 1 or not self.all:
            return None
        last = self.all[-1]
        if line.get("entrypoint") == OURS:
            goes_on = bool(line.get("apiBlockIndex" if line["type"] == "assistant" else "blockIndex"))
            entry = last if goes_on and last.role == line["type"] else None
        elif line["type"] == "assistant":
            entry = self._by_message.get(_message_id(line))
        else:
            entry = last if last.role == "user" and _are_results([*last.content, *content]) else None
        return entry if entry is not None and len(entry.uuids) == len(entry.content) else None


def _are_results(blocks: list[Any]) -> bool:
    return all(isinstance(block, dict) and block["type"] == "tool_result" for block in blocks)
