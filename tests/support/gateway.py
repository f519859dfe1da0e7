"""A gateway without sockets, and a client of it that is made with another WebSocket library's own client."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any, TypeVar, cast, final

import msgspec
import trio
import trio_websocket
from trio.testing import lockstep_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection

import triologue as tri
from triologue.gateway.front import Front
from triologue.gateway.hall import Hall
from triologue.gateway.http import Head, Response
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.names import Names
from triologue.gateway.rights import TOKEN_META, Rights
from triologue.gateway.tokens import Tokens
from triologue.messages import Event, Gap, StateChanged, StreamEvent, TurnEnded
from triologue.protocol.asked import Hello, Request
from triologue.protocol.codes import CLOSE_GOING_AWAY
from triologue.protocol.events import event_of
from triologue.protocol.told import Detached, Events, Failed, Reply, Told, Welcome
from triologue.wire import encode_record

R = TypeVar("R", bound=Reply)

_read: Callable[[str], Told] = msgspec.json.Decoder(Told).decode


@final
class Client:
    """Reads by itself all that it is sent, unless `reading` is shut."""

    def __init__(self, socket: WebSocketConnection, stream: trio.abc.Stream) -> None:
        self.socket = socket
        self.stream = stream
        self.welcome: Welcome | None = None
        self.events: dict[str, list[Event]] = {}
        """By key, in the order in which they came."""
        self.frames: list[int] = []
        """How many events each frame had."""
        self.detached: list[Detached] = []
        self.order: list[str] = []
        """What kinds of frames came."""
        self.may_read = trio.Event()
        self.may_read.set()
        self.closed: tuple[int, str] | None = None
        self.gone = trio.Event()
        self._replies: dict[int, Reply] = {}
        self._news = trio.Event()
        self._asked = 0

    async def run(self) -> None:
        try:
            while True:
                await self.may_read.wait()
                message = await self.socket.get_message()
                assert isinstance(message, str)
                self._take(_read(message))
        except ConnectionClosed as closed:
            if closed.reason is not None:
                self.closed = (closed.reason.code, closed.reason.reason or "")
        finally:
            self.gone.set()
            self._news.set()

    def _take(self, told: Told) -> None:
        self.order.append(type(told).__name__)
        match told:
            case Welcome():
                self.welcome = told
            case Events(events=events):
                self.frames.append(len(events))
                for each in events:
                    self.events.setdefault(each.key, []).append(event_of(each))
            case Detached():
                self.detached.append(told)
            case _:
                assert told.re not in self._replies, "answered twice"
                self._replies[told.re] = told
        self._news.set()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            assert not self.gone.is_set(), f"the connection was closed: {self.closed}"
            self._news = trio.Event()
            await self._news.wait()

    async def hello(self, token: str | None = None) -> Welcome:
        await self.say(Hello(token=token, client="test"))
        await self._until(lambda: self.welcome is not None)
        assert self.welcome is not None
        return self.welcome

    async def say(self, said: object) -> None:
        await self.socket.send_message(said if isinstance(said, str | bytes) else msgspec.json.encode(said).decode())

    def numbered(self, kind: type[Request], **fields: Any) -> Request:
        self._asked += 1
        return kind(id=self._asked, **fields)

    async def ask(self, kind: type[Request], **fields: Any) -> Reply:
        """Ask, and wait for the reply."""
        request = self.numbered(kind, **fields)
        await self.say(request)
        return await self.reply(request.id)

    async def reply(self, id: int) -> Reply:
        await self._until(lambda: id in self._replies)
        return self._replies[id]

    def forget(self, id: int) -> None:
        """Another request may have this id."""
        self._replies.pop(id, None)

    async def fails(self, kind: type[Request], **fields: Any) -> str:
        """Ask what is refused; its code."""
        reply = await self.ask(kind, **fields)
        assert isinstance(reply, Failed), reply
        return reply.code

    async def until_idle(self, key: str, *, turns: int = 1) -> list[Event]:
        """Read until so many turns have ended, and what follows the last of them; gives all events of the key so far."""

        def is_so() -> bool:
            events = self.events.get(key, [])
            last = events[-1].message if events else None
            is_idle = isinstance(last, StateChanged) and last.state == "idle"
            return is_idle and sum(isinstance(event.message, TurnEnded) for event in events) >= turns

        await self._until(is_so)
        return self.events[key]

    async def wait_closed(self) -> tuple[int, str] | None:
        await self.gone.wait()
        return self.closed


@final
class House:
    """A manager, and a gateway to it that listens nowhere."""

    def __init__(self, manager: tri.SessionManager, hall: Hall, front: Front, nursery: trio.Nursery) -> None:
        self.manager = manager
        self.hall = hall
        self._front = front
        self._nursery = nursery

    def connect(self, *, slow: bool = False, rate: float = inf) -> trio.abc.Stream:
        """A stream to it, on which nothing was said yet.

        Args:
            slow: it takes nothing that is not read.
            rate: bytes a second that come over it; what is said comes at once.
        """
        near, far = lockstep_stream_pair() if slow else _socket_pair()
        self._nursery.start_soon(self._front.take, near)
        self._nursery.start_soon(_hold, far)
        return trio.StapledStream(far, Narrow(far, rate)) if rate < inf else far

    async def dial(self, *, slow: bool = False, rate: float = inf) -> Client:
        """A client that has not said hello."""
        stream = self.connect(slow=slow, rate=rate)
        socket = await trio_websocket.wrap_client_stream(
            self._nursery,
            cast("trio.SocketStream", stream),  # any stream will do
            "localhost",
            "/v1",
            subprotocols=["triologue.v1"],
            max_message_size=1 << 26,
            receive_buffer_size=4096,
        )
        client = Client(socket, stream)
        self._nursery.start_soon(client.run)
        return client

    async def client(self, token: str | None = None, *, slow: bool = False, rate: float = inf) -> Client:
        client = await self.dial(slow=slow, rate=rate)
        await client.hello(token)
        return client


@final
class Narrow(trio.abc.ReceiveStream):
    """A stream over which so many bytes come in a second."""

    def __init__(self, stream: trio.abc.ReceiveStream, rate: float) -> None:
        self._stream = stream
        self.rate = rate
        self._read = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._read:
            self._read += await self._stream.receive_some(4096)
        await trio.sleep(len(self._read) / self.rate)  # cancelled, it has lost nothing
        data = bytes(self._read[:max_bytes])
        del self._read[:max_bytes]
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _hold(stream: trio.abc.Stream) -> None:
    """Close it when the test ends."""
    async with stream:
        await trio.sleep_forever()


def _socket_pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """What is written to one is there at once to be read from the other, so that a virtual clock does not run ahead.

    The server's is full soon: of much that it is to send, it takes a part at once.
    """
    near, far = trio.socket.socketpair()
    near.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 8_192)
    return trio.SocketStream(near), trio.SocketStream(far)


def said(events: list[Event]) -> list[tuple[int | None, str | None, bytes]]:
    """Events but for partial text, as a store would keep them: what was worked out of a result stays here."""
    kept = [event for event in events if not isinstance(event.message, StreamEvent)]
    return [(event.seq, event.turn_id, encode_record(event.message)) for event in kept]


def covered(events: list[Event]) -> list[int]:
    """Which records were seen, or said to be gone, in this order."""
    seqs: list[int] = []
    for event in events:
        if isinstance(event.message, Gap):
            seqs += range(event.message.first, event.message.last + 1)
        elif event.seq is not None:
            seqs.append(event.seq)
    return seqs


@asynccontextmanager
async def house(
    manager: tri.SessionManager,
    *,
    tokens: Tokens | None = None,
    limits: GatewayLimits | None = None,
    origins: tuple[str, ...] = (),
    now: Callable[[], float] = trio.current_time,
) -> AsyncGenerator[House]:
    """Lend a manager's sessions until the end of the block."""
    limits = limits or GatewayLimits()
    rights = Rights(tokens, manager, prompts_per_second=limits.prompts_per_second, now=now)

    async def answer(head: Head) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, [], f"you asked for {head.target}".encode())

    async with trio.open_nursery() as nursery:
        hall = Hall(manager, limits, rights, nursery)
        nursery.start_soon(rights.watch)
        names = Names("127.0.0.1", origins, is_encrypted=False)
        with manager.guarding(TOKEN_META, rights.may_run):
            yield House(manager, hall, Front(hall, names, answer), nursery)
        hall.end(CLOSE_GOING_AWAY, "the test ends")
        nursery.cancel_scope.cancel()


async def got(reply: Reply, kind: type[R]) -> R:
    """The reply, which is of this kind."""
    await trio.lowlevel.checkpoint()
    assert isinstance(reply, kind), reply
    return reply
