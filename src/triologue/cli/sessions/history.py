"""A history that an agent's program wrote, as a session: its head, its log, and its lines; pure."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from triologue.engine.histories import UNTOLD, Line, conversation_lines, parse_lines
from triologue.errors import TurnError, TurnFailed, TurnInterrupted, TurnLost
from triologue.messages import (
    AssistantMessage,
    Message,
    Outcome,
    ToolResultBlock,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UserMessage,
    text,
)
from triologue.messages.loose import encodable
from triologue.ports import Record, StoredSession, TranscriptEntry
from triologue.wire import decode_line, encode_record, kind_of

_ENDS: Final = "#turn_ended"
_INTERRUPTED: Final = "[Request interrupted by user"
_NOT_ASKED: Final = ("<local-command-stdout>", "<local-command-stderr>", "<bash-stdout>", "<bash-stderr>")
"""What the lines of a user begin with that tell what came of a command."""


class Imported(Struct, frozen=True):
    """What is kept of a history."""

    head: StoredSession
    records: list[Record]
    entries: list[TranscriptEntry]


def read_session(
    session_id: str, files: Mapping[str, bytes], *, key: str, agent: str, marks_leaf: bool
) -> Imported | None:
    """A conversation from its files; None where nothing was said in it, or it is a sub-agent's.

    Args:
        session_id: whose they are.
        files: what is in them, by their paths relative to the folder of the project; its own is `<session id>.jsonl`.
        key: of the session that it becomes.
        agent: the name of the agent whose program wrote it.
        marks_leaf: whether an `active-leaf` line says where it goes on.
    """
    lines = parse_lines(files[f"{session_id}.jsonl"])
    if lines and lines[0].get("isSidechain") is True:
        return None
    shown = [
        line for line in conversation_lines(lines, honors_leaf=marks_leaf, crosses_compaction=True) if _is_shown(line)
    ]
    log = _Log(session_id)
    for line in shown:
        log.take(line)
    log.end_turn()
    if not log.turns:
        return None
    head = StoredSession(
        key=key,
        session_id=session_id,
        is_confirmed=True,
        agent=agent,
        cwd=next((line["cwd"] for line in shown if isinstance(line.get("cwd"), str)), None),
        title=_title(lines),
        tags=_tags(lines),
        created=log.records[0].time,
        last_active=log.records[-1].time,
        turns=log.turns,
        input_tokens=sum(_count(usage.get("input_tokens")) for usage in log.usages.values()),
        output_tokens=sum(_count(usage.get("output_tokens")) for usage in log.usages.values()),
        cost_usd=_cost(lines),
        last_seq=len(log.records),
    )
    return Imported(
        head, log.records, [entry for path, data in files.items() for entry in _entries(session_id, path, data)]
    )


def records_beyond(records: Sequence[Record], kept: Sequence[Record]) -> list[Record] | None:
    """What a history has beyond the log that was made of it before; None where that log has something else.

    A turn in whose middle it was has its outcome there; what was said in that turn since is told as that of none.

    Args:
        records: of the history, all.
        kept: the log, all.
    """
    said = [index for index, record in enumerate(records) if record.kind != _ENDS]
    before = [record.line for record in kept if record.kind != _ENDS]
    if before != [records[index].line for index in said[: len(before)]]:
        return None
    new: list[Record] = []
    is_late = bool(before)
    for record in records[said[len(before) - 1] + 1 if before else 0 :]:
        if is_late and record.kind == _ENDS:
            is_late = False
            continue
        new.append(replace(record, seq=len(kept) + len(new) + 1, turn_id=None if is_late else record.turn_id))
    return new


def _entries(session_id: str, path: str, data: bytes) -> Iterable[TranscriptEntry]:
    """The lines of a file; what is none is left out."""
    for raw in data.split(b"\n"):
        found = parse_lines(raw)
        if not found or str(found[0].get("type") or "").startswith(UNTOLD):
            continue
        uuid = found[0].get("uuid")
        yield TranscriptEntry(session_id=session_id, path=path, id=uuid if isinstance(uuid, str) else None, line=raw)


@final
class _Log:
    """Makes a log of the lines of a conversation."""

    def __init__(self, session_id: str) -> None:
        self.records: list[Record] = []
        self.turns = 0
        self.usages: dict[str, dict[str, Any]] = {}
        """The last that was told of each message of the model."""
        self._session_id = session_id
        self._time = 0.0
        self._turn_id: str | None = None
        self._last: AssistantMessage | None = None
        self._is_interrupted = False

    def take(self, line: Line) -> None:
        """The next line that is shown."""
        time = max(self._time, _time_of(line))
        message = _frame(self._session_id, line)
        match message:
            case UserMessage() if _is_prompt(message):
                self.end_turn()
                self._time = time
                self._begin_turn(message, line["uuid"])
            case _:
                self._time = time
                self._is_interrupted = isinstance(message, UserMessage) and text(message).startswith(_INTERRUPTED)
                if isinstance(message, AssistantMessage):
                    self._last = message
                    self.usages[message.message_id or line["uuid"]] = message.usage or {}
                self._add(message)

    def _begin_turn(self, prompt: UserMessage, turn_id: str) -> None:
        self._turn_id, self._last, self._is_interrupted = turn_id, None, False
        self.turns += 1
        prompt.line = b""
        self._add(TurnAccepted(prompt=prompt, meta={}))
        self._add(TurnStarted())

    def end_turn(self) -> None:
        """The lines of a turn, if there is one, were all of it."""
        if self._turn_id is not None:
            self._add(TurnEnded(outcome=self._outcome()))
        self._turn_id = None

    def _outcome(self) -> Outcome:
        """How a turn ended, as far as its lines tell."""
        error: TurnError | None = None
        if self._is_interrupted:
            error = TurnInterrupted("the turn was interrupted by its user")
        elif self._last is None:
            error = TurnLost("the history has no answer to this prompt")
        elif self._last.is_api_error_message:
            error = TurnFailed(f"the turn failed: {text(self._last)}")
        match error:
            case TurnInterrupted():
                return Outcome(kind="interrupted", error=error)
            case TurnLost():
                return Outcome(kind="lost", error=error)
            case TurnFailed():
                return Outcome(kind="failed", error=error)
            case _:
                return Outcome(kind="answered")

    def _add(self, message: Message) -> None:
        self.records.append(
            Record(
                seq=len(self.records) + 1,
                turn_id=self._turn_id,
                kind=kind_of(message),
                time=self._time,
                line=encode_record(message),
            )
        )


def _frame(session_id: str, line: Line) -> Message:
    """The frame that the agent said, or was told, when it wrote this line."""
    frame = {
        "type": line["type"],
        "message": line.get("message"),
        "parent_tool_use_id": None,
        "session_id": session_id,
        "uuid": line["uuid"],
        "timestamp": line.get("timestamp"),
        "isApiErrorMessage": line.get("isApiErrorMessage"),
        "tool_use_result": line.get("toolUseResult"),
    }
    said = {name: value for name, value in frame.items() if value is not None or name == "parent_tool_use_id"}
    message = decode_line(msgspec.json.encode(encodable(said)))
    assert message is not None, "it is not blank"
    return message


def _is_prompt(message: UserMessage) -> bool:
    if isinstance(message.content, list) and any(isinstance(block, ToolResultBlock) for block in message.content):
        return False
    return not text(message).startswith((_INTERRUPTED, *_NOT_ASKED))


def _is_shown(line: Line) -> bool:
    hidden = any(line.get(name) for name in ("isMeta", "isSidechain", "teamName", "isCompactSummary"))
    return line["type"] in ("user", "assistant") and not hidden


def _time_of(line: Line) -> float:
    """Seconds since the epoch; 0 where it is not told."""
    try:
        return datetime.fromisoformat(str(line.get("timestamp"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _title(lines: list[Line]) -> str | None:
    """The name that was given last, else one that was made up."""
    for name in ("customTitle", "aiTitle", "summary"):
        named = [line[name] for line in lines if isinstance(line.get(name), str) and line[name].strip()]
        if named:
            return " ".join(named[-1].split())
    return None


def _tags(lines: list[Line]) -> tuple[str, ...]:
    given = [line["tag"] for line in lines if line.get("type") == "tag" and isinstance(line.get("tag"), str)]
    return (given[-1],) if given and given[-1] else ()


def _cost(lines: list[Line]) -> float | None:
    """US dollars; None where it is not told, or what is told cannot be."""
    told = [line.get("totalCostUSD") for line in lines if line.get("type") == "cost-state"]
    last = told[-1] if told else None
    if not isinstance(last, int | float) or isinstance(last, bool) or not 0 <= last <= sys.float_info.max:
        return None
    return float(last)


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
