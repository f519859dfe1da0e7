"""What arrived but is no known frame. Each leaves the stream usable: the next line is read as usual."""

from msgspec import field

from triologue.messages.message import Message


class UnknownMessage(Message, tag="#unknown", kw_only=True):
    """A JSON object of a type that triologue does not know; all of it is in `data`."""

    kind: str = ""
    """Its `type`; `""` when it has none."""


class MalformedMessage(Message, tag="#malformed", kw_only=True):
    """A line that began like a frame but is no JSON object; the line itself is in `line`."""

    error: str


class OversizeMessage(Message, tag="#oversize", kw_only=True):
    """A line longer than `max_message_bytes`. It was read to its end and dropped, but for `head`."""

    size: int
    """Bytes, without the newline."""
    head: bytes = field(default=b"")
    """The first bytes, at most 1,024."""


class StrayText(Message, tag="#stray", kw_only=True):
    """Text on the agent's stdout that is no frame at all: a log line, a warning."""

    text: str
