"""MCP servers of the host: handshake, calls, and what becomes of one that fails."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import open_engine
from triologue.messages import (
    CanUseTool,
    ControlRequest,
    ControlResponse,
    Initialize,
    InitMessage,
    Interrupt,
    McpMessage,
    McpReconnect,
    McpSetServers,
    McpStatus,
    McpToggle,
    McpToolCall,
    Message,
)

CALC: dict[str, Any] = {"calc": {"type": "sdk", "name": "calc"}}
TOOLS = [
    {
        "name": "add",
        "description": "Add two numbers",
        "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        "annotations": {"readOnlyHint": True, "title": "Add"},
    },
    {"name": "show"},
    "no tool",
]


def calculator(request: Any) -> Any:
    """A host with the server `calc`, which allows everything."""
    if not isinstance(request, McpMessage):
        return {"behavior": "allow"}
    message = request.message
    match message["method"], message.get("params"):
        case "initialize", _:
            result: Any = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "x", "version": "1"}}
        case "tools/list", None:
            result = {"tools": TOOLS[:1], "nextCursor": "2"}
        case "tools/list", {"cursor": "2"}:
            result = {"tools": TOOLS[1:]}
        case "tools/call", {"name": "add", "arguments": {"a": 99}}:
            return None
        case "tools/call", {"name": "add", "arguments": {"a": 98}}:
            result = {"content": [{"type": "text", "text": "boom"}], "isError": True}
        case "tools/call", {"name": "add", "arguments": {"a": 97}}:
            return {"mcp_response": {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -1, "message": "bad"}}}
        case "tools/call", {"name": "add", "arguments": {"a": 96}}:
            return {}
        case "tools/call", {"name": "add", "arguments": {"a": 95}}:
            return "the server raised"
        case "tools/call", {"name": "add", "arguments": {"a": a, "b": b}}:
            result = {"content": [{"type": "text", "text": str(a + b)}], "structuredContent": {"sum": a + b}}
        case "tools/call", {"name": "show"}:
            result = {
                "content": [
                    {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                    {"type": "resource_link", "name": "x", "uri": "file:///x"},
                    {"type": "resource", "resource": {"uri": "file:///y", "text": "y"}},
                    {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
                ]
            }
        case _:
            result = {}
    return {"mcp_response": {"jsonrpc": "2.0", "id": message.get("id"), "result": result}}


def inits(said: list[Message]) -> list[tuple[list[Any] | None, list[str] | None]]:
    return [(message.mcp_servers, message.tools) for message in said if isinstance(message, InitMessage)]


async def test_the_tools_of_the_host_are_called(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator, permission_prompt_tool_name="stdio") as host:
        host.send(host.request(Initialize()), host.prompt("Call mcp__calc__add(a=1, b=2)"))
        await trio.sleep(1)
    assert host.story[1:] == [
        "? calc initialize",
        "? calc notifications/initialized",
        "? calc tools/list",
        "? calc tools/list",
        "init",
        "assistant: I will use mcp__calc__add.",
        "assistant: mcp__calc__add{'a': 1, 'b': 2}",
        "? may mcp__calc__add{'a': 1, 'b': 2}",
        "? calc tools/call",
        "user: gives [{'type': 'text', 'text': '3'}]",
        "assistant: The tool mcp__calc__add says: 3.",
        "result: success completed The tool mcp__calc__add says: 3.",
    ]
    assert inits(host.said) == [
        ([{"name": "calc", "status": "connected"}], ["mcp__calc__add", "mcp__calc__show"]),
    ]
    assert [request.message for request in host.asked(McpMessage)][-1] == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "add", "arguments": {"a": 1, "b": 2}},
    }
    assert [request.display_name for request in host.asked(CanUseTool)] == ["Add"]
    (result,) = [message for message in host.said if message.data.get("tool_use_result")]
    assert result.data["tool_use_result"] == {"sum": 3}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (98, "boom"),
        (97, "bad"),
        (96, "the MCP server 'calc' answered tools/call with None"),
        (95, "the server raised"),
    ],
)
async def test_a_call_that_fails_is_an_error_result(number: int, said: str, autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator, allowed_tools=["mcp__calc"]) as host:
        host.send(host.prompt(f"Call mcp__calc__add(a={number}, b=2)"))
        await trio.sleep(1)
    assert f"user: error {said}" in host.story


async def test_content_of_every_kind_reaches_the_model(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator, allowed_tools=["mcp__calc__*"]) as host:
        host.send(host.prompt("Call mcp__calc__show()"))
        await trio.sleep(1)
    (frame,) = [message for message in host.said if message.data.get("tool_use_result")]
    assert frame.data["message"]["content"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "text", "text": "[Resource x: file:///x]"},
        {"type": "text", "text": "y"},
        {"type": "text", "text": "[audio that cannot be shown]"},
    ]


async def test_without_permission_a_tool_of_the_host_does_not_run(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator) as host:
        host.send(host.prompt("Call mcp__calc__add(a=1, b=2)"))
        await trio.sleep(1)
    assert "permission_denied" in host.story
    assert "? calc tools/call" not in host.story


async def test_calls_that_only_read_run_at_once(autojump_clock: MockClock) -> None:
    def reply(request: Any) -> Any:
        if isinstance(request, McpMessage) and request.message["method"] == "tools/call":
            return None
        return calculator(request)

    prompt = " and ".join(f"call mcp__calc__add(a={number}, b=0)" for number in range(50))
    async with open_engine(mcp_servers=CALC, reply=reply, allowed_tools=["mcp__calc__add"]) as host:
        host.send(host.prompt(prompt))
        await trio.sleep(1)
        calls = {
            message.request_id: message.request.message
            for message in host.said
            if isinstance(message, ControlRequest)
            and isinstance(message.request, McpMessage)
            and message.request.message["method"] == "tools/call"
        }
        assert len(calls) == 50
        for request_id in reversed(list(calls)):
            text = str(calls[request_id]["params"]["arguments"]["a"])
            response = {"jsonrpc": "2.0", "id": 0, "result": {"content": [{"type": "text", "text": text}]}}
            host.answer(request_id, {"mcp_response": response})
        await trio.sleep(1)
    results = [line for line in host.story if line.startswith("user: gives")]
    assert sorted(results) == sorted(f"user: gives [{{'type': 'text', 'text': '{n}'}}]" for n in range(50))
    assert host.results[0].subtype == "success"


async def test_an_interrupt_cancels_a_call_over_there(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator, allowed_tools=["mcp__calc__add"]) as host:
        host.send(host.prompt("Call mcp__calc__add(a=99, b=2)"))
        await trio.sleep(1)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
        host.send(host.prompt("Call mcp__calc__add(a=1, b=2)"))
        await trio.sleep(1)
    story = host.story[host.story.index("? calc tools/call") :]
    assert story[1:5] == [
        "withdrawn",
        "r1: {'still_queued': []}",
        "? calc notifications/cancelled",
        "user: error The user stopped this tool call. It may have taken effect in part or in full.",
    ]
    cancelled = [request.message for request in host.asked(McpMessage) if "cancelled" in request.message["method"]]
    assert [message["params"]["requestId"] for message in cancelled] == [3]
    assert host.results[1].result == "The tool mcp__calc__add says: 3."


async def test_a_dead_server_delays_the_first_turn_and_no_other(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers={**CALC, "far": {"type": "http", "url": "http://x"}}) as host:
        host.send(host.prompt("Say one"), host.prompt("Say two"))
        await trio.sleep(29)
        assert host.results == []
        await trio.sleep(2)
        assert len(host.results) == 2
        host.send(host.request(McpStatus()))
    assert inits(host.said)[0][0] == [{"name": "calc", "status": "failed"}, {"name": "far", "status": "failed"}]
    (status,) = [message for message in host.said if isinstance(message, ControlResponse)]
    states = status.data["response"]["response"]["mcpServers"]
    assert [(each["name"], each["error"]) for each in states] == [
        ("calc", "no answer within 30 seconds"),
        ("far", "this agent has no MCP client: only servers that live in the host are reached"),
    ]


async def test_an_interrupt_ends_the_wait_for_a_handshake_and_leaves_the_handshake_alone(
    autojump_clock: MockClock,
) -> None:
    async with open_engine(mcp_servers=CALC) as host:
        host.send(host.prompt("Say one"))
        await trio.sleep(1)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
        assert len(host.results) == 1
        assert "withdrawn" not in host.story


async def test_servers_are_switched_connected_again_and_replaced(autojump_clock: MockClock) -> None:
    async with open_engine(mcp_servers=CALC, reply=calculator) as host:

        async def ask(request: Any) -> Any:
            host.send(host.request(request))
            await trio.sleep(1)
            (*_, last) = [message for message in host.said if isinstance(message, ControlResponse)]
            response = last.data["response"]
            return response.get("error") or response.get("response")

        host.send(host.prompt("Say hi"))
        await trio.sleep(1)
        for name, request in (
            ("off", McpToggle(server_name="calc", enabled=False)),
            ("on", McpToggle(server_name="calc", enabled=True)),
        ):
            assert await ask(request) == {}, name
            host.send(host.prompt("Say hi"))
            await trio.sleep(1)
        assert await ask(McpReconnect(server_name="calc")) == {}
        for unknown in (McpReconnect(server_name="x"), McpToggle(server_name="x", enabled=False)):
            assert await ask(unknown) == "Server not found: x"
        more = {"other": {"type": "sdk", "name": "other"}, "far": {"command": "x"}}
        assert await ask(McpSetServers(servers=more)) == {
            "added": ["other", "far"],
            "removed": ["calc"],
            "errors": {"far": "this agent has no MCP client: only servers that live in the host are reached"},
        }
        (state, _) = (await ask(McpStatus()))["mcpServers"]
        host.send(host.prompt("Say hi"))
        await trio.sleep(1)
    assert state == {
        "name": "other",
        "status": "connected",
        "config": {"type": "sdk", "name": "other"},
        "scope": "dynamic",
        "serverInfo": {"name": "x", "version": "1"},
        "tools": [{"name": "add", "description": "Add two numbers"}, {"name": "show", "description": ""}],
    }
    assert [tools for _, tools in inits(host.said)] == [
        ["mcp__calc__add", "mcp__calc__show"],
        [],
        ["mcp__calc__add", "mcp__calc__show"],
        ["mcp__other__add", "mcp__other__show"],
    ]


@pytest.mark.parametrize("flags", [{}, CALC], ids=["alone", "beside the flags"])
async def test_initialize_may_declare_servers_and_their_tools(flags: dict[str, Any], autojump_clock: MockClock) -> None:
    def reply(request: Any) -> Any:
        if isinstance(request, McpToolCall):
            return {"result": {"content": [{"type": "text", "text": str(request.arguments)}]}}
        return None

    declared = Initialize(
        sdk_mcp_servers=["calc"],
        mcp_servers=CALC,
        sdk_mcp_tool_definitions={"calc": [{"name": "add", "description": "", "inputSchema": {"type": "object"}}]},
    )
    async with open_engine(reply=reply, mcp_servers=flags, allowed_tools=["mcp__calc__add"]) as host:
        host.send(host.request(declared), host.prompt("Call mcp__calc__add(a=1)"))
        await trio.sleep(1)
    assert host.asked(McpToolCall) == [
        McpToolCall(server_name="calc", tool_name="add", arguments={"a": 1}, tool_use_id="toolu_1")
    ]
    assert (host.asked(McpMessage), host.results[0].result) == ([], "The tool mcp__calc__add says: {'a': 1}.")


@pytest.mark.parametrize(
    "result",
    [
        {"tools": 5},
        {"tools": [{"name": "t", "annotations": 3, "inputSchema": 4}], "content": 5},
        {"tools": [{"name": "t"}], "content": ["x", {"type": 3}, {"type": "text"}]},
    ],
)
async def test_a_server_that_talks_nonsense_harms_nobody(result: Any, autojump_clock: MockClock) -> None:
    def reply(request: Any) -> Any:
        return {"mcp_response": {"result": result}}

    async with open_engine(mcp_servers=CALC, reply=reply, allowed_tools=["mcp__calc"]) as host:
        host.send(host.prompt("Call mcp__calc__t()"))
        await trio.sleep(1)
    assert [message.is_error for message in host.results] == [False]
