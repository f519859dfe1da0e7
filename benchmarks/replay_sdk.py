"""claude-agent-sdk without a process: its own transport, query and client, over a stdout that replays bytes."""

import json
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, final

import anyio
from anyio.abc import ByteReceiveStream
from anyio.lowlevel import checkpoint
from anyio.streams.text import TextReceiveStream
from claude_agent_sdk import ClaudeAgentOptions
from claude_agent_sdk._internal.transport.subprocess_cli import SubprocessCLITransport
from script import Script, chunks

CHUNK = 64 * 1024  # what a pipe holds, and what anyio takes in one read


@final
class _Stdout(ByteReceiveStream):
    """A pipe in which the next chunk is always there, once somebody asked for it by writing to stdin."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._chunks: deque[memoryview] = deque()
        self._more = anyio.Event()

    def play(self, parts: list[memoryview]) -> None:
        """Put these bytes into the pipe."""
        for part in parts:
            self._chunks.extend(chunks(part, CHUNK))
        self._more.set()

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        """One read of a pipe: 64 KiB at most, copied out, and a turn for the other tasks."""
        if self._chunks:
            await checkpoint()
        while not self._chunks:
            self._more = anyio.Event()
            await self._more.wait()
            self._script.first_read = time.perf_counter()
        return bytes(self._chunks.popleft())

    async def aclose(self) -> None:
        """Nothing is held open."""


@final
class _Process:
    """Enough of a process for the transport to believe in."""

    returncode = 0

    async def wait(self) -> int:
        return 0


async def _nothing() -> AsyncIterator[dict[str, Any]]:
    return
    yield {}


@final
class ReplayTransport(SubprocessCLITransport):
    """The transport of a CLI whose process is replaced: framing, decoding and the whole way up are the vendor's."""

    def __init__(self, script: Script) -> None:
        super().__init__(prompt=_nothing(), options=ClaudeAgentOptions(cli_path="replay"))
        self._script = script
        self._pipe = _Stdout(script)

    async def connect(self) -> None:
        """Start nothing; from here on all is as after a start."""
        self._process: Any = _Process()
        self._stdout_stream: Any = TextReceiveStream(self._pipe)
        self._ready = True

    async def write(self, data: str) -> None:
        """Hear a frame, and put the answer into the pipe."""
        frame = json.loads(data)
        if frame["type"] == "control_request":
            self._pipe.play(self._script.answer(frame["request_id"]))
        elif frame["type"] == "user":
            self._pipe.play(self._script.next_turn(frame.get("uuid")))

    async def end_input(self) -> None:
        """There is no input to end."""
