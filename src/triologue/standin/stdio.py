"""The engine on this process's stdin and stdout, with its signals."""

import math
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import final

import msgspec
import trio

from triologue.engine import EngineSetup, serve
from triologue.engine.conversation import Conversation
from triologue.engine.histories import DiskTranscripts
from triologue.messages import (
    MalformedMessage,
    Message,
    OversizeMessage,
    StrayText,
)
from triologue.messages.loose import read_json
from triologue.ports import Exit
from triologue.standin.dialects import DIALECTS
from triologue.standin.frames import Presenter
from triologue.standin.launch import Launch
from triologue.standin.login import NO_ACCOUNT, TokenGate, read_login, refusal
from triologue.standin.mirror import MirroredTranscripts
from triologue.standin.output import Writer
from triologue.wire import Reader

CHUNK = 64 * 1024
FLUSH = 60.0
"""Seconds that a host has to take what is left when the agent is done; a host that is closing has given up earlier."""

INTERRUPTED = 130
TERMINATED = 143


async def serve_stdio(launch: Launch, setup: EngineSetup, environment: Mapping[str, str]) -> Exit:
    """Be the agent until the input ends, a signal comes, or the host breaks the protocol."""
    stdin, stdout = (trio.lowlevel.FdStream(os.dup(number)) for number in (0, 1))
    async with stdin, stdout:
        return await serve_streams(launch, setup, environment, stdin=stdin, stdout=stdout, has_signals=True)


async def serve_streams(
    launch: Launch,
    setup: EngineSetup,
    environment: Mapping[str, str],
    *,
    stdin: trio.abc.ReceiveStream,
    stdout: trio.abc.SendStream,
    has_signals: bool = False,
) -> Exit:
    """The same between any two streams, which stay open; `has_signals` says whether this process's signals are its."""
    writer = Writer(stdout, DIALECTS[launch.dialect].encode)
    presenter = Presenter(launch.dialect, environment, replays_prompts=launch.replays_prompts)
    login = read_login(launch.dialect, environment)
    if login.refusal is not None:
        said = b"".join(map(DIALECTS[launch.dialect].encode, presenter.present([login.refusal])))
        with suppress(trio.BrokenResourceError):
            await stdout.send_all(said)
        return Exit(code=NO_ACCOUNT)
    if launch.mirrors_history and isinstance(setup.transcripts, DiskTranscripts):
        mirrored = MirroredTranscripts(setup.transcripts, lambda frame: writer.put([frame]))
        setup = msgspec.structs.replace(setup, transcripts=mirrored)
    program = _Program(setup, presenter, writer, TokenGate(login.asks))
    return await program.run(stdin, has_signals=has_signals)


@final
class _Program:
    """The tasks of one process."""

    def __init__(self, setup: EngineSetup, presenter: Presenter, writer: Writer, gate: TokenGate) -> None:
        self._setup = setup
        self._gate = gate
        self._presenter = presenter
        self._writer = writer
        self._work = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._everything = trio.CancelScope()
        self._exit: Exit | None = None
        self._conversation: Conversation | None = None
        # The engine takes in whatever is there at its next step; a host that says more than it can handle fills the
        # pipe, because the reader gives way to the engine between two pieces.
        self._outbox, self._inbox = trio.open_memory_channel[list[Message]](math.inf)

    async def run(self, stdin: trio.abc.ReceiveStream, *, has_signals: bool) -> Exit:
        async with trio.open_nursery() as watching:
            if has_signals:
                await watching.start(self._watch_signals)
            await self._run(stdin)
            # Last, so that another signal does not cut short what is done about the first: tools are being stopped.
            watching.cancel_scope.cancel()
        return self._exit or Exit(code=1)

    async def _run(self, stdin: trio.abc.ReceiveStream) -> None:
        with self._everything:
            async with trio.open_nursery() as nursery:
                if self._gate.request is not None:
                    self._writer.put([self._gate.request])
                nursery.start_soon(self._write)
                nursery.start_soon(self._read, stdin)
                with self._work, self._inbox:
                    ended = await serve(
                        self._inbox, self._say, setup=self._setup, settle=self._writer.settle, on_open=self._opened
                    )
                    self._exit = self._exit or ended
                with trio.move_on_after(FLUSH):
                    await self._writer.finish()
                nursery.cancel_scope.cancel()

    def _opened(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def _say(self, messages: list[Message]) -> None:
        self._writer.put(self._presenter.present(messages))

    async def _write(self) -> None:
        await self._writer.run()
        # Nobody listens any more. There is no one to tell either.
        self._stop(Exit(code=1))

    def _stop(self, exit: Exit) -> None:
        """End the engine at once. The first reason counts."""
        self._exit = self._exit or exit
        self._work.cancel()

    async def _read(self, stdin: trio.abc.ReceiveStream) -> None:
        reader = Reader()
        with self._reading, self._outbox:
            while chunk := await _receive(stdin):
                if not self._take(reader.feed(chunk)):
                    return
            self._take(reader.close())

    def _take(self, messages: list[Message]) -> bool:
        """Hand on what was read; False when there is no going on after it."""
        for count, message in enumerate(messages):
            problem = find_problem(message)
            if problem is not None:
                self._hand_on(messages[:count])
                self._stop(Exit(code=1, stderr_tail=f"{problem}\n"))
                return False
        self._hand_on(messages)
        return True

    def _hand_on(self, messages: list[Message]) -> None:
        if self._exit is not None:
            return  # it is ending
        messages = self._gate.pass_on(messages)
        if self._gate.problem is not None:
            self._say([refusal(self._gate.problem)])
            self._stop(Exit(code=1))
        if not messages:
            return
        self._writer.put(self._presenter.hear(messages))
        try:
            self._outbox.send_nowait(messages)
        except trio.BrokenResourceError:
            pass  # the engine has ended, and what it ended with is on its way

    async def _watch_signals(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        is_interrupted = False
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                if self._everything.cancel_called:
                    continue  # it is ending
                if number == signal.SIGTERM:
                    self._exit = Exit(code=TERMINATED)
                    self._everything.cancel()
                elif is_interrupted:
                    self._exit = Exit(code=INTERRUPTED)
                    self._everything.cancel()
                else:
                    is_interrupted = True
                    self._interrupt()

    def _interrupt(self) -> None:
        """Ctrl-C: the running turn ends with its result, and so does the program."""
        self._exit = Exit(code=0)
        self._reading.cancel()
        try:
            while True:
                self._inbox.receive_nowait()  # what the engine has not heard yet is not begun any more
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            pass
        if self._conversation is not None:
            self._conversation.withdraw()
            self._conversation.interrupt()


async def _receive(stdin: trio.abc.ReceiveStream) -> bytes:
    """The next piece; nothing at the end, and of what cannot be read, such as a terminal that hung up."""
    try:
        return bytes(await stdin.receive_some(CHUNK))
    except trio.BrokenResourceError:
        return b""


def find_problem(message: Message) -> str | None:
    """Why there is no going on after such a line, as Claude Code has it; None for what is passed over."""
    match message:
        case MalformedMessage(error=error):
            size = len(message.line)
            return f"Error parsing streaming input line ({size} chars): {error}"
        case OversizeMessage(size=size):
            return f"Error parsing streaming input line ({size} chars): it is too long"
        case StrayText(text=text) if not _is_harmless(message.line):
            return f"Error parsing streaming input line ({len(text)} chars): it is no JSON object"
        case _:
            return None


def _is_harmless(line: bytes) -> bool:
    """Whether it is JSON at least; `null` is not passed over."""
    try:
        return read_json(line) is not None
    except (ValueError, RecursionError):
        return False
