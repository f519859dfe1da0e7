"""MCP servers that live in this process: which they are, and how agents are told of them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Struct

from triologue.errors import InvalidOption, brief
from triologue.hosting.tool_server import lowlevel_server, tool_server
from triologue.options import Options
from triologue.tools import ToolDefinition, as_tools

Servers = dict[str, Any] | str | Path | None

_made_here: "WeakKeyDictionary[Any, tuple[ToolDefinition, ...]]" = WeakKeyDictionary()


class McpServer(Struct, frozen=True):
    """An MCP server that lives in this process."""

    name: str
    instance: Any
    """A `mcp.server.lowlevel.Server`."""


def create_sdk_mcp_server(
    name: str, version: str = "1.0.0", tools: Iterable[Callable[..., Any] | ToolDefinition] | None = None
) -> dict[str, Any]:
    """Make an MCP server of functions; an entry for `Options.mcp_servers`.

    Args:
        name: what it calls itself. Agents call it by its key in `mcp_servers`.
        version: its own.
        tools: functions and `@tool` definitions.

    Raises:
        InvalidOption: as for `tool_from_function`; two tools have one name; or the `mcp` library is missing.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidOption(f"an MCP server's name is some text, not {brief(name)}")
    definitions = as_tools(tools or ())
    server = tool_server(name, version, definitions)
    _made_here[server] = definitions
    return {"type": "sdk", "name": name, "instance": server}


def declared_servers(mcp_servers: Servers) -> Servers:
    """The servers as an agent's configuration has them: those of this process by name only."""
    if not isinstance(mcp_servers, dict):
        return mcp_servers
    return {name: _declared(name, entry) if _is_local(name, entry) else entry for name, entry in mcp_servers.items()}


def local_servers(mcp_servers: Servers) -> dict[str, McpServer]:
    """The servers that live in this process, by name.

    Raises:
        InvalidOption: an entry that is none of what `mcp_servers` takes, or the `mcp` library is missing.
    """
    if not isinstance(mcp_servers, dict):
        return {}
    return {
        name: McpServer(name, _instance(name, entry)) for name, entry in mcp_servers.items() if _is_local(name, entry)
    }


def tool_definitions(mcp_servers: Servers) -> dict[str, list[dict[str, Any]]]:
    """Name, description and schema of every tool that is known here: of lists and of `create_sdk_mcp_server`."""
    if not isinstance(mcp_servers, dict):
        return {}
    known: dict[str, list[dict[str, Any]]] = {}
    for name, entry in mcp_servers.items():
        tools = _known_tools(entry)
        if tools:
            known[name] = [
                {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema} for tool in tools
            ]
    return known


def check_servers(options: Options) -> None:
    """Refuse servers that could not be hosted.

    Raises:
        InvalidOption: what, and where.
    """
    local_servers(options.mcp_servers)


def _is_local(name: Any, entry: Any) -> bool:
    if not isinstance(name, str) or not name:
        raise InvalidOption(f"mcp_servers: {brief(name)} is no server's name")
    if isinstance(entry, Mapping):
        if entry.get("type") == "sdk" and entry.get("instance") is None:
            raise InvalidOption(
                f"mcp_servers[{name!r}] is of type 'sdk' and has no instance; see create_sdk_mcp_server"
            )
        return entry.get("type") == "sdk"
    if isinstance(entry, str | bytes):  # an iterable too, but of letters
        raise InvalidOption(f"mcp_servers[{name!r}] is text; it takes a dict, an MCP server or a list of tools")
    return True


def _instance(name: str, entry: Any) -> Any:
    """The server itself; never shown in an error, for an entry may hold secrets."""
    if isinstance(entry, list | tuple):
        try:
            return tool_server(name, "1.0.0", as_tools(entry))
        except InvalidOption as error:
            raise InvalidOption(f"mcp_servers[{name!r}]: {error}") from error
    instance = entry["instance"] if isinstance(entry, Mapping) else entry
    server = lowlevel_server(instance)
    if server is None:
        raise InvalidOption(
            f"mcp_servers[{name!r}] is of type {type(instance).__name__}; it takes a dict, a server of the `mcp` library "
            "or a list of tools"
        )
    return server


def _declared(name: str, entry: Any) -> dict[str, Any]:
    more = {key: value for key, value in entry.items() if key != "instance"} if isinstance(entry, Mapping) else {}
    return {**more, "type": "sdk", "name": name}


def _known_tools(entry: Any) -> tuple[ToolDefinition, ...]:
    if isinstance(entry, list | tuple):
        return as_tools(entry)
    instance = entry.get("instance") if isinstance(entry, Mapping) else entry
    try:
        return _made_here.get(instance, ())
    except TypeError:  # cannot be in there
        return ()
