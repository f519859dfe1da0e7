"""How a server's texts become frames of a WebSocket: RFC 6455, sections 5.2 and 5.4."""

from collections.abc import Sequence
from typing import Final, NamedTuple

FRAGMENT_BYTES: Final = 64 * 1024
"""Of a longer text no more is sent at once: only between two frames can a ping, a pong or a close go its way."""

_TEXT: Final = 0x01
_IS_LAST: Final = 0x80


class Fragment(NamedTuple):
    """A part of a text that is sent in several frames. No other text can be sent before the last of them."""

    data: bytes
    """May end within a character."""
    is_first: bool
    is_last: bool


def framed(texts: Sequence[bytes | Fragment]) -> bytes:
    """The frames of these, unmasked, as they go over the wire."""
    if len(texts) == 1 and isinstance(texts[0], bytes):
        return _head(len(texts[0]), _TEXT | _IS_LAST) + texts[0]
    parts: list[bytes] = []
    for each in texts:
        if isinstance(each, bytes):
            parts += (_head(len(each), _TEXT | _IS_LAST), each)
        else:
            parts += (_head(len(each.data), _TEXT * each.is_first | _IS_LAST * each.is_last), each.data)
    return b"".join(parts)


def _head(size: int, first: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2)
    return bytes((first, 127)) + size.to_bytes(8)
