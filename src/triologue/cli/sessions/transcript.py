"""A session as a person reads it: its head in rows, and its log in lines; pure."""

from typing import NamedTuple, final

from triologue.cli.chat_view import notice_of, short, short_input, short_result
from triologue.cli.endings import one_line
from triologue.cli.sessions.spans import clock
from triologue.cli.text_flow import printable
from triologue.messages import (
    AssistantMessage,
    ContentBlock,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionAsked,
    SettingsChanged,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UserMessage,
    text,
)
from triologue.ports import Record, StoredSession
from triologue.wire import decode_record

FAINT = "bright_black"

_OF_TURNS = ("#turn_accepted", "#turn_started", "#turn_ended")


class Shown(NamedTuple):
    """A line."""

    text: str
    style: str = ""
    """As rich names it."""


@final
class TranscriptView:
    """Feed it the records of a log in order; it gives what is to be shown of each.

    A prompt is shown where its turn starts, and not where it was accepted, which may be in the middle of another turn.

    Args:
        first: the `seq` of the first record that is shown. Those before it are needed for turns that were accepted there.
    """

    def __init__(self, *, first: int = 1) -> None:
        self._first = first
        self._waiting: dict[str, tuple[Record, TurnAccepted]] = {}
        self._started: dict[str, float] = {}
        self._has_spoken = False

    def show(self, record: Record) -> list[Shown]:
        """The lines of one record."""
        if record.seq >= self._first:
            return self._show(record)
        if record.kind in _OF_TURNS:
            self._show(record)
        return []

    def _show(self, record: Record) -> list[Shown]:
        message = decode_record(record.kind, record.line)
        turn_id = record.turn_id or ""
        match message:
            case TurnAccepted():
                self._waiting[turn_id] = (record, message)
                return []
            case TurnStarted():
                self._has_spoken = False
                self._started[turn_id] = record.time
                return self._prompt(turn_id) or [Shown("(started once more)", FAINT)]
            case TurnEnded(outcome=outcome):
                return [*self._prompt(turn_id), *self._end(outcome, record)]
            case _:
                return self._said(message)

    def end(self) -> list[Shown]:
        """There are no more records: what has no outcome yet."""
        running = [_note("no outcome yet", "yellow")] if self._started else []
        waiting = [
            line for turn_id in list(self._waiting) for line in (*self._prompt(turn_id), _note("waits", "yellow"))
        ]
        return running + waiting

    def _prompt(self, turn_id: str) -> list[Shown]:
        if turn_id not in self._waiting:
            return []
        record, accepted = self._waiting.pop(turn_id)
        first, *others = _lines(_prompt_text(accepted.prompt)) or [""]
        when = Shown(f"[{record.seq}] {clock(record.time)}", FAINT)
        return [Shown(""), when, *(Shown(line, "bold") for line in (f"> {first}", *(f"  {line}" for line in others)))]

    def _said(self, message: Message) -> list[Shown]:
        match message:
            case AssistantMessage(parent_tool_use_id=parent):
                return self._answer(message, is_nested=parent is not None)
            case UserMessage(parent_tool_use_id=None):
                return _results(message.content)
            case PermissionAsked(request=request):
                return [_note(f"asks whether {request.tool_name} may run")]
            case PermissionAnswered():
                return [_note(_answered(message))]
            case SettingsChanged(model=model, permission_mode=mode):
                return [_note(f"from here on: model {model or 'default'}, permission mode {mode or 'default'}")]
            case _:
                said = notice_of(message)
                return [_note(said)] if said is not None else []

    def _answer(self, message: AssistantMessage, *, is_nested: bool) -> list[Shown]:
        lines: list[Shown] = []
        for block in message.content:
            match block:
                case ToolUseBlock():
                    indent = "  " if is_nested else ""
                    lines.append(Shown(f"{indent}> {printable(block.name)}  {short_input(block.input)}", "cyan"))
                case TextBlock() if not is_nested:
                    self._has_spoken = True
                    lines += map(Shown, _lines(block.text))
                case _:
                    pass
        return lines

    def _end(self, outcome: Outcome, record: Record) -> list[Shown]:
        lines: list[Shown] = []
        told = outcome.result.result if outcome.result is not None else None
        if outcome.kind == "answered" and not self._has_spoken and told:
            lines += map(Shown, _lines(told))
        if outcome.kind not in ("answered", "failed"):
            lines.append(_note(outcome.kind, "yellow"))
        elif outcome.error is not None:
            said = printable(one_line(outcome.error))
            lines.append(Shown(said.removesuffix(f": {told}") if told and self._has_spoken else said, "red"))
        parts: list[str] = []
        began = self._started.pop(record.turn_id or "", None)
        if began:  # 0 where the time is not known, as in some histories
            parts.append(f"{max(0.0, record.time - began):.1f} s")
        if outcome.cost_usd is not None:
            parts.append(f"${outcome.cost_usd:.4f}")
        return [*lines, _note(", ".join(parts))] if parts else lines


def _prompt_text(prompt: UserMessage) -> str:
    if isinstance(prompt.content, str):
        return prompt.content
    return "\n".join(block.text if isinstance(block, TextBlock) else f"[{_kind(block)}]" for block in prompt.content)


def _kind(block: ContentBlock) -> str:
    return str(block.__struct_config__.tag).removeprefix("#")


def _results(content: str | list[ContentBlock]) -> list[Shown]:
    return [
        Shown(f"  {short_result(block.content)}", "red" if block.is_error else FAINT)
        for block in (content if isinstance(content, list) else ())
        if isinstance(block, ToolResultBlock)
    ]


def _answered(message: PermissionAnswered) -> str:
    by = f" by {message.by}" if message.by else ""
    return f"{message.answer}{by}" + (f": {message.reason}" if message.reason else "")


def _note(said: str, style: str = FAINT) -> Shown:
    return Shown(f"({short(said, 400)})", style)


def _lines(said: str) -> list[str]:
    return printable(said).strip("\n").splitlines()


def first_prompt(records: list[Record]) -> str | None:
    """What the first prompt of a log says, in one line of any length; None where these have none."""
    for record in records:
        message = decode_record(record.kind, record.line)
        if isinstance(message, TurnAccepted):
            return " ".join(text(message.prompt).split()) or None
    return None


def rows_of(head: StoredSession, *, held_by: str | None) -> list[tuple[str, str]]:
    """What is to be told of a session beside its log, in rows of a name and a value."""
    tokens = f"{head.input_tokens} in, {head.output_tokens} out" if head.input_tokens or head.output_tokens else ""
    cost = f"${head.cost_usd:.4f}" if head.cost_usd is not None else "not known"
    copied = f"{head.parent}, at {head.forked_at or 'its end'}" if head.parent is not None else ""
    rows = [
        ("title", head.title or ""),
        ("tags", ", ".join(head.tags)),
        ("agent", head.agent),
        ("session id", head.session_id or ""),
        ("folder", head.cwd or ""),
        ("model", str(head.settings.get("model") or "")),
        ("copy of", copied),
        ("created", clock(head.created) if head.created else "not known"),
        ("last active", clock(head.last_active) if head.last_active else "not known"),
        ("turns", str(head.turns) + (f", and {len(head.unfinished)} without an outcome" if head.unfinished else "")),
        ("tokens", tokens),
        ("cost", cost),
        ("held by", held_by or ""),
    ]
    return [(name, short(value, 400)) for name, value in rows if value]


def state_of(head: StoredSession, *, held_by: str | None) -> str:
    """Where a session stands, in a few words."""
    if held_by is not None:
        return f"in use by {held_by}"
    return f"{len(head.unfinished)} unfinished" if head.unfinished else "-"
