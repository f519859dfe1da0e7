"""A client that says to a gateway whatever it likes, byte by byte."""

import json
import os
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, final

import trio

from triologue.protocol.carrier import SUBPROTOCOL

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9
PATIENCE: Final = 20.0
"""Seconds for an answer."""
LOST: Final = 1006
"""No close frame came."""


def upgrade(host: str, *headers: str, path: str = "/v1") -> bytes:
    """The request for a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes, *, is_last: bool = True, is_masked: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client; with a mask of zeros, so that it can be read."""
    first, mask = opcode | reserved << 4 | is_last << 7, is_masked << 7
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + bytes(4 * is_masked) + payload


def text(told: object) -> bytes:
    """A frame of the protocol."""
    return frame(TEXT, (told if isinstance(told, str) else json.dumps(told)).encode())


@final
class Raw:
    """A socket to a gateway."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self.stream = stream
        self.host = f"127.0.0.1:{port}"
        self.told: list[dict[str, Any]] = []
        """All that came, in JSON."""
        self._read = b""
        self._text = b""
        """What came of a text so far."""

    async def send(self, *parts: bytes) -> None:
        """Say this; that nobody listens any more is no error, and shows in what is answered."""
        try:
            with trio.fail_after(PATIENCE):
                await self.stream.send_all(b"".join(parts))
        except trio.BrokenResourceError:
            pass

    async def answer(self) -> bytes:
        """All that comes until the other side ends."""
        with trio.fail_after(PATIENCE):
            while await self._more():
                pass
        return self._read

    async def status(self) -> int:
        """Of the answer in HTTP; 0: there was none."""
        with trio.fail_after(PATIENCE):
            while b"\r\n\r\n" not in self._read and await self._more():
                pass
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0

    async def open(self, token: str | None = None) -> None:
        """A WebSocket, and `hello`."""
        await self.send(upgrade(self.host))
        assert await self.status() == 101
        await self.send(text({"type": "hello", "token": token, "client": "raw"}))

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request."""
        await self.send(text(request))
        return await self.until(lambda told: told.get("re") == request["id"])

    async def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first frame of all that is so."""
        seen = 0
        while True:
            for told in self.told[seen:]:
                if is_so(told):
                    return told
            seen = len(self.told)
            code = await self._next()
            assert code is None, f"closed with {code} instead"

    async def closed(self) -> int:
        """Reads to the end; the code of the close frame."""
        while (code := await self._next()) is None:
            pass
        return code

    async def _next(self) -> int | None:
        """Read one frame; gives the code if it closes."""
        with trio.fail_after(PATIENCE):
            head = await self._exactly(2)
            size = head[1] if head else 0
            if size >= 126:
                size = int.from_bytes(await self._exactly(2 if size == 126 else 8))
            payload = await self._exactly(size)
        match head[0] & 0xF if head else LOST:
            case 0x0 | 0x1:
                self._text += payload
                if head[0] & 0x80:
                    self.told.append(json.loads(self._text))
                    self._text = b""
                return None
            case 0x8:
                return int.from_bytes(payload[:2]) or 1005
            case 0x9 | 0xA:
                return None
            case _:
                return LOST

    async def _exactly(self, size: int) -> bytes:
        """So many bytes, or none at the end."""
        while len(self._read) < size:
            if not await self._more():
                return b""
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some()
        except trio.BrokenResourceError:  # a reset
            return False
        self._read += data
        return bool(data)


@asynccontextmanager
async def open_raw(port: int) -> AsyncGenerator[Raw]:
    """Connect to a gateway here, and say nothing yet."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield Raw(stream, port)


def noise(size: int) -> bytes:
    """Bytes by chance."""
    return os.urandom(size)
