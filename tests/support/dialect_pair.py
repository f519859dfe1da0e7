"""Both ends of a vendor's protocol in one process: its dialect as hosts speak it, and our agent in its program's place.

All that the program would have is there but the process: its command line, its environment, and JSON in UTF-8, cut
into pieces anywhere. What passes is kept in a `Line`, one for each connection.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any, Literal, TypeAlias, final

import trio
from msgspec import Struct, field
from trio.testing import MemoryReceiveStream, memory_stream_one_way_pair

from tests.support.other_agent import OtherAgent
from triologue.agents import Qoder
from triologue.agents.qoder_auth import payload, payload_file
from triologue.engine import EngineSetup, Transcripts
from triologue.messages import Message, Request
from triologue.options import Options
from triologue.ports import Agent, Carrier, Command, Connection, Exit, Model, Sink
from triologue.standin.dialects import DIALECTS
from triologue.standin.grammar import UsageError
from triologue.standin.identities import check_source
from triologue.standin.launch import Launch, read_launch
from triologue.standin.stdio import serve_streams
from triologue.tools import ToolDefinition
from triologue.wire import Reader, encode

Who: TypeAlias = Literal["host", "agent", "close", "gone", "left"]
"""Who did something: `close` is the host telling the agent to leave, `gone` its end, `left` the end of the block."""

KILLED = Exit(code=-9)


class Line(Struct):
    """One connection: what passed, in the order in which the host saw it."""

    link: Connection
    passed: list[tuple[Who, Message | None]] = field(default_factory=list[tuple[Who, Message | None]])


class Part(Struct, kw_only=True):
    """What the agent's side is made of."""

    model: Model
    tools: Sequence[ToolDefinition] = ()
    transcripts: Transcripts = field(default_factory=Transcripts)
    slowness: float = 0.0
    """Seconds until it hears the first word."""
    grace: float = 5.0
    """Seconds for it to leave at the end of its input."""
    chance: Random
    """Where its output is cut."""
    faults: list[Exception] = field(default_factory=list[Exception])
    """What it raised, as no agent should."""


class RecordedAgent(OtherAgent):
    """Another agent, unchanged, whose frames are kept."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.lines: list[Line] = []
        """One for each connection, oldest first."""

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        passed: list[tuple[Who, Message | None]] = []

        def hear(batch: list[Message]) -> None:
            passed.extend(("agent", message) for message in batch)
            sink(batch)

        try:
            async with self._open(options, hear, carrier) as link:
                self.lines.append(Line(link, passed))
                try:
                    yield _Recorded(link, passed)
                finally:
                    passed.append(("close", None))
        finally:
            passed.append(("left", None))

    @asynccontextmanager
    async def _open(self, options: Options, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        async with self._agent.connect(options, sink=sink, carrier=carrier) as link:
            yield link


class PairedAgent(RecordedAgent):
    """A vendor's dialect, and our agent in the place of its program."""

    def __init__(self, dialect: str, agent: Agent, command: Callable[[Options], Command], part: Part) -> None:
        super().__init__(agent)
        self._dialect = dialect
        self._command = command
        self._part = part

    @property
    def faults(self) -> list[Exception]:
        """What the agent's side raised, as it never should."""
        return self._part.faults

    @asynccontextmanager
    async def _open(self, options: Options, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        # Not in a thread, as the dialects do it: the virtual clock would not wait for one.
        command = self._command(options)
        with self._told(command):
            link = _Link(self._dialect, command, sink, self._part)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                left_by: BaseException | None = None
                try:
                    yield link
                except BaseException as error:  # noqa: BLE001 - raised below, so that the nursery makes no group of it
                    left_by = error
                link.stop(eof=True)
                with trio.CancelScope(shield=True):
                    await link.wait_exit()
            if left_by is not None:
                raise left_by

    @contextmanager
    def _told(self, command: Command) -> Generator[None]:
        """How the program is told to log in."""
        yield


@final
class PairedQoder(PairedAgent):
    """Qoder has more to say to its program than the others."""

    def __init__(self, agent: Qoder, part: Part) -> None:
        super().__init__("qoder", agent, agent.command, part)
        self._qoder = agent

    @property
    def tokens(self) -> Mapping[type[Request], Callable[..., Any]]:
        return self._qoder.tokens

    def preparations(self, options: Options) -> Sequence[Request]:
        return self._qoder.preparations(options)

    @contextmanager
    def _told(self, command: Command) -> Generator[None]:
        with payload_file(payload(self._qoder._auth, command.env)) as path:
            command.env["QODER_SDK_AUTH_PAYLOAD_FILE"] = str(path)
            yield


@final
class _Recorded:
    def __init__(self, link: Connection, passed: list[tuple[Who, Message | None]]) -> None:
        self._link = link
        self._passed = passed

    @property
    def pid(self) -> int | None:
        return self._link.pid

    def send(self, message: Message) -> None:
        self._passed.append(("host", message))
        self._link.send(message)

    async def wait_exit(self) -> Exit:
        exit = await self._link.wait_exit()
        self._passed.append(("gone", None))
        return exit

    def stop(self, *, eof: bool) -> None:
        self._passed.append(("close", None))
        self._link.stop(eof=eof)


@final
class _Link:
    """A program that is a task. What is written to it, and what it writes, is bytes."""

    pid = None

    def __init__(self, dialect: str, command: Command, sink: Sink, part: Part) -> None:
        self._dialect = dialect
        self._command = command
        self._sink = sink
        self._part = part
        self._stdin = MemoryReceiveStream()
        self._stdout, self._from_agent = memory_stream_one_way_pair()
        self._scope = trio.CancelScope(shield=True)
        self._exit = KILLED
        self._gone = trio.Event()
        self._is_ended = False

    def send(self, message: Message) -> None:
        line = encode(message)
        if not (self._gone.is_set() or self._is_ended):
            self._stdin.put_data(line)

    async def wait_exit(self) -> Exit:
        await self._gone.wait()
        return self._exit

    def stop(self, *, eof: bool) -> None:
        if eof:
            self._is_ended = True
            self._stdin.put_eof()
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._part.grace)
        else:
            self.die()

    def die(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                try:
                    with self._scope:
                        await trio.sleep(self._part.slowness)
                        self._exit = await self._serve()
                except Exception as error:
                    self._part.faults.append(error)
                    raise
                finally:
                    self._stdout.close()
        finally:
            self._gone.set()

    async def _serve(self) -> Exit:
        launch, setup = self._assemble()
        if isinstance(setup, Exit):
            return setup
        stdin = _Cut(self._stdin, self._part.chance)
        return await serve_streams(launch, setup, self._command.env, stdin=stdin, stdout=self._stdout)

    def _assemble(self) -> tuple[Launch, EngineSetup | Exit]:
        """As the program does, but for its tools and its histories."""
        env, part = self._command.env, self._part
        launch = read_launch(self._command.argv[1:], env)
        assert launch.dialect == self._dialect, "taken for another program"
        options, kept = launch.options, part.transcripts
        try:
            check_source(launch.dialect, options, kept)
        except UsageError as error:
            return launch, Exit(code=error.code, stderr_tail=error.text)
        profile = DIALECTS[launch.dialect].profile
        return launch, EngineSetup(
            model=part.model, options=options, transcripts=kept, tools=part.tools, profile=profile
        )

    async def _listen(self) -> None:
        reader, stdout = Reader(), _Cut(self._from_agent, self._part.chance)
        with trio.CancelScope(shield=True):
            while piece := await stdout.receive_some():
                self._hand_on(reader.feed(bytes(piece)))
            self._hand_on(reader.close())

    def _hand_on(self, batch: list[Message]) -> None:
        if batch:
            self._sink(batch)


@final
class _Cut(trio.abc.ReceiveStream):
    """A stream that comes in pieces of any size."""

    def __init__(self, stream: MemoryReceiveStream, chance: Random) -> None:
        self._stream = stream
        self._chance = chance

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(self._chance.choice((17, 700, 65536, 65536)))

    async def aclose(self) -> None:
        await self._stream.aclose()
