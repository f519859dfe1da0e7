"""From messages to bytes on stdout: one writer, a bound, and an encoding that the vendors' SDKs can read."""

import re
from collections.abc import Callable, Iterable
from typing import final

import msgspec
import trio

from triologue.messages import Message
from triologue.wire import encode

HIGH_WATER = 1024 * 1024
"""Bytes that may wait for the host; with more of them the engine waits."""

SDK_LINE = 1024 * 1024
"""The longest line that the vendors' SDKs take by default, in characters."""

_BEYOND_ASCII = re.compile("[^\x00-\x7e]")
# What `strip()` takes for whitespace, but the space; JSON has the controls escaped anyway.
_OTHER_SPACES = re.compile(r"[^\S ]")
# What ends a line for programs that split text and not bytes, as Claude Code escapes it.
_LINE_ENDS = re.compile("[\u0085\u2028\u2029]")


def encode_raw(message: Message) -> bytes:
    """A line in UTF-8, for hosts that cut a stream at its newlines and decode what is between them."""
    line = encode(message)
    if line.isascii():
        return line
    return _LINE_ENDS.sub(_escaped, line.decode("utf-8", "replace")).encode()


def encode_unspaced(message: Message) -> bytes:
    r"""A line without a space, for hosts that read a stream by pieces and strip them, as Qoder's SDK does.

    It strips each piece of up to 64 KiB before it puts the line together again, so spaces at a seam are lost without
    an error. Where the seams are depends on how the pieces come together in the host, and short lines have them too.
    So every space is written as `\u0020`. Only a line that would become longer by it than these SDKs take keeps its
    spaces: without some of them it is read, over the limit never.
    """
    return _unspaced(message, _OTHER_SPACES)


def encode_ascii(message: Message) -> bytes:
    """The same in ASCII, for Cortex Code's SDK, which decodes each piece by itself: a seam in a character ends it."""
    return _unspaced(message, _BEYOND_ASCII)


def _unspaced(message: Message, others: re.Pattern[str]) -> bytes:
    # Parts of a frame that were received and are passed on may have spaces between the tokens too.
    text = msgspec.json.format(encode(message), indent=-1).decode("utf-8", "replace").rstrip("\n")
    if not text.isascii() or "\x7f" in text:
        text = others.sub(_escaped, text)
    spaces = text.count(" ")
    if spaces and (len(text) + 5 * spaces < SDK_LINE or len(text) >= SDK_LINE):
        text = text.replace(" ", "\\u0020")
    return f"{text}\n".encode()


def _escaped(found: re.Match[str]) -> str:
    point = ord(found[0])
    if point < 0x10000:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 + (point >> 10):04x}\\u{0xDC00 + (point & 0x3FF):04x}"


@final
class Writer:
    """The one who writes to the host. `put` never waits; `settle` is where the engine waits for a slow host.

    Args:
        stream: the way to the host; it is the writer's alone.
        encode_line: a message as a whole line.
    """

    def __init__(self, stream: trio.abc.SendStream, encode_line: Callable[[Message], bytes]) -> None:
        self._stream = stream
        self._encode = encode_line
        self._lines: list[bytes] = []
        self._waiting = 0
        self._news = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self.is_broken = False
        """The host does not read any more; what is put is dropped."""

    def __repr__(self) -> str:
        return f"<Writer: {self._waiting} bytes wait{', broken' if self.is_broken else ''}>"

    def put(self, messages: Iterable[Message]) -> None:
        """Write these next."""
        if self.is_broken:
            return
        for message in messages:
            line = self._encode(message)
            self._lines.append(line)
            self._waiting += len(line)
        self._news.unpark_all()

    async def settle(self) -> None:
        """Wait while the host is behind by more than `HIGH_WATER`."""
        await trio.lowlevel.checkpoint()
        while self._waiting > HIGH_WATER and not self.is_broken:
            await self._room.park()

    async def finish(self) -> None:
        """Wait until the host has taken everything, or is gone."""
        while self._waiting and not self.is_broken:
            await self._room.park()

    async def run(self) -> None:
        """Write what is put, until the host stops reading."""
        try:
            while True:
                while not self._lines:
                    await self._news.park()
                lines, self._lines = self._lines, []
                data = b"".join(lines)
                await self._stream.send_all(data)
                self._waiting -= len(data)
                self._room.unpark_all()
        except (trio.BrokenResourceError, OSError):
            self.is_broken = True
            self._lines = []
            self._room.unpark_all()
