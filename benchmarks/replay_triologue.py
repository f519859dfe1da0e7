"""triologue without a process: the agent and all above it are real; a replay of bytes replaces the carrier's pipe."""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, final

import trio
import trio.testing
from script import Script, chunks

from triologue import ClaudeCode, Options
from triologue.agents.pipes import CHUNK, READS
from triologue.errors import TriologueError
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlRequest,
    Message,
    PermissionResult,
    ResultMessage,
    UserMessage,
)
from triologue.ports import Carrier, Connection, Exit, Sink
from triologue.wire import Reader

THINKING = 0.002  # s


@final
class _Replay:
    """A connection whose agent answers from a script."""

    pid = None

    def __init__(self, script: Script, sink: Sink) -> None:
        self._script = script
        self._sink = sink
        self._answers: deque[list[memoryview]] = deque()
        self._more = trio.Event()
        self._stopped = False
        self._gone = trio.Event()

    def send(self, message: Message) -> None:
        """Hear a frame, and put the answer into the pipe."""
        if isinstance(message, ControlRequest):
            self._answers.append(self._script.answer(message.request_id))
        elif isinstance(message, UserMessage):
            self._answers.append(self._script.next_turn(message.uuid))
        self._more.set()

    def stop(self, *, eof: bool) -> None:
        """Say no more."""
        self._stopped = True
        self._more.set()

    async def wait_exit(self) -> Exit:
        """Wait for the end."""
        await self._gone.wait()
        return Exit(code=0)

    async def pump(self) -> None:
        """Give one answer after the other, the agent having thought about each for a moment, as every process does."""
        reader = Reader()
        while not self._stopped:
            if not self._answers:
                self._more = trio.Event()
                await self._more.wait()
                continue
            await trio.testing.wait_all_tasks_blocked(THINKING)
            self._script.first_read = time.perf_counter()
            for part in self._answers.popleft():
                read = chunks(part, CHUNK)
                for begin in range(0, len(read), READS):
                    # One round of reads of a pipe: copied out, and then a turn for the other tasks.
                    self._sink(reader.feed(*map(bytes, read[begin : begin + READS])))
                    await trio.lowlevel.checkpoint()
        self._gone.set()


@final
class ReplayAgent:
    """Claude Code in all but its process."""

    name = "claude-code"

    def __init__(self, script: Script) -> None:
        self._script = script
        self._real = ClaudeCode()
        self.requests = self._real.requests

    def check(self, options: Options) -> None:
        """As the real one."""
        self._real.check(options)

    def initialize(self, options: Options) -> AnyRequest:
        """As the real one."""
        return self._real.initialize(options)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """As the real one."""
        return self._real.user_frame(prompt, options)

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """As the real one."""
        return self._real.permission_reply(request, result)

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """As the real one."""
        return self._real.diagnose(exit, refusal, options)

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        """Open the replay in place of a process."""
        return self._open(sink)

    @asynccontextmanager
    async def _open(self, sink: Sink) -> AsyncIterator[Connection]:
        replay = _Replay(self._script, sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replay.pump)
            try:
                yield replay
            finally:
                replay.stop(eof=True)
