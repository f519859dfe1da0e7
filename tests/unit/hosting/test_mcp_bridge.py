"""The same servers in raw JSON-RPC: ids, cancelling, death and new life, and how it all ends."""

import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st
from mcp import types
from mcp.server.fastmcp import FastMCP
from mcp.server.lowlevel import Server
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.serving import open_service
from triologue.hosting import CallbackError, Service
from triologue.messages import McpMessage, McpToolCall
from triologue.options import Options

NOTED = {"jsonrpc": "2.0", "result": {}}


def asked(method: str, request_id: Any = 0, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def told(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def hello(request_id: Any = 0, version: str = "2025-11-25") -> dict[str, Any]:
    who = {"name": "claude-code", "version": "2"}
    return asked("initialize", request_id, protocolVersion=version, capabilities={}, clientInfo=who)


def call(name: str, request_id: Any = 0, **arguments: Any) -> dict[str, Any]:
    meta = {"claudecode/toolUseId": "toolu_1", "progressToken": 2}
    return asked("tools/call", request_id, name=name, arguments=arguments, _meta=meta)


def said(request_id: Any, text: str, *, is_error: bool = False) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"jsonrpc": "2.0", "id": request_id, "result": {"content": content, "isError": is_error}}


def failed(request_id: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


class Talk:
    """An agent's side of one server."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, message: dict[str, Any]) -> dict[str, Any]:
        answer = await self.service.answer(McpMessage(server_name="s", message=message))
        reply: dict[str, Any] = answer["mcp_response"]
        return reply


@asynccontextmanager
async def hosted(entry: Any) -> AsyncGenerator[Talk]:
    """A server under the name `s`, after its handshake."""
    async with open_service(Options(mcp_servers={"s": entry})) as service:
        talk = Talk(service)
        assert (await talk(hello()))["result"]["serverInfo"]["name"]
        assert await talk(told("notifications/initialized")) == NOTED
        yield talk


class Hanging:
    """A tool that waits, and what became of it."""

    def __init__(self) -> None:
        self.started, self.ended = 0, 0

    async def hang(self) -> None:
        self.started += 1
        try:
            await trio.sleep_forever()
        finally:
            self.ended += 1


async def echo(text: str) -> str:
    return text


async def test_every_handshake_is_answered() -> None:
    async with hosted([echo]) as talk:
        for version, granted in (("2024-11-05", "2024-11-05"), ("1999-01-01", types.LATEST_PROTOCOL_VERSION)):
            reply = await talk(hello("again", version))
            assert (reply["id"], reply["result"]["protocolVersion"]) == ("again", granted)
            assert reply["result"]["capabilities"] == {"experimental": {}, "tools": {"listChanged": False}}
            assert await talk(call("echo", text="x")) == said(0, "x")


@given(st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=30))
@settings(max_examples=30, deadline=None)
def test_each_answer_has_the_id_of_its_question(ids: list[str | int]) -> None:
    answers: list[tuple[str | int, Any]] = []

    async def main() -> None:
        async with hosted([echo]) as talk:

            async def ask(request_id: str | int, text: str) -> None:
                assert await talk(call("echo", request_id, text=text)) == said(request_id, text)
                answers.append((request_id, text))

            async with trio.open_nursery() as nursery:
                for number, request_id in enumerate(ids):
                    nursery.start_soon(ask, request_id, str(number))

    trio.run(main)
    assert sorted(answers, key=lambda each: int(each[1])) == [(each, str(n)) for n, each in enumerate(ids)]


async def test_a_notification_cancels_the_calls_of_its_id() -> None:
    tool = Hanging()
    async with hosted([tool.hang, echo]) as talk, trio.open_nursery() as nursery:
        replies: list[Any] = []

        async def ask(request_id: Any) -> None:
            replies.append(await talk(call("hang", request_id)))

        for request_id in (7, "7", "other"):
            nursery.start_soon(ask, request_id)
        await wait_all_tasks_blocked()
        assert await talk(told("notifications/cancelled", requestId=7, reason="remote-cancel")) == NOTED
        await wait_all_tasks_blocked()
        assert (replies, tool.ended) == ([failed(7, 0, "Request cancelled")], 1)
        assert await talk(told("notifications/cancelled", requestId=7)) == NOTED
        assert await talk(told("notifications/cancelled")) == NOTED
        assert await talk(call("echo", 7, text="still here")) == said(7, "still here")
        nursery.cancel_scope.cancel()


async def test_a_withdrawn_request_cancels_its_call_and_nothing_else() -> None:
    tool = Hanging()
    async with hosted([tool.hang, echo]) as talk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, call("hang", 1))
            with trio.CancelScope() as withdrawn:
                nursery.start_soon(_cancel_when_blocked, withdrawn)
                await talk(call("hang", 1))
            await wait_all_tasks_blocked()
            assert withdrawn.cancelled_caught
            assert (tool.started, tool.ended) == (2, 1)
            assert await talk(call("echo", 1, text="x")) == said(1, "x")
            nursery.cancel_scope.cancel()


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_handler_that_ignores_its_cancelling_harms_nobody() -> None:
    async def stubborn() -> str:
        try:
            await trio.sleep(3600)
        except trio.Cancelled:
            return "never mind"
        return "woken"

    async with hosted([stubborn, echo]) as talk, trio.open_nursery() as nursery:

        async def ask() -> None:
            assert await talk(call("stubborn", 1)) in (said(1, "never mind"), failed(1, 0, "Request cancelled"))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await talk(told("notifications/cancelled", requestId=1))
        await wait_all_tasks_blocked()
        assert await talk(call("echo", text="alive")) == said(0, "alive")


async def test_a_dead_server_is_an_error_until_it_is_started_anew() -> None:
    runs = 0

    @asynccontextmanager
    async def lifespan(server: Any) -> AsyncGenerator[dict[str, Any]]:
        nonlocal runs
        runs += 1
        async with trio.open_nursery() as nursery:
            yield {"nursery": nursery}
            nursery.cancel_scope.cancel()

    server: Server[Any, Any] = Server("fragile", lifespan=lifespan)

    async def die() -> None:
        raise RuntimeError("the database is gone")

    @server.call_tool()  # type: ignore[untyped-decorator]
    async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        if name == "die":
            server.request_context.lifespan_context["nursery"].start_soon(die)
            await trio.sleep_forever()
        return [types.TextContent(type="text", text="fine")]

    async with hosted(server) as talk:
        stopped = "MCP server 's' does not run any more: the database is gone"
        assert await talk(call("die", "x")) == failed("x", -32000, stopped)
        assert await talk(call("echo", 2)) == failed(2, -32000, stopped)
        assert await talk(told("notifications/initialized")) == NOTED
        assert runs == 1
        assert "result" in await talk(hello(3))
        assert await talk(call("echo", 4)) == said(4, "fine")
        assert runs == 2


async def test_what_is_no_request_is_refused() -> None:
    refused = "this is no JSON-RPC 2.0 request"
    async with hosted([echo]) as talk:
        assert await talk({"id": 1, "method": "ping"}) == failed(1, -32600, refused)
        assert await talk({"jsonrpc": "2.0", "id": 1, "method": 3}) == failed(1, -32600, refused)
        assert await talk({"jsonrpc": "2.0", "id": None, "method": "ping"}) == failed(
            None, -32600, "a request's id is a text or a whole number"
        )
        assert await talk({"jsonrpc": "2.0", "method": 3}) == NOTED
        assert await talk({"jsonrpc": "2.0", "id": 9, "result": {}}) == NOTED
        assert (await talk(asked("tools/unheard_of")))["error"]["code"] == -32602
        assert await talk(asked("ping", "p")) == {"jsonrpc": "2.0", "id": "p", "result": {}}


async def test_nobody_is_home() -> None:
    for servers in ({}, {"other": [echo]}):
        async with open_service(Options(mcp_servers=servers)) as service:
            assert await Talk(service)(hello(1)) == failed(1, -32601, "there is no MCP server 's' here")


async def test_cortex_calls_tools_without_a_handshake() -> None:
    tool = Hanging()
    async with open_service(Options(mcp_servers={"s": [echo, tool.hang]})) as service:

        async def use(name: str, server: str = "s", **arguments: Any) -> Any:
            return await service.answer(McpToolCall(server_name=server, tool_name=name, arguments=arguments))

        assert await use("echo", text="x") == {"result": {"content": [{"type": "text", "text": "x"}], "isError": False}}
        assert (await use("gone"))["result"]["isError"] is True
        with pytest.raises(CallbackError, match="there is no MCP server 'other' here"):
            await use("echo", server="other")
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_blocked, scope)
                await use("hang")
        await wait_all_tasks_blocked()
        assert (tool.started, tool.ended) == (1, 1)
        assert "result" in await Talk(service)(hello())
    async with open_service(Options()) as service:
        with pytest.raises(CallbackError, match="there is no MCP server 's' here"):
            await service.answer(McpToolCall(server_name="s", tool_name="echo", arguments={}))


class Lifespan:
    """What a server does when it begins and ends."""

    def __init__(self, teardown: float) -> None:
        self.log: list[str] = []
        self.teardown = teardown

    @asynccontextmanager
    async def __call__(self, server: Any) -> AsyncGenerator[None]:
        self.log.append("begins")
        try:
            yield
        finally:
            await trio.sleep(self.teardown)
            self.log.append("ended")


async def test_leaving_cancels_what_runs_and_lets_the_server_clean_up(autojump_clock: MockClock) -> None:
    tool, lifespan = Hanging(), Lifespan(teardown=3)
    server = FastMCP("s", lifespan=lifespan)
    server.add_tool(tool.hang)
    with trio.CancelScope() as outside:
        async with hosted(server) as talk, trio.open_nursery() as nursery:
            nursery.start_soon(talk, call("hang"))
            await wait_all_tasks_blocked()
            outside.cancel()
    assert outside.cancelled_caught
    assert (tool.started, tool.ended, lifespan.log) == (1, 1, ["begins", "ended"])
    assert trio.current_time() < 5


async def test_clean_up_has_five_seconds(autojump_clock: MockClock) -> None:
    lifespan = Lifespan(teardown=60)
    begun = trio.current_time()
    async with hosted(FastMCP("s", lifespan=lifespan)):
        pass
    assert (trio.current_time() - begun, lifespan.log) == (5, ["begins"])


async def test_a_session_without_words_starts_no_server_and_its_errors_come_through() -> None:
    lifespan = Lifespan(teardown=0)
    with pytest.raises(ZeroDivisionError):
        async with open_service(Options(mcp_servers={"s": FastMCP("s", lifespan=lifespan)})):
            raise ZeroDivisionError
    assert lifespan.log == []


async def test_calls_side_by_side_leave_warnings_alone() -> None:
    first, second = trio.Event(), trio.Event()

    async def wait(number: int) -> None:
        await (first if number == 1 else second).wait()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with hosted([wait]) as talk, trio.open_nursery() as nursery:
            for number in (1, 2):
                nursery.start_soon(talk, call("wait", number=number))
                await wait_all_tasks_blocked()
            for event in (first, second):
                event.set()
                await wait_all_tasks_blocked()
        warnings.warn("am I seen?", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["am I seen?"]


async def test_one_server_serves_many_connections() -> None:
    server = FastMCP("shared")
    server.add_tool(echo)
    async with hosted(server) as one, hosted(server) as other:
        assert await one(call("echo", text="1")) == {
            **said(0, "1"),
            "result": {
                "content": [{"type": "text", "text": "1"}],
                "structuredContent": {"result": "1"},
                "isError": False,
            },
        }
        assert (await other(call("echo", "b", text="2")))["id"] == "b"
