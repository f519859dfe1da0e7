"""MCP servers that live in the host: found, asked for their tools, and called, over the control dialogue."""

from collections.abc import Callable, Iterator
from typing import Any, final

import trio

from triologue.engine.host import Host, HostRefused
from triologue.engine.toolbox import EngineTool, ToolOutcome, as_list, failed, mcp_outcome
from triologue.messages import McpMessage, McpToolCall

PROTOCOL_VERSION = "2025-11-25"
HANDSHAKE_TIMEOUT = 30.0
"""Seconds that a server may take to tell its tools; the first turn waits for it."""
MAX_PAGES = 100

_ELSEWHERE = "this agent has no MCP client: only servers that live in the host are reached"


class McpRefused(Exception):
    """The server answered with a JSON-RPC error, or with nothing that is JSON-RPC."""


@final
class McpServer:
    """One server as the agent sees it.

    Args:
        name: what the host calls it.
        host: where it lives.
        config: its declaration.
        definitions: its tools, when the host told them beforehand; then they are called by `mcp_tool_call`.
    """

    __slots__ = ("_count", "_host", "_scope", "config", "definitions", "error", "info", "name", "status", "tools")

    def __init__(self, name: str, host: Host, config: dict[str, Any], definitions: list[Any] | None = None) -> None:
        self.name = name
        self.config = config
        self.status = "pending"
        self.error: str | None = None
        self.info: dict[str, Any] | None = None
        self.tools: dict[str, EngineTool] = {}
        self._host = host
        self.definitions = definitions
        self._count = 0
        self._scope: trio.CancelScope | None = None

    def begin(self) -> None:
        """It is to connect; `connect` does that."""
        self.status, self.error, self.tools = "pending", None, {}

    def disable(self) -> None:
        """Take its tools away; a handshake that is under way is given up."""
        self.status, self.error, self.tools = "disabled", None, {}
        if self._scope is not None:
            self._scope.cancel()

    async def connect(self) -> None:
        """Shake hands and learn its tools; `status` says how it went. It never raises."""
        if self.config.get("type") != "sdk":
            self.status, self.error = "failed", _ELSEWHERE
            return
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT), trio.CancelScope() as self._scope:
                definitions = await self._list() if self.definitions is None else self.definitions
                self.tools = {tool.name: tool for each in as_list(definitions) if (tool := self._tool(each))}
                self.status = "connected"
        except trio.TooSlowError:
            self.status, self.error = "failed", f"no answer within {HANDSHAKE_TIMEOUT:g} seconds"
        except (HostRefused, McpRefused) as error:
            self.status, self.error = "failed", str(error)
        finally:
            self._scope = None

    def told(self) -> dict[str, Any]:
        """Its state, as `mcp_status` tells it."""
        state: dict[str, Any] = {"name": self.name, "status": self.status, "config": self.config, "scope": "dynamic"}
        if self.error is not None:
            state["error"] = self.error
        if self.info is not None:
            state["serverInfo"] = self.info
        if self.status == "connected":
            prefix = len(f"mcp__{self.name}__")
            state["tools"] = [
                {"name": tool.name[prefix:], "description": tool.description} for tool in self.tools.values()
            ]
        return state

    async def _list(self) -> list[Any]:
        client = {"name": "triologue", "title": "triologue", "version": "1"}
        begun = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": client}
        self.info = (await self._ask("initialize", begun, survives=True)).get("serverInfo")
        self._notify("notifications/initialized")
        tools: list[Any] = []
        cursor: dict[str, Any] | None = None
        for _ in range(MAX_PAGES):
            page = await self._ask("tools/list", cursor, survives=True)
            tools += as_list(page.get("tools"))
            if not page.get("nextCursor"):
                break
            cursor = {"cursor": page["nextCursor"]}
        return tools

    def _tool(self, definition: Any) -> EngineTool | None:
        """A tool of the server as one at hand; None for what is no definition."""
        if not isinstance(definition, dict) or not isinstance(name := definition.get("name"), str):
            return None
        hints = definition.get("annotations")
        hints = hints if isinstance(hints, dict) else {}
        schema = definition.get("inputSchema")

        async def run(given: dict[str, Any], use_id: str) -> ToolOutcome:
            try:
                return mcp_outcome(await self._call(name, given, use_id))
            except (HostRefused, McpRefused) as error:
                return failed(str(error))

        return EngineTool(
            name=f"mcp__{self.name}__{name}",
            description=str(definition.get("description") or ""),
            input_schema=schema if isinstance(schema, dict) else {"type": "object", "properties": {}},
            run=run,
            server=self.name,
            title=definition.get("title") or hints.get("title"),
            is_concurrent=bool(hints.get("readOnlyHint")),
        )

    async def _call(self, name: str, given: dict[str, Any], use_id: str) -> dict[str, Any]:
        if self.definitions is not None:
            request = McpToolCall(server_name=self.name, tool_name=name, arguments=given, tool_use_id=use_id)
            result = (await self._host.ask(request)).get("result")
            return result if isinstance(result, dict) else {}
        number = self._count
        try:
            return await self._ask("tools/call", {"name": name, "arguments": given})
        except trio.Cancelled:
            self._notify("notifications/cancelled", {"requestId": number, "reason": "the call was stopped"})
            raise

    async def _ask(self, method: str, params: dict[str, Any] | None, *, survives: bool = False) -> dict[str, Any]:
        """One request to the server.

        Raises:
            McpRefused: its error.
            HostRefused: it was not even asked.
        """
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self._count, "method": method}
        if params is not None:
            message["params"] = params
        self._count += 1
        reply = await self._host.ask(McpMessage(server_name=self.name, message=message), survives=survives)
        match reply.get("mcp_response"):
            case {"result": dict() as result}:
                return result
            case {"error": {"message": str(text)}}:
                raise McpRefused(text)
            case other:
                raise McpRefused(f"the MCP server {self.name!r} answered {method} with {other!r:.200}")

    def _notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self._host.tell(McpMessage(server_name=self.name, message=message))


@final
class McpServers:
    """The servers of one connection.

    Args:
        host: where they live.
    """

    __slots__ = ("_host", "_pending", "_servers", "_settled", "_waiting", "changed")

    def __init__(self, host: Host) -> None:
        self.changed: Callable[[], None] = _ignore
        """Called when the tools that they offer are others than before."""
        self._servers: dict[str, McpServer] = {}
        self._host = host
        self._waiting: list[McpServer] = []
        self._pending = 0
        self._settled: trio.Event | None = None
        """Is set when the handshakes that run are over; None while nobody waits for that."""

    def __iter__(self) -> Iterator[McpServer]:
        return iter(self._servers.values())

    def __contains__(self, name: object) -> bool:
        return name in self._servers

    @property
    def is_waiting(self) -> bool:
        """Some were declared, and nobody connects them yet."""
        return bool(self._waiting)

    @property
    def is_settled(self) -> bool:
        """No server is still to connect, or about to."""
        return not self._waiting and not self._pending

    def declare(self, configs: dict[str, Any], definitions: dict[str, Any] | None = None) -> None:
        """More servers, or other declarations of known ones. `connect` connects them."""
        for name, config in configs.items():
            told = (definitions or {}).get(name)
            known = self._servers.get(name)
            if known is not None:
                # Cortex Code's SDK names its servers in the flags, and tells their tools later.
                if known.config == config and (told is None or known.definitions == told):
                    continue
                known.disable()
                self._waiting = [each for each in self._waiting if each is not known]
            server = McpServer(name, self._host, dict(config), told)
            self._servers[name] = server
            self._waiting.append(server)

    async def replace(self, configs: dict[str, Any]) -> dict[str, Any]:
        """Have these servers and no others; tells what changed."""
        removed = [name for name in self._servers if name not in configs]
        added = [name for name in configs if name not in self._servers]
        for name in removed:
            self._servers.pop(name).disable()
        self.declare(configs)
        self.changed()
        await self.connect()
        errors = {name: self._servers[name].error for name in added if self._servers[name].error}
        return {"added": added, "removed": removed, "errors": errors}

    async def reconnect(self, name: str) -> str | None:
        """Connect one again; gives its error, if it has one."""
        server = self._servers[name]
        server.begin()
        self._waiting.append(server)
        await self.connect()
        return server.error

    def disable(self, name: str) -> None:
        """Take one's tools away."""
        self._servers[name].disable()
        self.changed()

    async def connect(self) -> None:
        """Connect the servers that wait for it, all at once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self._pending += 1
        try:
            async with trio.open_nursery() as nursery:
                for server in waiting:
                    nursery.start_soon(server.connect)
        finally:
            self._pending -= 1
            settled = self._settled
            if settled is not None and not self._pending:
                self._settled = None
                settled.set()
        self.changed()

    async def wait_settled(self) -> None:
        """Wait until every server has connected or failed."""
        while not self.is_settled:
            if self._settled is None:
                self._settled = trio.Event()
            await self._settled.wait()

    def tools(self) -> list[EngineTool]:
        """What they offer now."""
        return [tool for server in self._servers.values() for tool in server.tools.values()]


def _ignore() -> None:
    pass
