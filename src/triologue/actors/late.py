"""The partials that a slow reader missed, added up."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias, final

import msgspec
from msgspec import Struct, field

from triologue.messages import AssistantMessage, Message, StreamEvent, TurnEnded


class _TextDelta(Struct, tag="text_delta", tag_field="type", gc=False):
    """A delta that others can go on with: it has a piece of its own kind, and of no other, which would be lost."""

    name: ClassVar = "text"
    piece: str = field(name="text")
    thinking: None = None
    partial_json: None = None


class _ThinkingDelta(Struct, tag="thinking_delta", tag_field="type", gc=False):
    name: ClassVar = "thinking"
    piece: str = field(name="thinking")
    text: None = None
    partial_json: None = None


class _InputDelta(Struct, tag="input_json_delta", tag_field="type", gc=False):
    name: ClassVar = "partial_json"
    piece: str = field(name="partial_json")
    text: None = None
    thinking: None = None


_Delta: TypeAlias = _TextDelta | _ThinkingDelta | _InputDelta


class _Piece(Struct, gc=False):
    """So much of a partial's event as tells whether it goes on with another: reading all of it takes twice as long."""

    type: Literal["content_block_delta"]  # no tag, for msgspec takes what has none
    delta: _Delta
    index: Any = None


class _Part(Struct):
    """A partial, and those after it that go on with it."""

    turn_id: str | None
    partial: StreamEvent
    same: tuple[type[_Delta], Any, str | None, str | None] | None
    """What is the same for all of them, first the kind of their deltas; None where nothing can go on with it."""
    pieces: list[str]
    """What they say."""


@final
class Late:
    """The partials that a slow reader missed, added up: at most one for each block that is still open."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add(self, turn_id: str | None, messages: Sequence[Message]) -> None:
        """Remember partials; a complete message repeats what its partials said, so they go."""
        last = self._parts[-1] if self._parts else None
        for message in messages:
            if type(message) is not StreamEvent:
                self._forget(turn_id, message)
                last = self._parts[-1] if self._parts else None
                continue
            try:
                piece: _Piece | None = _decode(message.event_raw)
            except (msgspec.ValidationError, RecursionError):
                piece = None
            except (msgspec.DecodeError, UnicodeDecodeError):
                piece = _read_oddly(message)
            if piece is None:
                last = _Part(turn_id, message, None, [])
                self._parts.append(last)
                continue
            same = type(piece.delta), piece.index, turn_id, message.parent_tool_use_id
            if last is None or last.same != same:
                last = _Part(turn_id, message, same, [])
                self._parts.append(last)
            last.pieces.append(piece.delta.piece)

    def _forget(self, turn_id: str | None, message: Message) -> None:
        if isinstance(message, AssistantMessage):
            parent = message.parent_tool_use_id
            self._parts = [part for part in self._parts if part.partial.parent_tool_use_id != parent]
        elif isinstance(message, TurnEnded):
            self._parts = [part for part in self._parts if part.turn_id != turn_id]

    def take(self) -> list[tuple[str | None, StreamEvent]]:
        """Give them away, each with its turn."""
        parts, self._parts = self._parts, []
        return [(part.turn_id, _joined(part)) for part in parts]


_decode = msgspec.json.Decoder(_Piece).decode


def _read_oddly(partial: StreamEvent) -> _Piece | None:
    try:
        return msgspec.convert(partial.event, _Piece)  # half of a surrogate pair can be read, for instance
    except msgspec.ValidationError:
        return None


def _joined(part: _Part) -> StreamEvent:
    if part.same is None or len(part.pieces) < 2:
        return part.partial
    (kind, index, _, parent), said = part.same, "".join(part.pieces)
    try:
        event = part.partial.event
        event["delta"][kind.name] = said
        return part.partial.with_event(event)
    except (KeyError, RecursionError):  # nested so deeply that it could be decoded a few calls above, and not here
        place = {"index": index} if isinstance(index, int) else {}
        delta = {"type": kind.__struct_config__.tag, kind.name: said}
        event = {"type": "content_block_delta", **place, "delta": delta}
        return StreamEvent.of(event, parent_tool_use_id=parent)
