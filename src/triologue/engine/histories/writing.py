"""What is new in a conversation, as the lines of its history file."""

import json
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct, field

from triologue.engine.histories.reading import OURS, Line
from triologue.engine.transcripts import Entry, Transcript
from triologue.messages.loose import read_lazily

_OWN_IDS = UUID("5b0f3c7e-6f0b-5d5e-9a52-3f1a4f2c9d10")

# Claude Code takes up the costs of a conversation only when all of this is told with them.
_UNCOUNTED = {
    "type": "cost-state",
    "totalAPIDuration": 0,
    "totalAPIDurationWithoutRetries": 0,
    "totalToolDuration": 0,
    "totalLinesAdded": 0,
    "totalLinesRemoved": 0,
    "totalDuration": 0,
    "startTime": 0,
    "hasUnknownModelCost": False,
}


class Written(Struct):
    """What of a conversation is in its file."""

    uuids: list[str] = field(default_factory=list)
    """The lines that make it up, in order."""
    prompts: dict[str, str] = field(default_factory=dict)
    cost: tuple[float, str] = (0.0, "{}")
    title: str | None = None
    tag: str | None = None
    last_prompt: str | None = None
    since_names: int = 0
    """Bytes that were appended since the title and the tag were."""

    @classmethod
    def of(cls, transcript: Transcript, uuids: list[str], *, since_names: int) -> "Written":
        """Everything of it."""
        return cls(
            uuids=uuids,
            prompts=dict(transcript.prompts),
            cost=_cost(transcript),
            title=transcript.title,
            tag=transcript.tag,
            last_prompt=last_prompt(transcript),
            since_names=since_names,
        )


class Frame(NamedTuple):
    """One line to be: a block of an entry, or all of it."""

    uuid: str
    entry: Entry
    position: int


def frames_of(transcript: Transcript) -> list[Frame]:
    """What the file has lines of. Each has a uuid of its own, also where the conversation has none or one twice."""
    frames: list[Frame] = []
    seen: set[str] = set()
    for entry in transcript.entries:
        for index, uuid in enumerate(entry.uuids or [""] * bool(entry.content)):
            if not uuid or uuid in seen:
                place = f"{transcript.session_id}/{transcript.agent and transcript.agent.id}/{len(frames)}/{uuid}"
                uuid = str(uuid5(_OWN_IDS, place))
            seen.add(uuid)
            frames.append(Frame(uuid, entry, index))
    return frames


def new_lines(
    transcript: Transcript, written: Written, source: dict[str, Line], *, now: datetime, version: str
) -> tuple[list[Line], list[str]]:
    """The lines that tell what the file does not have yet, and the uuids of all that make up the conversation.

    Args:
        transcript: the conversation.
        written: what the file has.
        source: the lines of the conversation that it was forked from, by uuid.
        now: the time of the lines.
        version: of the program that writes.
    """
    frames = frames_of(transcript)
    same = 0
    for frame, uuid in zip(frames, written.uuids, strict=False):
        if frame.uuid != uuid:
            break
        same += 1
    if same == len(frames):
        return [], written.uuids  # a cut shows once it is gone on with
    common = _common_fields(transcript, now, version)
    lines: list[Line] = []
    parent = frames[same - 1].uuid if same else None
    is_compacted = same == 0 and bool(written.uuids)
    if is_compacted:
        lines.append(_boundary(transcript, written, frames[0], common))
        parent = lines[0]["uuid"]
    for frame in frames[same:]:
        line = _line(frame, parent, {**source.get(frame.uuid, {}), **_note(transcript, frame)}, common)
        if is_compacted and frame is frames[0]:
            line["isCompactSummary"] = True
        lines.append(line)
        parent = frame.uuid
    return lines, [frame.uuid for frame in frames]


def _common_fields(transcript: Transcript, now: datetime, version: str) -> Line:
    common: Line = {
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "userType": "external",
        "entrypoint": OURS,
        "cwd": transcript.cwd,
        "sessionId": transcript.session_id,
        "version": version,
    }
    return common if transcript.agent is None else {"agentId": transcript.agent.id, **common}


def _note(transcript: Transcript, frame: Frame) -> Line:
    return (transcript.notes or {}).get(frame.uuid, {})


def _line(frame: Frame, parent: str | None, facts: Line, common: Line) -> Line:
    """One line. What is known of it from elsewhere is kept, but for its place and its content."""
    entry, content = frame.entry, frame.entry.content
    is_block = isinstance(content, list) and len(content) == len(entry.uuids)
    message: dict[str, Any] = {"role": "user"}
    if entry.role == "assistant":
        message = {
            "id": f"msg_{entry.uuids[0] if entry.uuids else frame.uuid}",
            "type": "message",
            "role": "assistant",
            "model": "unknown",
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
    known = facts.get("message")
    message |= known if isinstance(known, dict) else {}
    message["content"] = [content[frame.position]] if is_block else content
    line: Line = {"parentUuid": parent, "isSidechain": "agentId" in common, "type": entry.role, "message": message}
    if is_block:
        line["apiBlockIndex" if entry.role == "assistant" else "blockIndex"] = frame.position
    line |= {"uuid": frame.uuid, **common}
    line |= {name: value for name, value in facts.items() if name not in line or name == "timestamp"}
    return line


def _boundary(transcript: Transcript, written: Written, first: Frame, common: Line) -> Line:
    """The line behind which a compacted conversation goes on."""
    return {
        "parentUuid": None,
        "logicalParentUuid": written.uuids[-1],
        "isSidechain": "agentId" in common,
        "type": "system",
        "subtype": "compact_boundary",
        "content": "Conversation compacted",
        "level": "info",
        "isMeta": False,
        "compactMetadata": {"trigger": "manual"},
        "uuid": str(uuid5(_OWN_IDS, f"{transcript.session_id}/{first.uuid}")),
        **common,
    }


def bookkeeping(transcript: Transcript, written: Written, leaf: str | None, *, marks_leaf: bool) -> list[Line]:
    """The lines between the messages that changed. `leaf`: the last line, if there is a new one."""
    lines = _prompt_states(transcript, written)
    if transcript.title != written.title:
        lines.append({"type": "custom-title", "customTitle": transcript.title or ""})
    if transcript.tag != written.tag:
        lines.append({"type": "tag", "tag": transcript.tag or ""})
    prompt = last_prompt(transcript)
    if prompt is not None and prompt != written.last_prompt:
        lines.append({"type": "last-prompt", "lastPrompt": prompt})
    if _cost(transcript) != written.cost:
        lines.append({**_UNCOUNTED, "totalCostUSD": transcript.cost_usd, "modelUsage": transcript.model_usage})
    if marks_leaf and leaf is not None:
        lines.append({"type": "active-leaf", "leafUuid": leaf})
    for line in lines:
        line["sessionId"] = transcript.session_id
    return lines


def _prompt_states(transcript: Transcript, written: Written) -> list[Line]:
    if written.prompts.keys() - transcript.prompts.keys():
        return [{"type": "prompt-state", "states": transcript.prompts, "complete": True}]
    states = {uuid: state for uuid, state in transcript.prompts.items() if written.prompts.get(uuid) != state}
    return [{"type": "prompt-state", "states": states}] if states else []


def last_prompt(transcript: Transcript) -> str | None:
    """The text that a list of conversations shows."""
    for entry in reversed(transcript.entries):
        blocks = [{"type": "text", "text": entry.content}] if isinstance(entry.content, str) else entry.content
        if entry.role == "user" and not any(block.get("type") == "tool_result" for block in blocks):
            texts = [said for block in blocks if isinstance(said := block.get("text"), str)]
            if texts and not texts[0].startswith("[Request interrupted"):
                return " ".join(" ".join(texts).split())[:200]
    return None


def encode_lines(lines: list[Line]) -> bytes:
    """The lines, ready to be appended. ASCII only, because one reader chokes on a character that was torn in two."""
    return "".join(json.dumps(line, separators=(",", ":"), default=_plain_value) + "\n" for line in lines).encode(
        "ascii"
    )


def _plain_value(value: Any) -> Any:
    return read_lazily(value) if isinstance(value, msgspec.Raw) else repr(value)


def _cost(transcript: Transcript) -> tuple[float, str]:
    return transcript.cost_usd, json.dumps(transcript.model_usage)
