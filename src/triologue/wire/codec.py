"""Bytes to messages and back. Bytes go straight to structs; nothing is lost and nothing raises."""

from typing import TypeAlias, final

import msgspec

from triologue.messages import (
    SYSTEM_TYPES,
    AssistantMessage,
    CanUseTool,
    ControlFrame,
    ControlRequest,
    Message,
    Notice,
    OversizeMessage,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    UserMessage,
)
from triologue.messages.loose import as_text, encodable
from triologue.messages.message import plain
from triologue.wire.framing import Framer, LongLine
from triologue.wire.lenient import decode_odd

Frame: TypeAlias = AssistantMessage | UserMessage | SystemMessage | ResultMessage | StreamEvent | ControlFrame | Notice

_decode = msgspec.json.Decoder(Frame).decode
_decode_system = {subtype: msgspec.json.Decoder(kind).decode for subtype, kind in SYSTEM_TYPES.items()}
_UNREFINED = frozenset({SystemMessage, ControlRequest})
_encode = msgspec.json.Encoder(enc_hook=as_text).encode

DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@final
class Reader:
    """One direction of a stream: feed it what was read, in any chunks, and get the messages.

    Args:
        max_message_bytes: a longer line becomes an `OversizeMessage`.
    """

    __slots__ = ("_framer",)

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self._framer = Framer(max_message_bytes)

    def feed(self, *chunks: bytes) -> list[Message]:
        """The messages that these chunks completed; the same ones however the bytes were cut. Never raises."""
        frame = self._framer.feed
        lines = frame(chunks[0])
        for chunk in chunks[1:]:
            lines += frame(chunk)
        return decode_lines(lines)

    def close(self) -> list[Message]:
        """The stream has ended: a last line without a newline counts too."""
        return decode_lines(self._framer.close())


def decode_lines(lines: list[bytes | LongLine]) -> list[Message]:
    """Decode one batch. The hottest code of the library: where no line of it is odd, it loops as little as it can."""
    try:
        messages: list[Message] = list(map(_decode, lines))  # type: ignore[arg-type]  # see the except
    except Exception:  # noqa: BLE001  # a LongLine, a blank line, or one of the several kinds that msgspec raises
        return [message for line in lines if (message := _decode_any(line)) is not None]
    unrefined: list[int] = []
    for place, message in enumerate(messages):
        message.line = lines[place]  # type: ignore[assignment]
        if type(message) in _UNREFINED:
            unrefined.append(place)
    for place in unrefined:
        messages[place] = _refined(messages[place])
    return messages


def _decode_any(line: bytes | LongLine) -> Message | None:
    """Decode a line of a batch that has an odd one; None when it is blank."""
    if isinstance(line, LongLine):
        return OversizeMessage(size=line.size, head=line.head)
    try:
        message: Message = _decode(line)
    except Exception:  # noqa: BLE001  # also a RecursionError; the slow road sorts them out
        return decode_odd(line)
    message.line = line
    return _refined(message) if type(message) in _UNREFINED else message


def decode_line(line: bytes) -> Message | None:
    """Decode one line, with or without its newline; None when it is blank."""
    messages = decode_lines([line.removesuffix(b"\n")])
    return messages[0] if messages else None


def _refined(message: Message) -> Message:
    """Give a system frame the class of its subtype, and a permission request what it says under another name."""
    line = message.line
    match message:
        case SystemMessage(subtype=subtype) if subtype in _decode_system:
            try:
                refined: Message = _decode_system[subtype](line)
            except Exception:  # noqa: BLE001  # a field of a wrong type, say
                return decode_odd(line) or message
            refined.line = line
            return refined
        case ControlRequest(request=CanUseTool(permission_suggestions=None)):
            return decode_odd(line) or message
        case _:
            return message


def encode(message: Message) -> bytes:
    """One JSON line with its newline. A message that was received comes out again as it went in.

    Raises:
        TypeError: it holds something that JSON cannot say.
    """
    if message.line:
        return message.line + b"\n"
    try:
        line = _encode(message)
    except UnicodeEncodeError:  # a lone surrogate, for instance of a file name
        return _encode(encodable(plain(message))) + b"\n"
    if b'"#unknown"' in line or b'"#extra"' in line:
        line = _encode(plain(message))
    return line + b"\n"
