"""A stub of the Anthropic Messages API on loopback: the model behind real agents, played by the tests.

async with open_messages_api() as api:
    ...                                   # point an agent at api.url; prompts hold the script, see `script.py`
    await api.wait_request(lambda request: "hello" in request.prompts)
    api.release("gate")
"""

import json
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

import trio

from tests.support.conversation import Conversation, read_conversation, side_answer, side_purpose
from tests.support.http_server import Exchange, serve_connection
from tests.support.script import Item, Recall, Say, ScriptError, parse, split_replies
from tests.support.stage import Call, ReplyStage, error_body, respond_json

MAX_CONNECTIONS = 512
MAX_KEPT_BYTES = 64 * 1024 * 1024
PATIENCE = 30.0

Ending: TypeAlias = Literal["answered", "failed", "dropped", "client left"]


@final
@dataclass(eq=False)
class ApiRequest:
    """One request that arrived."""

    number: int
    """Position among all requests; starts at 1."""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    """The parsed JSON; empty when there was none."""
    size: int
    """Length of the body in bytes."""
    side: str | None = None
    """Why an agent asks when it is not for a turn; None for a turn, and for what is no model call."""
    prompts: tuple[str, ...] = ()
    """What the user said so far."""
    ending: Ending | None = None
    """How the reply ended; None while it is being given."""

    @property
    def session_id(self) -> str | None:
        """The session that Claude Code names in its headers."""
        return self.headers.get("x-claude-code-session-id")

    @property
    def is_turn(self) -> bool:
        return self.path == "/v1/messages" and self.side is None


@final
class MessagesApi:
    """The running stub; made by `open_messages_api`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.forgotten = 0
        self._port = port
        self._kept: deque[ApiRequest] = deque()
        self._kept_bytes = 0
        self._count = 0
        self._attempts: Counter[int] = Counter()
        self._gates: dict[str, trio.Event] = {}
        self._reached: dict[str, trio.Event] = {}
        self._change = trio.Event()
        self._limiter = trio.CapacityLimiter(MAX_CONNECTIONS)

    @property
    def requests(self) -> list[ApiRequest]:
        """All requests in order. Over 64 MiB of bodies the oldest are forgotten, and counted in `forgotten`."""
        return list(self._kept)

    @property
    def turns(self) -> list[ApiRequest]:
        """The requests that are model calls of a turn, without side requests and probes."""
        return [request for request in self._kept if request.is_turn]

    @property
    def strays(self) -> list[ApiRequest]:
        """The requests that do not belong to this API: what an agent wanted from elsewhere through its proxy."""
        return [request for request in self._kept if request.path not in _PATHS]

    async def wait_request(self, predicate: Callable[[ApiRequest], bool], *, patience: float = PATIENCE) -> ApiRequest:
        """The first request for which the predicate holds, now or later; asked again when a reply ends.

        Raises AssertionError after `patience` seconds.
        """
        with trio.move_on_after(patience):
            while True:
                if found := next(filter(predicate, self._kept), None):
                    return found
                await self._change.wait()
        arrived = [(request.number, request.side, request.prompts[-1:], request.ending) for request in self._kept]
        raise AssertionError(f"no such request within {patience} s; arrived: {arrived}")

    async def wait_reached(self, gate: str, *, patience: float = PATIENCE) -> None:
        """Returns when a reply has come to `[[wait gate]]`. Raises AssertionError after `patience` seconds."""
        with trio.move_on_after(patience):
            await self._reached.setdefault(gate, trio.Event()).wait()
            return
        raise AssertionError(f"nothing reached {gate!r} within {patience} s")

    def release(self, gate: str) -> None:
        """Opens a gate for all who wait there and all who come."""
        self._gates.setdefault(gate, trio.Event()).set()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answers one client."""
        async with self._limiter:
            await serve_connection(stream, self._handle)

    async def _wait_gate(self, gate: str) -> None:
        self._reached.setdefault(gate, trio.Event()).set()
        await self._gates.setdefault(gate, trio.Event()).wait()

    async def _handle(self, exchange: Exchange) -> None:
        request = self._record(exchange)
        try:
            ending = await self._answer(exchange, request)
            request.ending = "dropped" if exchange.is_dropped else ending
        finally:
            request.ending = request.ending or "client left"
            self._announce()

    def _record(self, exchange: Exchange) -> ApiRequest:
        http = exchange.request
        self._count += 1
        request = ApiRequest(self._count, http.method, http.path, http.headers, _parse_body(http.body), len(http.body))
        if http.path == "/v1/messages":
            request.side = side_purpose(request.body, request.headers)
            request.prompts = tuple(read_conversation(request.body).prompts)
        self._kept.append(request)
        self._kept_bytes += request.size
        while self._kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popleft().size
            self.forgotten += 1
        self._announce()
        return request

    def _announce(self) -> None:
        self._change.set()
        self._change = trio.Event()

    async def _answer(self, exchange: Exchange, request: ApiRequest) -> Ending:
        match request.method, request.path:
            case "POST", "/v1/messages":
                return await self._answer_model_call(exchange, request)
            case "POST", "/v1/messages/count_tokens":
                await respond_json(exchange, 200, {"input_tokens": max(1, request.size // 4)})
            case "GET", "/v1/models":
                await respond_json(exchange, 200, {"data": [], "has_more": False, "first_id": None, "last_id": None})
            case (("HEAD" | "GET"), "/"):
                await exchange.respond(200, b"", {})
            case _:
                await respond_json(exchange, 404, error_body(404, f"nothing at {request.path}"))
                return "failed"
        return "answered"

    async def _answer_model_call(self, exchange: Exchange, request: ApiRequest) -> Ending:
        conversation = read_conversation(request.body)
        try:
            reply = _choose_reply(request, conversation)
        except ScriptError as error:
            await respond_json(exchange, 400, error_body(400, str(error)))
            return "failed"
        key = hash((request.session_id, request.side, request.prompts, conversation.replies))
        call = Call(
            name=f"stub_{self._port}_{request.number}",
            model=str(request.body.get("model", "stub")),
            is_streaming=bool(request.body.get("stream")),
            attempt=self._attempts[key],
        )
        self._attempts[key] += 1
        stage = ReplyStage(exchange, conversation, call, self._wait_gate)
        await stage.play(reply)
        return "failed" if stage.has_failed else "answered"


_PATHS = ("/", "/v1/messages", "/v1/messages/count_tokens", "/v1/models")


def _parse_body(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _choose_reply(request: ApiRequest, conversation: Conversation) -> list[Item]:
    if request.side is not None:
        return [Say(side_answer(request.side, request.body))]
    replies = split_replies(parse(conversation.script))
    return replies[conversation.replies] if conversation.replies < len(replies) else [Recall()]


@asynccontextmanager
async def open_messages_api() -> AsyncGenerator[MessagesApi]:
    """Serves on a free port of loopback until the block is left; replies that still run are cut then."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    api = MessagesApi(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, api.serve, listeners)
        try:
            yield api
        finally:
            nursery.cancel_scope.cancel()
