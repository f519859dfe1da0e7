"""MCP servers in this process, driven by the official client as an agent would: JSON-RPC in control requests."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
import trio
from mcp import types
from mcp.client.session import ClientSession
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import McpError
from mcp.shared.message import SessionMessage
from pydantic import AnyUrl

from tests.support.serving import open_service
from triologue.hosting import Service, create_sdk_mcp_server
from triologue.messages import McpMessage
from triologue.options import Options
from triologue.tools import tool

NOTED = {"jsonrpc": "2.0", "result": {}}


async def tell(service: Service, server: str, message: dict[str, Any]) -> dict[str, Any]:
    answer = await service.answer(McpMessage(server_name=server, message=message))
    assert list(answer) == ["mcp_response"]
    reply: dict[str, Any] = answer["mcp_response"]
    return reply


@asynccontextmanager
async def client(service: Service, server: str) -> AsyncGenerator[ClientSession]:
    """The official client, whose every message goes through a control request of its own."""
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](100)
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage](100)

    async def carry(message: dict[str, Any]) -> None:
        reply = await tell(service, server, message)
        if "id" in message:
            await to_client.send(SessionMessage(types.JSONRPCMessage.model_validate(reply)))
        else:
            assert reply == NOTED

    async def pump() -> None:
        async for item in from_client:
            nursery.start_soon(carry, item.message.model_dump(by_alias=True, mode="json", exclude_none=True))

    async with to_client, from_server, to_server, from_client, trio.open_nursery() as nursery:
        nursery.start_soon(pump)
        async with ClientSession(from_server, to_server) as session:
            await session.initialize()
            yield session
        nursery.cancel_scope.cancel()


def texts(result: types.CallToolResult) -> tuple[bool, list[str]]:
    return result.isError, [block.text for block in result.content if isinstance(block, types.TextContent)]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def whole(name: str) -> dict[str, Any]:
    """Give an object."""
    return {"name": name}


def broken() -> None:
    """Fail."""
    raise RuntimeError("it is broken")


async def test_functions_are_listed_and_called() -> None:
    async with open_service(Options(mcp_servers={"calc": [add, whole, broken]})) as service:
        async with client(service, "calc") as agent:
            listed = await agent.list_tools()
            assert [(each.name, each.description) for each in listed.tools] == [
                ("add", "Add two numbers."),
                ("whole", "Give an object."),
                ("broken", "Fail."),
            ]
            assert listed.tools[0].inputSchema["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}
            assert texts(await agent.call_tool("add", {"a": 1, "b": 2})) == (False, ["3"])
            assert texts(await agent.call_tool("broken")) == (True, ["it is broken"])
            assert texts(await agent.call_tool("add", {"a": 1})) == (True, ["Object missing required field `b`"])
            assert texts(await agent.call_tool("gone")) == (
                True,
                ["there is no tool 'gone'; there are: 'add', 'whole', 'broken'"],
            )
            result = await agent.call_tool("whole", {"name": "Ada"})
            assert (texts(result), result.structuredContent) == ((False, ['{"name":"Ada"}']), {"name": "Ada"})
            with pytest.raises(McpError, match="Method not found"):
                await agent.list_prompts()


async def test_the_vendors_form_and_hints() -> None:
    @tool("greet", "Greet a user", {"name": str}, annotations=types.ToolAnnotations(readOnlyHint=True))
    async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": f"Hi {arguments['name']}"}], "is_error": arguments["name"] == ""}

    @tool(annotations={"maxResultSizeChars": 500_000})
    async def big() -> list[int]:
        return [1]

    config = create_sdk_mcp_server("people", version="2.0.0", tools=[greet, big])
    assert (config["type"], config["name"], isinstance(config["instance"], Server)) == ("sdk", "people", True)
    async with open_service(Options(mcp_servers={"p": config})) as service, client(service, "p") as agent:
        tools = (await agent.list_tools()).tools
        assert tools[0].annotations == types.ToolAnnotations(readOnlyHint=True)
        assert tools[1].meta == {"anthropic/maxResultSizeChars": 500_000}
        assert texts(await agent.call_tool("greet", {"name": "Ada"})) == (False, ["Hi Ada"])
        assert texts(await agent.call_tool("greet", {"name": ""})) == (True, ["Hi "])
        assert texts(await agent.call_tool("greet", {})) == (True, ["Object missing required field `name`"])
        assert texts(await agent.call_tool("big")) == (False, ["[1]"])


async def test_a_server_of_ones_own_has_all_methods() -> None:
    server = FastMCP("own", instructions="Be kind.")

    @server.resource("note://one")
    def note() -> str:
        return "a note"

    @server.prompt()
    def greeting(name: str) -> str:
        return f"Greet {name}"

    @server.completion()  # type: ignore[no-untyped-call,untyped-decorator]
    async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
        return types.Completion(values=["Ada"])

    @server._mcp_server.set_logging_level()  # type: ignore[no-untyped-call,untyped-decorator]
    async def set_level(level: str) -> None:
        return None

    async with open_service(Options(mcp_servers={"own": server})) as service, client(service, "own") as agent:
        uri = AnyUrl("note://one")
        assert [each.name for each in (await agent.list_resources()).resources] == ["note"]
        assert (await agent.read_resource(uri)).contents == [
            types.TextResourceContents(uri=uri, mimeType="text/plain", text="a note")
        ]
        prompt = await agent.get_prompt("greeting", {"name": "Ada"})
        assert prompt.messages[0].content == types.TextContent(type="text", text="Greet Ada")
        completed = await agent.complete(
            types.PromptReference(type="ref/prompt", name="greeting"), {"name": "name", "value": "A"}
        )
        assert completed.completion.values == ["Ada"]
        await agent.set_logging_level("debug")
        await agent.send_ping()
        await agent.send_progress_notification(1, 0.5)


async def test_what_a_server_asks_of_the_agent_is_refused_and_what_it_tells_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = FastMCP("nosy")

    @server.tool()
    async def nosy(context: Context[Any, Any, Any]) -> str:
        await context.info("hello")
        await context.report_progress(1, 2)
        await context.session.send_ping()
        try:
            await context.session.list_roots()
        except McpError as error:
            return f"{error.error.code} {error.error.message}"
        return "answered"

    with caplog.at_level(logging.DEBUG, "triologue"):
        async with open_service(Options(mcp_servers={"nosy": server})) as service, client(service, "nosy") as agent:
            assert texts(await agent.call_tool("nosy")) == (False, ["-32601 the agent cannot be asked for roots/list"])
    assert "MCP server 'nosy' sent notifications/message, which has no way to the agent" in caplog.messages


async def test_a_server_that_is_started_again_and_again_and_fails_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def connect() -> dict[str, Any]:
        raise ConnectionRefusedError("no database")

    @asynccontextmanager
    async def lifespan(server: Any) -> AsyncGenerator[dict[str, Any]]:
        yield connect()

    who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": who}
    async with open_service(Options(mcp_servers={"s": Server("fragile", lifespan=lifespan)})) as service:
        for _ in range(150):
            assert "no database" in (await tell(service, "s", hello))["error"]["message"]
    line = "MCP server 's' failed: no database"
    assert caplog.messages == [line] * 10 + [f"{line} (100 by now)"]


async def test_fifty_calls_at_once() -> None:
    both, running = trio.Event(), 0

    async def meet(number: int) -> int:
        nonlocal running
        running += 1
        if running == 50:
            both.set()
        await both.wait()
        return number

    results: dict[int, Any] = {}
    async with open_service(Options(mcp_servers={"s": [meet]})) as service, client(service, "s") as agent:

        async def call(number: int) -> None:
            results[number] = texts(await agent.call_tool("meet", {"number": number}))

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(call, number)
    assert results == {number: (False, [str(number)]) for number in range(50)}


async def test_the_client_of_the_library_gives_up() -> None:
    """Its time-out leaves the call running here; the next one is answered."""
    cancelled = trio.Event()

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_service(Options(mcp_servers={"s": [hang, add]})) as service:
        async with client(service, "s") as agent:
            with pytest.raises(McpError, match="Timed out"):
                await agent.call_tool("hang", read_timeout_seconds=timedelta(milliseconds=1))
            assert texts(await agent.call_tool("add", {"a": 1, "b": 1})) == (False, ["2"])
            assert not cancelled.is_set()
    assert cancelled.is_set()
