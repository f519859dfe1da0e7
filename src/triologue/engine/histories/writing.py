"""What is new in a conversation, as the lines of its history file."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec

from triologue.engine.histories.reading import OURS, Line
from triologue.engine.transcripts import Entry, SubAgent, Transcript, Written
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


class Frame(NamedTuple):
    """One line to be: a block of an entry, or all of it."""

    uuid: str
    entry: Entry
    position: int


class News(NamedTuple):
    """What of a conversation is not written yet."""

    same: int
    """How many of the lines that are written still make it up."""
    frames: list[Frame]
    """What follows them."""
    goes_on: bool
    """It is what was written, and only went on since: so nothing else of it needs to be looked at."""


def frames_of(transcript: Transcript) -> list[Frame]:
    """What there are lines of. Each has a uuid of its own, also where the conversation has none or one twice."""
    return _frames(transcript, (0, 0), {})


def find_news(transcript: Transcript, written: Written) -> News:
    """What is new; costs no more than there is of it, unless the conversation was cut, compacted or read anew."""
    if written.end is not None:
        index, entry, count = written.end
        if index < len(transcript.entries) and transcript.entries[index] is entry:
            return News(len(written.uuids), _frames(transcript, (index, count), written.uuids), goes_on=True)
    frames = frames_of(transcript)
    same = 0
    for frame, uuid in zip(frames, written.uuids, strict=False):
        if frame.uuid != uuid:
            break
        same += 1
    return News(same, frames[same:], goes_on=False)


def written_of(transcript: Transcript) -> Written:
    """What is written where everything of it is."""
    written = Written()
    note_written(transcript, written, find_news(transcript, written))
    return written


def note_written(transcript: Transcript, written: Written, news: News, *, size: int = 0) -> None:
    """The news are written, with all else that there is to tell. `size`: bytes."""
    if news.frames and news.same < len(written.uuids):
        written.uuids = dict.fromkeys(islice(written.uuids, news.same))
    written.uuids |= dict.fromkeys(frame.uuid for frame in news.frames)
    if transcript.entries and (news.frames or news.same == len(written.uuids)):
        last = transcript.entries[-1]
        written.end = len(transcript.entries) - 1, last, len(_own_uuids(last))
    written.last_prompt = last_prompt(_entries_of(transcript, news)) or written.last_prompt
    written.has_prompts = bool(transcript.prompts)
    written.cost = _cost(transcript)
    written.title, written.tag = transcript.title, transcript.tag
    written.since_names += size
    transcript.settled = ()
    if transcript.notes is not None:
        for frame in news.frames:
            transcript.notes.pop(frame.uuid, None)
        transcript.notes = transcript.notes or None


def _own_uuids(entry: Entry) -> list[str]:
    return entry.uuids or [""] * bool(entry.content)


def _frames(transcript: Transcript, start: tuple[int, int], known: Mapping[str, None]) -> list[Frame]:
    """Those from an entry and one of its lines on; `known` are the uuids of all before."""
    frames: list[Frame] = []
    seen: set[str] = set()
    index, skipped = start
    for entry in transcript.entries[index:]:
        for position, own in enumerate(_own_uuids(entry)):
            if position < skipped:
                continue
            uuid = own
            if not uuid or uuid in seen or uuid in known:
                number = len(known) + len(frames)
                place = f"{transcript.session_id}/{transcript.agent and transcript.agent.id}/{number}/{uuid}"
                uuid = str(uuid5(_OWN_IDS, place))
            seen.add(uuid)
            frames.append(Frame(uuid, entry, position))
        skipped = 0
    return frames


def new_lines(
    transcript: Transcript, written: Written, news: News, source: dict[str, Line], *, now: datetime, version: str
) -> list[Line]:
    """The lines that tell what was said and is not written yet.

    Args:
        transcript: the conversation.
        written: what is written.
        news: of `find_news`.
        source: the lines of the conversation that it was forked from, by uuid.
        now: the time of the lines.
        version: of the program that writes.
    """
    if not news.frames:
        return []  # a cut shows once it is gone on with
    common = _common_fields(transcript, now, version)
    lines: list[Line] = []
    parent = _uuid_at(written, news.same - 1) if news.same else None
    is_compacted = news.same == 0 and bool(written.uuids)
    if is_compacted:
        lines.append(_boundary(transcript, written, news.frames[0], common))
        parent = lines[0]["uuid"]
    for frame in news.frames:
        line = _line(frame, parent, {**source.get(frame.uuid, {}), **_note(transcript, frame)}, common)
        if is_compacted and frame is news.frames[0]:
            line["isCompactSummary"] = True
        lines.append(line)
        parent = frame.uuid
    return lines


def _uuid_at(written: Written, place: int) -> str:
    from_the_end = len(written.uuids) - 1 - place
    return next(islice(reversed(written.uuids), from_the_end, None))


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
        "logicalParentUuid": next(reversed(written.uuids)),
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


def bookkeeping(transcript: Transcript, written: Written, news: News, *, marks_leaf: bool) -> list[Line]:
    """The lines between the messages that changed."""
    lines = _prompt_states(transcript, written, news)
    if transcript.title != written.title:
        lines.append({"type": "custom-title", "customTitle": transcript.title or ""})
    if transcript.tag != written.tag:
        lines.append({"type": "tag", "tag": transcript.tag or ""})
    prompt = last_prompt(_entries_of(transcript, news))
    if prompt is not None and prompt != written.last_prompt:
        lines.append({"type": "last-prompt", "lastPrompt": prompt})
    if _cost(transcript) != written.cost:
        lines.append({**_UNCOUNTED, "totalCostUSD": transcript.cost_usd, "modelUsage": transcript.model_usage})
    if marks_leaf and news.frames:
        lines.append({"type": "active-leaf", "leafUuid": news.frames[-1].uuid})
    for line in lines:
        line["sessionId"] = transcript.session_id
    return lines


def _prompt_states(transcript: Transcript, written: Written, news: News) -> list[Line]:
    if news.goes_on:
        states = {uuid: transcript.prompts[uuid] for uuid in transcript.settled}
        return [{"type": "prompt-state", "states": states}] if states else []
    if written.has_prompts:  # and perhaps they are not all there any more
        return [{"type": "prompt-state", "states": transcript.prompts, "complete": True}]
    return [{"type": "prompt-state", "states": transcript.prompts}] if transcript.prompts else []


def _entries_of(transcript: Transcript, news: News) -> Iterable[Entry]:
    """The entries that may have changed, the last one first."""
    return [frame.entry for frame in reversed(news.frames)] if news.goes_on else reversed(transcript.entries)


def last_prompt(backwards: Iterable[Entry]) -> str | None:
    """The text that a list of conversations shows; None where these entries have none."""
    for entry in backwards:
        blocks = [{"type": "text", "text": entry.content}] if isinstance(entry.content, str) else entry.content
        if entry.role == "user" and not any(block.get("type") == "tool_result" for block in blocks):
            texts = [said for block in blocks if isinstance(said := block.get("text"), str)]
            if texts and not texts[0].startswith("[Request interrupted"):
                return " ".join(" ".join(texts).split())[:200]
    return None


def metadata_of(agent: SubAgent) -> dict[str, Any]:
    """What is told of a sub-agent beside what it said."""
    facts = {
        "agentType": agent.kind,
        "description": agent.description,
        "toolUseId": agent.tool_use_id,
        "parentAgentId": agent.parent_agent_id,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def encode_line(line: Line) -> bytes:
    """A line without its newline. ASCII only, because one reader chokes on a character that was torn in two."""
    return json.dumps(line, separators=(",", ":"), default=_plain_value).encode("ascii")


def _plain_value(value: Any) -> Any:
    return read_lazily(value) if isinstance(value, msgspec.Raw) else repr(value)


def _cost(transcript: Transcript) -> tuple[float, str]:
    return transcript.cost_usd, json.dumps(transcript.model_usage)
