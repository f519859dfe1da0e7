"""Which MCP servers live here, how they are declared, and what is refused."""

import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mcp.server.fastmcp import FastMCP
from mcp.server.lowlevel import Server

from tests.support.serving import open_service
from triologue.errors import InvalidOption
from triologue.hosting import (
    Service,
    check_callbacks,
    create_sdk_mcp_server,
    declared_servers,
    local_servers,
    tool_definitions,
)
from triologue.messages import McpMessage
from triologue.options import Options
from triologue.tools import tool

REMOTE = {"type": "http", "url": "https://example.org", "headers": {"Authorization": "secret"}}


def add(a: int, b: int = 0) -> int:
    """Add."""
    return a + b


@tool("greet", "Greet a user", {"name": str})
async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"content": []}


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


def servers() -> dict[str, Any]:
    return {
        "list": [add],
        "made": create_sdk_mcp_server("other name", tools=[greet]),
        "fast": FastMCP("fast"),
        "low": {"type": "sdk", "name": "low", "instance": Server("low"), "alwaysLoad": True},
        "remote": REMOTE,
        "command": {"command": "server", "args": []},
    }


def test_those_of_this_process_are_declared_by_name() -> None:
    assert declared_servers(servers()) == {
        "list": {"type": "sdk", "name": "list"},
        "made": {"type": "sdk", "name": "made"},
        "fast": {"type": "sdk", "name": "fast"},
        "low": {"type": "sdk", "name": "low", "alwaysLoad": True},
        "remote": REMOTE,
        "command": {"command": "server", "args": []},
    }


def test_and_hosted() -> None:
    local = local_servers(servers())
    assert {name: (server.name, server.instance.name) for name, server in local.items()} == {
        "list": ("list", "list"),
        "made": ("made", "other name"),
        "fast": ("fast", "fast"),
        "low": ("low", "low"),
    }
    assert all(isinstance(server.instance, Server) for server in local.values())


def test_their_tools_are_known_where_they_were_made_here() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    assert tool_definitions(servers()) == {
        "list": [{"name": "add", "description": "Add.", "inputSchema": SCHEMA}],
        "made": [{"name": "greet", "description": "Greet a user", "inputSchema": schema}],
    }


@pytest.mark.parametrize("given", [None, "servers.json", Path("servers.json"), {}])
def test_what_is_the_agents_own_affair_stays_as_it_is(given: Any) -> None:
    assert (declared_servers(given), local_servers(given), tool_definitions(given)) == (given, {}, {})


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"type": "sdk", "name": "s"}, "is of type 'sdk' and has no instance; see create_sdk_mcp_server"),
        (
            {"type": "sdk", "instance": 3},
            "is of type int; it takes a dict, a server of the `mcp` library or a list of tools",
        ),
        (3, "is of type int; it takes"),
        ("text", "is text; it takes"),
        ([add, add], "two tools are called 'add'; rename one of them"),
        ([3], "a tool needs a function with a name"),
    ],
)
def test_what_is_no_server_is_refused(entry: Any, told: str) -> None:
    with pytest.raises(InvalidOption) as failure:
        check_callbacks(Options(mcp_servers={"s": entry}))
    assert str(failure.value).startswith("mcp_servers['s']")
    assert told in str(failure.value)


def test_more_that_is_refused() -> None:
    with pytest.raises(InvalidOption, match="mcp_servers: '' is no server's name"):
        check_callbacks(Options(mcp_servers={"": REMOTE}))
    with pytest.raises(InvalidOption, match="an MCP server's name is some text, not ' '"):
        create_sdk_mcp_server(" ")
    with pytest.raises(InvalidOption, match="two tools are called 'greet'"):
        create_sdk_mcp_server("s", tools=[greet, greet])


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "mcp"]:
        monkeypatch.setitem(sys.modules, module, None)
    told = r"pip install 'triologue\[mcp\]'"
    with pytest.raises(InvalidOption, match=told):
        create_sdk_mcp_server("s")
    with pytest.raises(InvalidOption, match=told):
        check_callbacks(Options(mcp_servers={"s": [add]}))
    check_callbacks(Options(mcp_servers={"remote": REMOTE}))
    async with open_service(Options(mcp_servers={"remote": REMOTE})):
        pass


def test_with_another_version_of_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made_otherwise = ModuleType("mcp.server.lowlevel")
    made_otherwise.Server = type("Server", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mcp.server.lowlevel", made_otherwise)
    told = rf"need version 1 of the `mcp` library, and {version('mcp')} is installed: pip install 'triologue\[mcp\]'"
    with pytest.raises(InvalidOption, match=told):
        check_callbacks(Options(mcp_servers={"s": [add]}))


async def test_a_server_that_another_stood_in_for_is_back_when_that_is_removed() -> None:
    async def name_of(service: Service) -> str:
        who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": who}
        answer = await service.answer(McpMessage(server_name="low", message=asked))
        return str(answer["mcp_response"]["result"]["serverInfo"]["name"])

    async with open_service(Options(mcp_servers={"low": Server("first")})) as service:
        assert await name_of(service) == "first"
        assert service.add_servers(local_servers({"low": Server("second")})) == frozenset()
        assert await name_of(service) == "second"
        service.remove_servers({"low", "never added"})
        assert await name_of(service) == "first"
    service.add_servers(local_servers({"late": Server("late")}))  # whose agent is gone: without effect
    service.remove_servers({"late"})
