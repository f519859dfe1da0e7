"""The checksum of a row: over all of it that is read, so that nothing else is ever taken for what was written."""

from typing import Any, Final
from zlib import crc32

import msgspec

from triologue.messages.loose import as_text

# It tells what kind a value is and where it ends, whatever is in a text, and takes a fifth of a microsecond.
_encode: Final = msgspec.msgpack.Encoder(enc_hook=as_text).encode


def checksum(content: bytes, *values: str | float | None) -> int:
    """The checksum of a row.

    Args:
        content: its bytes, of any length.
        values: what else is in it, as SQLite gives it back: a time is a float, and never -0.0.
    """
    return crc32(content, crc32(_encode(values)))


def is_whole(crc: Any, content: Any, *values: Any) -> bool:
    """Has a row, whatever was found in it, the checksum that it was written with?"""
    return isinstance(content, bytes) and checksum(content, *values) == crc
