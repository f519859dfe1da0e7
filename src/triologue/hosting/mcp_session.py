"""One running MCP server of the official library, spoken to in plain JSON-RPC."""

import copy
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, final

import anyio
import trio
from mcp.shared.exceptions import McpError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp.shared.session import RequestResponder
from mcp.types import ClientNotification, ErrorData, JSONRPCMessage
from pydantic import ValidationError

from triologue.errors import reason_of
from triologue.exits import no_exit
from triologue.session import LogSampler

logger = logging.getLogger(__name__)

# JSON-RPC's and MCP's own codes.
CONNECTION_CLOSED, INVALID_REQUEST, METHOD_NOT_FOUND = -32000, -32600, -32601
# The official server answers a cancelled request like this.
_CANCELLED = ErrorData(code=0, message="Request cancelled")

_LAST_WORDS = 1.0  # seconds between the end of a server's output and its own end
Json = dict[str, Any]


class _Call:
    """One request of the agent to the server."""

    def __init__(self, message: Json) -> None:
        self.id: str | int = message["id"]
        self.scope = trio.CancelScope()
        self.answered = trio.Event()
        self.is_running = False
        self.reply: Json = {}

    def settle(self, reply: Json) -> None:
        self.reply = {**reply, "id": self.id}
        self.answered.set()


@final
class McpSession:
    """One run of one server, from its first message to its end; then it is over for good.

    `server` is a `mcp.server.lowlevel.Server`. Towards it every request has an id of ours, so that the agent's may be of any kind and used again.
    `failures` counts those of all its runs: an agent may have it started again and again.
    """

    def __init__(self, name: str, server: Any, failures: LogSampler) -> None:
        self._name = name
        self._failures = failures
        self._server = copy.copy(server)  # shallow: what is set below is for this session
        # The library answers a cancelled request by itself, and falls over when its handler then answers too. So
        # cancelling is done here, in the handler, and the library sees a request that ended with an error.
        self._server.request_handlers = _Guarded(server.request_handlers, self._running)
        # It also handles each message inside `warnings.catch_warnings`, which tasks side by side undo in the wrong
        # order: afterwards the whole process would show no warning any more.
        self._server._handle_message = self._handle  # noqa: SLF001 - there is no other way to keep warnings
        self._calls: dict[int, _Call] = {}
        self._ids = itertools.count()
        self._scope = trio.CancelScope(shield=True)  # it winds down in `close`, whatever is cancelled outside
        self._started, self._served, self._ended = trio.Event(), trio.Event(), trio.Event()
        self._to_server: Any = None
        self._failure: str | None = None
        self.is_initialized = False
        self.is_over = False
        """Nothing is answered any more."""

    async def run(self) -> None:
        """Run the server until it stops or is closed. Raises nothing."""
        try:
            with self._scope:
                async with create_client_server_memory_streams() as ((from_server, self._to_server), streams):
                    self._started.set()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._serve, *streams)
                        async for item in from_server:
                            self._hear(item, nursery)
                        # Its clean-up may go on, but it answers no more; soon it will have said why.
                        self.is_over = True
                        with trio.move_on_after(_LAST_WORDS):
                            await self._served.wait()
                        self._fail("it stopped")
        except Exception as error:  # noqa: BLE001 - it is logged with its trace
            self._fail(self._told(error))
        finally:
            self._fail("it was stopped")
            self._started.set()
            self._ended.set()

    async def exchange(self, message: Json) -> Json | None:
        """Hand a message to the server; its reply if it is a request. Cancelling this cancels the request inside."""
        if not self._started.is_set():  # a checkpoint here would let a later message overtake this one
            await self._started.wait()
        method = message.get("method")
        if method is None:
            logger.debug("MCP server %r asked nothing, and got a response: dropped", self._name)
            return None
        if method == "notifications/cancelled":
            self._cancel(message)
            return None
        if "id" not in message:
            refusal = await self._send(message)
            if refusal is not None:
                logger.debug("a notification to MCP server %r was dropped: %s", self._name, refusal)
            return None
        return await self._ask(message)

    async def close(self, grace: float) -> None:
        """End it: what runs is cancelled, the server puts its things in order, at most `grace` seconds long."""
        with trio.CancelScope(shield=True):
            await self._started.wait()
            if self._to_server is not None:
                self._to_server.close()
            with trio.move_on_after(grace):
                await self._ended.wait()
            self._scope.cancel()
            await self._ended.wait()

    async def _serve(self, server_read: Any, server_write: Any) -> None:
        with server_write:
            try:
                with no_exit():
                    await self._server.run(server_read, server_write, self._server.create_initialization_options())
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(self._told(error))
            finally:
                self._served.set()

    def _told(self, error: Exception) -> str:
        """Log why it failed; gives that."""
        suffix, reason = self._failures.suffix("failed"), reason_of(error)
        if suffix is not None:
            logger.warning("MCP server %r failed: %s%s", self._name, reason, suffix, exc_info=error)
        return reason

    async def _handle(self, message: Any, session: Any, lifespan_context: Any, raise_exceptions: Any = False) -> None:  # noqa: FBT002 - the library's
        """What the library does with a message, without its way with warnings."""
        if isinstance(message, RequestResponder):
            request: Any = message.request
            with message:
                await self._server._handle_request(  # noqa: SLF001
                    message, request.root, session, lifespan_context, raise_exceptions
                )
        elif isinstance(message, ClientNotification):
            await self._server._handle_notification(message.root)  # noqa: SLF001

    async def _ask(self, message: Json) -> Json:
        if not isinstance(message["id"], str | int):
            return error_reply(None, INVALID_REQUEST, "a request's id is a text or a whole number")
        number, call = next(self._ids), _Call(message)
        self._calls[number] = call
        refusal = await self._send({**message, "id": number}, forget=number)
        if refusal is not None:
            return error_reply(call.id, *refusal)
        try:
            await call.answered.wait()
        except trio.Cancelled:
            call.scope.cancel()
            raise
        if message["method"] == "initialize" and "result" in call.reply:
            self.is_initialized = True
        return call.reply

    async def _send(self, message: Json, forget: int | None = None) -> tuple[int, str] | None:
        """Write to the server; why not, if not."""
        sent = False
        try:
            parsed = JSONRPCMessage.model_validate(message)
            if not self.is_over:
                await self._to_server.send(SessionMessage(parsed))
                sent = True
                return None
        except ValidationError:
            return INVALID_REQUEST, "this is no JSON-RPC 2.0 request"
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # it went away in the meantime
        finally:
            if not sent and forget is not None:
                self._calls.pop(forget, None)
        return CONNECTION_CLOSED, self._stopped()

    def _cancel(self, message: Json) -> None:
        params = message.get("params")
        wanted = params.get("requestId") if isinstance(params, dict) else None
        for call in self._calls.values():
            if call.id == wanted and type(call.id) is type(wanted):
                call.scope.cancel()

    def _running(self) -> _Call | None:
        """The call that the running handler is for."""
        return self._calls.get(int(self._server.request_context.request_id))

    def _hear(self, item: SessionMessage | Exception, nursery: trio.Nursery) -> None:
        if isinstance(item, Exception):
            logger.debug("MCP server %r gave an error: %r", self._name, item)
            return
        said: Json = item.message.model_dump(by_alias=True, mode="json", exclude_none=True)
        if "method" not in said:
            call = self._calls.pop(said["id"], None)
            if call is not None:
                call.settle(said)
        elif "id" in said:
            # By a task, because who reads a server must never wait for it to read.
            nursery.start_soon(self._refuse, said)
        else:
            logger.debug("MCP server %r sent %s, which has no way to the agent", self._name, said["method"])

    async def _refuse(self, asked: Json) -> None:
        """Answer a request of the server: nothing carries one to the agent."""
        reply: Json = {"jsonrpc": "2.0", "id": asked["id"], "result": {}}
        if asked["method"] != "ping":
            reply = error_reply(asked["id"], METHOD_NOT_FOUND, f"the agent cannot be asked for {asked['method']}")
            logger.debug("MCP server %r asked for %s, and was refused", self._name, asked["method"])
        await self._send(reply)

    def _fail(self, why: str) -> None:
        self.is_over = True
        self._failure = self._failure or why
        for call in self._calls.values():
            call.settle(error_reply(call.id, CONNECTION_CLOSED, self._stopped()))
        self._calls.clear()

    def _stopped(self) -> str:
        return f"MCP server {self._name!r} does not run any more: {self._failure or 'it stopped'}"


def error_reply(request_id: str | int | None, code: int, message: str) -> Json:
    """A JSON-RPC error."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


@final
class _Guarded(Mapping[type, Callable[[Any], Awaitable[Any]]]):
    """A server's handlers, each made to end when its call was cancelled."""

    def __init__(self, handlers: Mapping[type, Callable[..., Awaitable[Any]]], running: Callable[[], Any]) -> None:
        self._handlers, self._call = handlers, running

    def __getitem__(self, kind: type) -> Callable[[Any], Awaitable[Any]]:
        handler = self._handlers[kind]

        async def guarded(request: Any) -> Any:
            call = self._call()
            if call is not None and call.is_running:  # a handler that calls another one
                return await handler(request)
            if call is not None:
                call.is_running = True
                with call.scope:
                    return await handler(request)
            raise McpError(_CANCELLED)  # or nobody waits any more

        return guarded

    def __iter__(self) -> Iterator[type]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)
