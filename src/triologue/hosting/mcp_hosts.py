"""The MCP servers of one connection: each is started by its first message, and again by a handshake if it died."""

from collections.abc import Awaitable, Callable, Mapping, Set as AbstractSet
from typing import TYPE_CHECKING, Any, Protocol, final

import trio

from triologue.hosting.callbacks import CallbackError
from triologue.hosting.servers import McpServer
from triologue.messages import McpMessage, McpToolCall
from triologue.session import LogSampler

if TYPE_CHECKING:
    from triologue.hosting.mcp_session import McpSession

_GRACE = 5.0  # seconds for a server to put its things in order; tools are cancelled at once
_NONE: frozenset[str] = frozenset()
_METHOD_NOT_FOUND = -32601
_NOTED = {"jsonrpc": "2.0", "result": {}}  # what agents expect for a message that has no reply
_PROTOCOL = "2025-06-18"


class StartSoon(Protocol):
    """Starts a task, as `trio.Nursery.start_soon` does."""

    def __call__(self, work: Callable[..., Awaitable[object]], /, *args: Any, name: object = None) -> None:
        """Start it; it makes its first step soon."""
        ...


@final
class McpHosts:
    """Answers for every server of one connection; none runs before its first message, and none after `close`."""

    __slots__ = ("_added", "_begun_with", "_hosts", "_is_closed", "_start_soon")

    def __init__(self, servers: Mapping[str, McpServer], start_soon: StartSoon) -> None:
        self._start_soon = start_soon
        self._begun_with = servers
        self._hosts = {name: _Host(server, start_soon) for name, server in servers.items()}
        self._added = _NONE
        self._is_closed = False

    def add(self, servers: Mapping[str, McpServer]) -> frozenset[str]:
        """Host these too, each in the place of one of its name; gives the names of all that were added before."""
        before = self._added
        self._close(self._hosts.keys() & servers.keys())
        self._hosts |= {name: _Host(server, self._start_soon) for name, server in servers.items()}
        self._added = before.union(servers)
        return before

    def remove(self, names: AbstractSet[str]) -> None:
        """End those of them that were added; what one of them stood in for is back."""
        gone = names & self._added
        self._close(gone)
        self._added -= gone
        back = self._begun_with.keys() & gone
        self._hosts |= {name: _Host(self._begun_with[name], self._start_soon) for name in back}

    def _close(self, names: AbstractSet[str]) -> None:
        for name in names:
            host = self._hosts.pop(name)
            if not self._is_closed:
                self._start_soon(host.close)

    async def message(self, request: McpMessage) -> dict[str, Any]:
        """The reply to one JSON-RPC message. Cancelling this cancels the request inside."""
        host = self._hosts.get(request.server_name)
        if host is not None:
            reply = await host.answer(request.message)
        else:
            reply = unknown_server(request.server_name, request.message)
        return {"mcp_response": reply}

    async def tool_call(self, request: McpToolCall) -> dict[str, Any]:
        """The result of a tool, called without a handshake.

        Raises:
            CallbackError: there is no such server, or it does not answer.
        """
        host = self._hosts.get(request.server_name)
        if host is None:
            raise CallbackError(f"there is no MCP server {request.server_name!r} here")
        result = await host.call_tool(request.tool_name, request.arguments)
        return {"result": {"content": result.get("content", []), "isError": bool(result.get("isError"))}}

    async def close(self) -> None:
        """End them all, side by side, within 5 s."""
        self._is_closed = True
        if not self._hosts:
            return
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for host in self._hosts.values():
                    nursery.start_soon(host.close)


def unknown_server(name: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON-RPC says where nobody is."""
    error = {"code": _METHOD_NOT_FOUND, "message": f"there is no MCP server {name!r} here"}
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": error}


class _Host:
    """One server of one connection, through as many runs as it takes."""

    __slots__ = ("_failures", "_handshake", "_server", "_session", "_start_soon")

    def __init__(self, server: McpServer, start_soon: StartSoon) -> None:
        self._server, self._start_soon = server, start_soon
        self._session: McpSession | None = None
        self._failures = LogSampler()
        self._handshake = trio.Lock()

    async def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        session = await self._running(again=message.get("method") == "initialize")
        return await session.exchange(message) or _NOTED

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        async with self._handshake:
            session = await self._running(again=True)
            if not session.is_initialized:
                await _ask(session, "initialize", _introduction())
                await session.exchange({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return await _ask(session, "tools/call", {"name": name, "arguments": arguments})

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close(_GRACE)

    async def _running(self, *, again: bool) -> "McpSession":
        session = self._session
        if session is not None and not (session.is_over and again):
            return session
        from triologue.hosting.mcp_session import McpSession  # here, because the library is slow to import

        self._session = McpSession(self._server.name, self._server.instance, self._failures)
        self._start_soon(self._session.run)
        if session is not None:
            await session.close(_GRACE)
        return self._session


async def _ask(session: "McpSession", method: str, params: dict[str, Any]) -> dict[str, Any]:
    # The id is text that no agent uses, lest its `notifications/cancelled` mean this call.
    message = {"jsonrpc": "2.0", "id": f"triologue/{method}", "method": method, "params": params}
    reply = await session.exchange(message) or {}
    if "error" in reply:
        raise CallbackError(str(reply["error"].get("message")))
    return reply.get("result") or {}


def _introduction() -> dict[str, Any]:
    return {
        "protocolVersion": _PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "triologue", "version": "1"},
    }
