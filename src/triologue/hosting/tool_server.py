"""An MCP server, of the official library, made of tools; that library is optional."""

import inspect
import logging
from collections.abc import Iterable
from typing import Any

from triologue.errors import InvalidOption, reason_of
from triologue.exits import no_exit
from triologue.hosting.callbacks import run_callback
from triologue.hosting.tool_results import failed_result, tool_result
from triologue.tools import ToolDefinition

logger = logging.getLogger(__name__)


def tool_server(name: str, version: str, tools: Iterable[ToolDefinition]) -> Any:
    """Make a `mcp.server.lowlevel.Server` that lists the tools and runs them, many at once.

    Whatever a tool does, the model gets an answer: what cannot be called, does not fit or fails is an error result.

    Raises:
        InvalidOption: the `mcp` library is missing, or is another version.
    """
    types, server_type = _library()
    by_name = {tool.name: tool for tool in tools}
    listed = types.ListToolsResult(tools=[types.Tool.model_validate(_listed(tool)) for tool in by_name.values()])

    async def list_tools(request: Any) -> Any:
        return types.ServerResult(listed)

    async def call_tool(request: Any) -> Any:
        result = await _run(by_name, request.params.name, request.params.arguments or {})
        return types.ServerResult(types.CallToolResult.model_validate(result))

    server = server_type(name, version=version)
    server.request_handlers[types.ListToolsRequest] = list_tools
    server.request_handlers[types.CallToolRequest] = call_tool
    return server


def lowlevel_server(instance: Any) -> Any:
    """The `mcp.server.lowlevel.Server` that this is, or that it wraps as `FastMCP` does; None for anything else."""
    _, server_type = _library()
    for server in (instance, getattr(instance, "_mcp_server", None)):
        if isinstance(server, server_type):
            return server
    return None


def _library() -> tuple[Any, Any]:
    try:
        from mcp import types
        from mcp.server.lowlevel import Server
    except ImportError as error:
        raise InvalidOption(
            "MCP servers in this process need the `mcp` library: pip install 'triologue[mcp]'"
        ) from error
    if not hasattr(Server, "list_tools"):  # version 2 has another way to make a server
        from importlib.metadata import version

        raise InvalidOption(
            f"MCP servers in this process need version 1 of the `mcp` library, and {version('mcp')} is installed: "
            "pip install 'triologue[mcp]'"
        )
    return types, Server


def _listed(tool: ToolDefinition) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": tool.annotations,
    }
    # MCP clients drop hints that they do not know; this one is told where Claude Code looks for it.
    size = (tool.annotations or {}).get("maxResultSizeChars")
    return listed if size is None else {**listed, "_meta": {"anthropic/maxResultSizeChars": size}}


async def _run(tools: dict[str, ToolDefinition], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    tool = tools.get(name)
    if tool is None:
        return failed_result(f"there is no tool {name!r}; there are: {', '.join(map(repr, tools)) or 'none'}")
    try:
        if tool.blocking:
            return tool_result(await run_callback(tool.call, arguments))
        with no_exit():
            value = tool.call(arguments)
            return tool_result(await value if inspect.isawaitable(value) else value)
    except Exception as error:
        logger.debug("tool %r failed", name, exc_info=True)
        return failed_result(reason_of(error))
