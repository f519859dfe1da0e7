"""Events as they go over the wire: bytes that are joined around what an agent said, which nobody encodes again."""

import msgspec
from msgspec import Raw

from triologue.messages import Event, Gap, Message, ResultMessage, UnknownMessage
from triologue.messages.loose import as_text
from triologue.ports import Record
from triologue.protocol.told import EventTold
from triologue.wire import decode_record, encode_record, kind_of

_encode = msgspec.json.Encoder(enc_hook=as_text).encode
_check = msgspec.json.Decoder(Raw).decode

HEAD, TAIL = b'{"type":"events","events":[', b"]}"
"""Of a frame; between them stand events, with commas."""

_MESSAGE = b'"message":'
_GAP = str(Gap.__struct_config__.tag)


class Labels:
    """The parts of a session's events that are the same for many: its key, and the id of the turn that runs.

    Args:
        key: of the session.
    """

    __slots__ = ("_about", "_head", "_kind", "_turn_id", "size")

    def __init__(self, key: str) -> None:
        self._head = b'{"key":' + _encode(key) + b',"seq":'
        self._turn_id: str | None = None
        self._kind: type[Message] | str = ""
        """What the last event was, by its class where that tells it."""
        self._about = b""
        self.size = len(self._head)
        """Bytes that are the same in each event."""

    def event(self, seq: int | None, turn_id: str | None, message: Message) -> bytes:
        """An event as an `EventTold`."""
        line, kind = message.line, type(message)
        if line and kind is self._kind and turn_id == self._turn_id:
            return self._joined(seq, line)
        self._label(turn_id, _GAP if kind is Gap else _not_ours(kind_of(message)))
        if isinstance(message, ResultMessage):  # each has its own cost
            cost = b'"cost_usd":%b,' % _encode(message.cost_usd) if message.cost_usd is not None else b""
            self._about = self._about.removesuffix(_MESSAGE) + cost + _MESSAGE
        elif line and kind is not UnknownMessage:
            self._kind = kind
        return self._joined(seq, line or encode_record(message))

    def record(self, record: Record) -> bytes:
        """The same for what a store has."""
        self._label(record.turn_id, _not_ours(record.kind))
        return self._joined(record.seq, record.line)

    def _label(self, turn_id: str | None, kind: str) -> None:
        self._turn_id, self._kind = turn_id, kind
        self._about = b',"turn":%b,"kind":%b,%b' % (_encode(turn_id), _encode(kind), _MESSAGE)

    def _joined(self, seq: int | None, line: bytes) -> bytes:
        return b"%b%b%b%b}" % (self._head, b"null" if seq is None else b"%d" % seq, self._about, as_json(line))


def _not_ours(kind: str) -> str:
    """A `Gap` is never recorded, so what has its kind is an agent's."""
    return "unknown" if kind == _GAP else kind


def as_json(line: bytes) -> bytes:
    """The line itself; where it is no JSON object that every client can read, a JSON string that holds it."""
    try:
        _check(line)
        if not line.isascii():
            line.decode()
    except (ValueError, RecursionError):  # a DecodeError is one, and so is a UnicodeDecodeError
        return _encode(line.decode("utf-8", "replace"))
    return line if line.startswith(b"{") or line.lstrip().startswith(b"{") else _encode(line.decode())


def frame(events: list[bytes]) -> bytes:
    """An `Events` of these."""
    return b"%b%b%b" % (HEAD, b",".join(events), TAIL)


def event_of(told: EventTold) -> Event:
    """The event that was told."""
    line = bytes(told.message)
    if line.startswith(b'"'):
        line = msgspec.json.decode(line, type=str).encode()
    message = _message(told.kind, line)
    if isinstance(message, ResultMessage):
        message.cost_usd = told.cost_usd
    return Event(told.seq, told.turn, message)


def _message(kind: str, line: bytes) -> Message:
    if kind != _GAP:
        return decode_record(kind, line)
    try:
        return msgspec.json.decode(line, type=Gap)
    except msgspec.DecodeError:
        return UnknownMessage(line=line)
