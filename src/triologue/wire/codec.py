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
from triologue.messages.loose import encodable
from triologue.messages.message import plain
from triologue.wire.framing import Framer, LongLine
from triologue.wire.lenient import decode_odd

Frame: TypeAlias = AssistantMessage | UserMessage | SystemMessage | ResultMessage | StreamEvent | ControlFrame | Notice

_decode = msgspec.json.Decoder(Frame).decode
_decode_system = {subtype: msgspec.json.Decoder(kind).decode for subtype, kind in SYSTEM_TYPES.items()}
_UNREFINED = frozenset({SystemMessage, ControlRequest})
_encode = msgspec.json.Encoder().encode

DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@final
class Reader:
    """One direction of a stream: feed it what was read, in any chunks, and get the messages.

    Args:
        max_message_bytes: a longer line becomes an `OversizeMessage`.
    """

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self._framer = Framer(max_message_bytes)

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that this chunk completed; the same ones however the bytes were cut. Never raises."""
        return decode_lines(self._framer.feed(chunk))

    def close(self) -> list[Message]:
        """The stream has ended: a last line without a newline counts too."""
        return decode_lines(self._framer.close())


def decode_lines(lines: list[bytes | LongLine]) -> list[Message]:
    """Decode one batch. The loop is the hottest of the library, hence its plainness."""
    messages: list[Message] = []
    for line in lines:
        try:
            message: Message = _decode(line)  # type: ignore[arg-type]  # a LongLine is a TypeError, and rare
            if type(message) in _UNREFINED:
                message = _refined(message, line)  # type: ignore[arg-type]
            message.line = line  # type: ignore[assignment]
            messages.append(message)
        except Exception:  # noqa: BLE001  # msgspec raises several kinds, also RecursionError; the slow road sorts them out
            if isinstance(line, LongLine):
                messages.append(OversizeMessage(size=line.size, head=line.head))
            elif (odd := decode_odd(line)) is not None:
                messages.append(odd)
    return messages


def decode_line(line: bytes) -> Message | None:
    """Decode one line, with or without its newline; None when it is blank."""
    messages = decode_lines([line.removesuffix(b"\n")])
    return messages[0] if messages else None


def _refined(message: Message, line: bytes) -> Message:
    """Give a system frame the class of its subtype, and a permission request what it says under another name."""
    match message:
        case SystemMessage(subtype=subtype) if subtype in _decode_system:
            return _decode_system[subtype](line)
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
