"""A gateway in memory that says what the protocol says, and whose connections break when they are told to."""

import math
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import final

import msgspec
import trio
from msgspec.structs import replace

from tests.support.frames import assistant, partial, result
from triologue.messages import (
    Event,
    Gap,
    Message,
    Outcome,
    ResultMessage,
    StreamEvent,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    user_message,
)
from triologue.protocol import asked, told
from triologue.protocol.carrier import Closed
from triologue.protocol.events import Labels, frame
from triologue.remote.link import Link
from triologue.remote.machine import Machine
from triologue.remote.opening import keep_open
from triologue.remote.sessions import RemoteManager
from triologue.wire import encode_record

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(asked.Request).decode


def event_of(key: str, event: Event) -> bytes:
    """An event as it goes over the wire."""
    return Labels(key).event(event.seq, event.turn_id, event.message)


def said(prompt: str, words: int = 3) -> list[Message]:
    """What the model says to a prompt: words as they come, all of them, and the result."""
    return [
        *[partial(f"{prompt}{number} ") for number in range(words)],
        *[assistant(f"{prompt}{number}") for number in range(words)],
        result(result=f"re: {prompt}"),
    ]


@final
class ModelSession:
    """A log, and a queue of turns that are answered one after the other."""

    def __init__(self, key: str, keep: int) -> None:
        self.key = key
        self._keep = keep
        self.log: list[Event] = []
        self.begins: dict[str, int] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.waiting: deque[tuple[str, str]] = deque()
        self.running: str | None = None

    @property
    def last(self) -> int:
        return len(self.log)

    def record(self, turn_id: str | None, message: Message) -> None:
        self.log.append(Event(self.last + 1, turn_id, message))

    def after(self, seq: int, limit: int) -> list[Event]:
        """The next events; a gap, where they are not kept any more."""
        first_kept = max(0, self.last - self._keep)
        if seq < first_kept:
            return [Event(None, None, Gap(first=seq + 1, last=first_kept))]
        return self.log[seq : seq + limit]

    def accept(self, turn_id: str, prompt: str, meta: dict[str, str]) -> None:
        self.begins[turn_id] = self.last
        self.record(turn_id, TurnAccepted(prompt=user_message(prompt), meta=meta))
        self.waiting.append((turn_id, prompt))

    def cancel(self, turn_id: str) -> None:
        for each in list(self.waiting):
            if each[0] == turn_id:
                self.waiting.remove(each)
                self.end(turn_id, Outcome(kind="cancelled", reason="withdrawn"))

    def end(self, turn_id: str, outcome: Outcome) -> None:
        self.outcomes[turn_id] = outcome
        self.record(turn_id, TurnEnded(outcome=outcome))


@final
class ModelGateway:
    """Accepts prompts, answers them word by word, and counts how often it began each.

    Args:
        breaks: how many frames each connection lives for once it is welcomed; endless behind the last.
        keep: records that each session keeps.
        chunk: events in one frame.
    """

    def __init__(self, breaks: Sequence[int] = (), *, keep: int = 10_000, chunk: int = 3) -> None:
        self._breaks = iter(breaks)
        self._keep, self._chunk = keep, chunk
        self.sessions: dict[str, ModelSession] = {}
        self.begun: Counter[str] = Counter()
        self.heard: list[asked.Request] = []
        self.connections: list[ModelCarrier] = []
        self.rights: list[told.Right] = ["watch", "prompt", "approve", "admin"]
        self.max_requests = 64
        self.max_frame_bytes = 1_000_000
        self.answers: dict[type[asked.Request], list[told.Reply | None]] = {}
        """What it says to the next requests of a kind, instead of what is right; None: nothing."""
        self.log = "1"
        """Of every session, until it forgets them."""
        self.is_down = False
        self.refuses_with: int | None = None
        self.most_unanswered = 0
        self._news = trio.Event()

    def session(self, key: str) -> ModelSession:
        return self.sessions.setdefault(key, ModelSession(key, self._keep))

    def tell(self) -> None:
        for carrier in self.connections:
            carrier.news.set()
        self._news.set()

    def forget(self) -> None:
        """It is started again, and had kept nothing."""
        self.sessions.clear()
        self.log = str(int(self.log) + 1)
        self.cut()

    def cut(self, code: int = 1006, reason: str = "") -> None:
        """Every connection breaks."""
        for carrier in self.connections:
            carrier.cut(code, reason)

    async def work(self) -> None:
        """Answer prompts, for ever."""
        while True:
            self._news = trio.Event()
            for session in list(self.sessions.values()):
                if session.waiting:
                    await self._answer(session, *session.waiting.popleft())
            if not any(session.waiting for session in self.sessions.values()):
                await self._news.wait()

    async def _answer(self, session: ModelSession, turn_id: str, prompt: str) -> None:
        self.begun[turn_id] += 1
        session.running = turn_id
        session.record(turn_id, TurnStarted())
        answer: ResultMessage | None = None
        for message in said(prompt):
            await trio.sleep(0.1)
            if isinstance(message, StreamEvent):
                for carrier in self.connections:
                    carrier.pass_by(session, Event(None, turn_id, message))
            else:
                session.record(turn_id, message)
            if isinstance(message, ResultMessage):
                answer = message
            self.tell()
        session.running = None
        session.end(turn_id, Outcome(kind="answered", result=answer))
        self.tell()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["ModelCarrier"]:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise ConnectionRefusedError("nobody listens there")
        carrier = ModelCarrier(self, next(self._breaks, None), self._chunk)
        if self.refuses_with is not None:
            carrier.cut(self.refuses_with, "no")
        self.connections.append(carrier)
        try:
            yield carrier
        finally:
            self.connections.remove(carrier)


@asynccontextmanager
async def open_model(
    gateway: ModelGateway, *, held_bytes: int = 1_000_000, max_waiting: int = 100, give_up: float = math.inf
) -> AsyncGenerator[RemoteManager]:
    """The sessions of a model, which works meanwhile."""
    machine = Machine(None, "test", held_bytes=held_bytes, max_waiting=max_waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.work)
        async with keep_open(Link(machine, gateway.connect, "the model", give_up)) as manager:
            yield manager
        nursery.cancel_scope.cancel()


@final
class ModelCarrier:
    """One connection, which breaks after so many frames of either side; what it had taken and not given is lost."""

    def __init__(self, gateway: ModelGateway, lives: int | None, chunk: int) -> None:
        self._gateway = gateway
        self._lives = lives
        self._chunk = chunk
        self._closed: Closed | None = None
        self._replies: deque[bytes] = deque()
        self._partials: deque[bytes] = deque()
        self.attached: dict[str, int] = {}
        self._is_welcomed = False
        self.news = trio.Event()

    def cut(self, code: int = 1006, reason: str = "") -> None:
        self._closed = self._closed or Closed(code, reason)
        self.news.set()

    def _count(self) -> None:
        if self._lives is not None and self._is_welcomed:
            if not self._lives:
                self.cut()
            self._lives -= 1
        if self._closed is not None:
            raise self._closed

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self, *, within: float) -> None:
        await trio.lowlevel.checkpoint()

    async def send(self, *frames: bytes) -> None:
        await trio.lowlevel.checkpoint()
        for each in frames:
            self._count()
            self._hear(each)
        self._gateway.tell()

    async def receive(self) -> str:
        await trio.lowlevel.checkpoint()
        while True:
            self.news = trio.Event()
            following = self._next()
            if following is not None or self._closed is not None:
                self._count()
            if following is not None:
                self._is_welcomed = True
                return following.decode()
            await self.news.wait()

    def pass_by(self, session: ModelSession, event: Event) -> None:
        """Partial text, for who is not behind."""
        if self.attached.get(session.key) == session.last:
            self._partials.append(frame([event_of(session.key, event)]))

    def _next(self) -> bytes | None:
        """Replies go first."""
        if self._replies:
            return self._replies.popleft()
        if self._partials:
            return self._partials.popleft()
        for key, position in self.attached.items():
            session = self._gateway.session(key)
            events = session.after(position, self._chunk)
            if events:
                message = events[-1].message
                self.attached[key] = message.last if isinstance(message, Gap) else position + len(events)
                return frame([event_of(key, event) for event in events])
        return None

    def _hear(self, data: bytes) -> None:
        if data.startswith(b'{"type":"hello"'):
            welcome = told.Welcome(
                version="0",
                name="model",
                rights=self._gateway.rights,
                prefix="",
                max_frame_bytes=self._gateway.max_frame_bytes,
                max_requests=self._gateway.max_requests,
            )
            self._replies.append(_encode(welcome))
            return
        request = _decode(data)
        self._gateway.heard.append(request)
        prepared = self._gateway.answers.get(type(request))
        reply = prepared.pop(0) if prepared else self._reply(request)
        if reply is not None:
            self._replies.append(_encode(replace(reply, re=request.id)))
        self._gateway.most_unanswered = max(self._gateway.most_unanswered, len(self._replies))

    def _reply(self, request: asked.Request) -> told.Reply:
        number = request.id
        match request:
            case asked.Attach(key=key, after=after, log=log):
                session, name = self._gateway.session(key), self._gateway.log
                is_known = after is not None and after <= session.last and log in (None, name)
                self.attached[key] = (
                    after if after is not None and is_known else 0 if after is not None else session.last
                )
                return told.Attached(re=number, key=key, state="idle", session_id="s", log=name, last=session.last)
            case asked.Detach(key=key):
                self.attached.pop(key, None)
                return told.Done(re=number)
            case asked.Prompt(key=key, turn=str(turn), prompt=str(prompt), meta=meta):
                session = self._gateway.session(key)
                if turn not in session.begins:
                    session.accept(turn, prompt, meta)
                seen = self._turn(session, turn)
                return told.Accepted(
                    re=number, key=key, turn=turn, state=seen[0], position=seen[1], seq=session.begins[turn]
                )
            case asked.TurnOf(key=key, turn=turn) | asked.Cancel(key=key, turn=turn):
                session = self._gateway.session(key)
                if turn not in session.begins:
                    return told.Failed(re=number, code="not_found", message=f"no turn {turn!r}")
                if isinstance(request, asked.Cancel):
                    session.cancel(turn)
                seen, outcome = self._turn(session, turn), session.outcomes.get(turn)
                ended = msgspec.Raw(encode_record(TurnEnded(outcome=outcome))) if outcome is not None else msgspec.UNSET
                return told.TurnTold(
                    re=number,
                    key=key,
                    turn=turn,
                    state=seen[0],
                    position=seen[1],
                    seq=session.begins[turn],
                    last=session.last,
                    ended=ended,
                )
            case asked.Interrupt():
                return told.Interrupted(re=number, result="nothing_running")
            case _:
                return told.Done(re=number)

    @staticmethod
    def _turn(session: ModelSession, turn: str) -> tuple[told.TurnState, int | None]:
        if turn in session.outcomes:
            return "ended", None
        if session.running == turn:
            return "running", None
        return "waiting", [each for each, _ in session.waiting].index(turn)
