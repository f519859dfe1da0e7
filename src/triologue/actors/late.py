"""The partials that a slow reader missed, added up."""

from typing import Any, final

from msgspec import Struct

from triologue.messages import AssistantMessage, Message, StreamEvent, TurnEnded


class _Part(Struct, frozen=True):
    """A partial, and the pieces of those after it that go on with it."""

    turn_id: str | None
    partial: StreamEvent
    event: dict[str, Any]
    pieces: list[str]


@final
class Late:
    """The partials that a slow reader missed, added up: at most one for each block that is still open."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add(self, turn_id: str | None, message: Message) -> None:
        """Remember a partial; a complete message repeats what its partials said, so they go."""
        if isinstance(message, AssistantMessage):
            parent = message.parent_tool_use_id
            self._parts = [part for part in self._parts if part.partial.parent_tool_use_id != parent]
        elif isinstance(message, TurnEnded):
            self._parts = [part for part in self._parts if part.turn_id != turn_id]
        elif isinstance(message, StreamEvent):
            event = message.event
            piece = _piece(event)
            if piece is not None and self._parts and _goes_on(self._parts[-1], turn_id, message, event):
                self._parts[-1].pieces.append(piece)
            else:
                self._parts.append(_Part(turn_id, message, event, [] if piece is None else [piece]))

    def take(self) -> list[tuple[str | None, StreamEvent]]:
        """Give them away, each with its turn."""
        parts, self._parts = self._parts, []
        return [(part.turn_id, _joined(part)) for part in parts]


# Which field of a delta carries its piece of text.
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def _piece(event: dict[str, Any]) -> str | None:
    delta = event.get("delta")
    if event.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return None
    piece = delta.get(_PIECES.get(str(delta.get("type")), ""))
    return piece if isinstance(piece, str) else None


def _goes_on(last: _Part, turn_id: str | None, partial: StreamEvent, event: dict[str, Any]) -> bool:
    return (
        bool(last.pieces)
        and last.turn_id == turn_id
        and last.partial.parent_tool_use_id == partial.parent_tool_use_id
        and last.event.get("index") == event.get("index")
        and last.event["delta"]["type"] == event["delta"]["type"]
    )


def _joined(part: _Part) -> StreamEvent:
    if len(part.pieces) < 2:
        return part.partial
    delta = {**part.event["delta"], _PIECES[part.event["delta"]["type"]]: "".join(part.pieces)}
    last = part.partial
    return StreamEvent.of(
        {**part.event, "delta": delta},
        parent_tool_use_id=last.parent_tool_use_id,
        session_id=last.session_id,
        uuid=last.uuid,
    )
