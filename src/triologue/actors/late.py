"""The partials that a slow reader missed, added up."""

from typing import Any, final

import msgspec
from msgspec import Struct

from triologue.messages import AssistantMessage, Message, StreamEvent, TurnEnded


class _Delta(Struct):
    """What a delta may hold."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Piece(Struct):
    """So much of a partial's event as tells whether it goes on with another: reading all of it takes twice as long."""

    type: str = ""
    index: Any = None
    delta: _Delta | None = None


class _Part(Struct):
    """A partial, and the pieces of those after it that go on with it."""

    turn_id: str | None
    partial: StreamEvent
    index: Any
    kind: str
    """The type of its delta; empty where nothing can go on with it."""
    pieces: list[str]


@final
class Late:
    """The partials that a slow reader missed, added up: at most one for each block that is still open."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add(self, turn_id: str | None, message: Message) -> None:
        """Remember a partial; a complete message repeats what its partials said, so they go."""
        if type(message) is StreamEvent:
            self._add(turn_id, message)
        elif isinstance(message, AssistantMessage):
            parent = message.parent_tool_use_id
            self._parts = [part for part in self._parts if part.partial.parent_tool_use_id != parent]
        elif isinstance(message, TurnEnded):
            self._parts = [part for part in self._parts if part.turn_id != turn_id]

    def _add(self, turn_id: str | None, partial: StreamEvent) -> None:
        try:
            event = _decode(partial.event_raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            event = _read_oddly(partial)
        delta = event.delta
        text = getattr(delta, _PIECES[delta.type]) if delta is not None and delta.type in _PIECES else None
        if delta is None or text is None or event.type != "content_block_delta" or _says_more(delta):
            self._parts.append(_Part(turn_id, partial, None, "", []))
            return
        last = self._parts[-1] if self._parts else None
        if (
            last is not None
            and last.kind == delta.type
            and last.index == event.index
            and last.turn_id == turn_id
            and last.partial.parent_tool_use_id == partial.parent_tool_use_id
        ):
            last.pieces.append(text)
        else:
            self._parts.append(_Part(turn_id, partial, event.index, delta.type, [text]))

    def take(self) -> list[tuple[str | None, StreamEvent]]:
        """Give them away, each with its turn."""
        parts, self._parts = self._parts, []
        return [(part.turn_id, _joined(part)) for part in parts]


# Which field of a delta carries its piece of text.
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

_decode = msgspec.json.Decoder(_Piece).decode


def _says_more(delta: _Delta) -> bool:
    """Has it a piece of another kind, which would be lost?"""
    return (delta.text, delta.thinking, delta.partial_json).count(None) != len(_PIECES) - 1


def _read_oddly(partial: StreamEvent) -> _Piece:
    try:
        return msgspec.convert(partial.event, _Piece)  # half of a surrogate pair can be read, for instance
    except msgspec.ValidationError:
        return _Piece()


def _joined(part: _Part) -> StreamEvent:
    partial = part.partial
    if len(part.pieces) < 2:
        return partial
    event = partial.event
    delta = {**event["delta"], _PIECES[part.kind]: "".join(part.pieces)}
    return StreamEvent.of(
        {**event, "delta": delta},
        parent_tool_use_id=partial.parent_tool_use_id,
        session_id=partial.session_id,
        uuid=partial.uuid,
    )
