"""In-process MCP servers of the real Claude Code: switched, added while it runs, searched, one for each conversation."""

import json
from typing import TypeGuard

import pytest
import trio

import triologue as tri
from tests.support.live import call, open_live_manager, read_story, tap
from tests.support.real_cli import CleanPlace
from triologue.messages import AnyRequest, McpMessage, McpSetServersResult

pytestmark = pytest.mark.real_cli

SAY = "[[results]][[say , on]]"
# Claude Code puts the tools of MCP servers behind a search of its own, and adds to errors how that is used.
ALL_SHOWN = {"ENABLE_TOOL_SEARCH": "false"}


async def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hi {name}"


async def wave(hand: str) -> str:
    """Wave a hand."""
    return f"waved {hand}"


@pytest.mark.slow
async def test_a_server_is_switched_off_and_on_and_connected_again(place: CleanPlace) -> None:
    options = tri.Options(
        mcp_servers={"desk": [greet], "hall": [wave]}, allowed_tools=["mcp__desk", "mcp__hall"], env=ALL_SHOWN
    )
    greets = call("mcp__desk__greet", name="Ada") + SAY

    def shown() -> list[str]:
        names = [tool["name"] for tool in place.api.turns[-1].body["tools"]]
        return [name for name in names if name.startswith("mcp__")]

    line = tap(place)
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")

        async def states() -> dict[str, str]:
            return {each.name: each.status for each in (await session.get_mcp_status()).mcp_servers}

        assert (await session.ask(greets)).result == "Hi Ada, on"
        await session.toggle_mcp_server("desk", False)
        assert await states() == {"desk": "disabled", "hall": "connected"}
        gone = (await session.ask(greets)).result or ""
        assert "No such tool available: mcp__desk__greet" in gone
        assert shown() == ["mcp__hall__wave"]
        await session.toggle_mcp_server("desk", True)
        # It has no other way to connect again one that lives in its host.
        with pytest.raises(tri.AgentProtocolError, match="the agent refused: SDK servers should be handled"):
            await session.reconnect_mcp_server("hall")
        assert await states() == {"desk": "connected", "hall": "connected"}
        assert (await session.ask(greets)).result == "Hi Ada, on"
        assert sorted(shown()) == ["mcp__desk__greet", "mcp__hall__wave"]
        greeted = [request.server_name for _, request in line.asked if is_greeting(request)]
        # Switching one on greets all of them anew.
        assert sorted(greeted) == ["desk", "desk", "hall", "hall"]
        assert line.unanswered() == []


@pytest.mark.slow
async def test_a_server_is_added_to_an_agent_that_runs(place: CleanPlace) -> None:
    options = tri.Options(mcp_servers={"desk": [greet]}, allowed_tools=["mcp__desk", "mcp__more"])
    script = call("mcp__desk__greet", name="Ada") + call("mcp__more__wave", hand="left") + "[[say on]]"
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        await session.ask("[[say hi]]")
        assert await session.set_mcp_servers({"more": [wave]}) == McpSetServersResult(added=["more"])
        story = await read_story(await session.send(script))
        assert [(name, text.split("\n")[0]) for name, text, _ in story.results] == [
            ("mcp__desk__greet", "Hi Ada"),
            ("mcp__more__wave", "waved left"),
        ]
        assert await session.set_mcp_servers({}) == McpSetServersResult(removed=["more"])
        story = await read_story(await session.send(script))
        assert story.results[1][1] == "<tool_use_error>Error: No such tool available: mcp__more__wave</tool_use_error>"


@pytest.mark.slow
async def test_a_call_goes_on_while_servers_are_switched(place: CleanPlace) -> None:
    begun, go_on = trio.Event(), trio.Event()

    async def wait() -> str:
        """Wait until told to go on."""
        begun.set()
        await go_on.wait()
        return "went on"

    options = tri.Options(mcp_servers={"desk": [greet], "hall": [wait]}, allowed_tools=["mcp__desk", "mcp__hall"])
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        turn = await session.send(call("mcp__hall__wait") + call("mcp__desk__greet", name="Ada") + SAY)
        await begun.wait()
        await session.toggle_mcp_server("desk", False)
        await session.toggle_mcp_server("desk", True)
        assert [each.status for each in (await session.get_mcp_status()).mcp_servers] == ["connected"] * 2
        go_on.set()
        assert (await turn.wait()).unwrap().result == "went on | Hi Ada, on"


def is_greeting(request: AnyRequest) -> TypeGuard[McpMessage]:
    """Is this an MCP server's handshake?"""
    return isinstance(request, McpMessage) and request.message.get("method") == "initialize"


@pytest.mark.slow
async def test_tools_wait_behind_a_search_unless_one_asks_for_them(place: CleanPlace) -> None:
    options = tri.Options(mcp_servers={"desk": [greet]}, allowed_tools=["mcp__desk"])
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        turn = await session.send(call("ToolSearch", query="select:mcp__desk__greet") + "[[say found]]")
        story = await read_story(turn)
        (init,) = [message async for message in turn if isinstance(message, tri.InitMessage)]
    assert "mcp__desk__greet" in (init.tools or [])
    assert story.said == "found"
    first, second = place.api.turns
    assert "mcp__desk__greet" in json.dumps(first.body["messages"])
    assert "Greet somebody" not in json.dumps(first.body["tools"])
    assert "mcp__desk__greet" in json.dumps(second.body["messages"][-2:])


@pytest.mark.slow
async def test_a_tool_may_use_another_session_and_each_conversation_has_a_server_of_its_own(place: CleanPlace) -> None:
    async with open_live_manager(place) as manager:

        @tri.tool
        async def consult(whom: str, question: str) -> str:
            """Ask another one."""
            return (await manager.session(whom).ask(f"[[say {question} to {whom}]]")).result or ""

        options = tri.Options(mcp_servers={"desk": [consult]}, allowed_tools=["mcp__desk"])
        answers: dict[int, str | None] = {}

        async def ask(number: int) -> None:
            script = call("mcp__desk__consult", whom=f"other {number}", question=f"question {number}")
            answers[number] = (await manager.session(f"{number}", options=options).ask(script + SAY)).result

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ask, number)
    assert answers == {number: f"question {number} to other {number}, on" for number in range(3)}


@pytest.mark.slow
async def test_a_server_of_the_official_library(place: CleanPlace) -> None:
    from mcp.server.fastmcp import FastMCP

    notes = FastMCP("notes")

    @notes.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @notes.resource("note://today")
    def today() -> str:
        return "buy milk"

    options = tri.Options(mcp_servers={"notes": notes}, allowed_tools=["mcp__notes", "ReadMcpResourceTool"])
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        added = await session.ask(call("mcp__notes__add", a=1, b=2) + SAY)
        read = await session.ask(call("ReadMcpResourceTool", server="notes", uri="note://today") + SAY)
    assert json.loads((added.result or "").removesuffix(", on")) == {"result": 3}
    assert "buy milk" in (read.result or "")
