"""`claude_agent_sdk` on our agent: tools of the host and control requests."""

import base64
from typing import Any

import pytest
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeSDKClient,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    create_sdk_mcp_server,
    tool,
)

from tests.foreign.claude_stage import (
    SUITE,
    answer,
    options,
    result,
    scripted,
    tool_results,
    turn,
    use,
    writes,
)
from tests.foreign.table import Place

PICTURE = base64.b64encode(b"\x89PNG, or so").decode()


@tool("add", "Add two numbers", {"a": int, "b": int})
async def add(given: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": str(given["a"] + given["b"])}]}


@tool("greet", "Greet somebody", {"name": str})
async def greet(given: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"Hello, {given['name']}!"}]}


@tool("crash", "Raise", {})
async def crash(given: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("the tool is broken")


@tool("refuse", "Give an error", {})
async def refuse(given: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "I would rather not"}], "is_error": True}


@tool("draw", "Give a picture", {})
async def draw(given: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]}


def with_tools(place: Place, *rules: dict[str, Any]) -> Any:
    server = create_sdk_mcp_server("lab", version="1.2.3", tools=[add, greet, crash, refuse, draw])
    return scripted(place, *rules, mcp_servers={"lab": server}, allowed_tools=["mcp__lab"])


@SUITE.shows("tool")
async def a_tool(place: Place) -> None:
    async with ClaudeSDKClient(with_tools(place)) as client:
        messages = await turn(client, use("mcp__lab__add", a=1, b=2))
    assert result(messages).result == "The tool mcp__lab__add says: 3."
    init = next(each.data for each in messages if isinstance(each, SystemMessage))
    assert ("mcp__lab__add" in init["tools"], init["mcp_servers"]) == (True, [{"name": "lab", "status": "connected"}])


@SUITE.shows("tools")
async def tools_together(place: Place) -> None:
    calls = [{"tool": "mcp__lab__add", "input": {"a": number, "b": 1}} for number in range(5)]
    calls += [{"tool": "mcp__lab__greet", "input": {"name": "Ada"}}]
    rule = {"prompt": "work", "replies": [calls, [{"results": True}]]}
    async with ClaudeSDKClient(with_tools(place, rule)) as client:
        assert await answer(client, "work") == "1 | 2 | 3 | 4 | 5 | Hello, Ada!"


@SUITE.shows("tool-error")
async def tools_that_fail(place: Place) -> None:
    async with ClaudeSDKClient(with_tools(place)) as client:
        ((crashed, is_error),) = tool_results(await turn(client, use("mcp__lab__crash")))
        assert (is_error, "the tool is broken" in str(crashed)) == (True, True)
        ((refused, is_error),) = tool_results(await turn(client, use("mcp__lab__refuse")))
        assert (is_error, "I would rather not" in str(refused)) == (True, True)
        ((wrong, is_error),) = tool_results(await turn(client, use("mcp__lab__add", a="x")))
        assert (is_error, bool(wrong)) == (True, True)
        assert await answer(client, use("mcp__lab__add", a=1, b=2)) == "The tool mcp__lab__add says: 3."


@SUITE.shows("tool-image")
async def a_tool_that_draws(place: Place) -> None:
    async with ClaudeSDKClient(with_tools(place)) as client:
        ((content, is_error),) = tool_results(await turn(client, use("mcp__lab__draw")))
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    assert (content, is_error) == ([picture], False)


@SUITE.shows("model")
async def another_model(place: Place) -> None:
    async with ClaudeSDKClient(options(place, model="first")) as client:
        answers = [await answer(client, "Which model are you?")]
        await client.set_model("second")
        answers.append(await answer(client, "Which model are you?"))
        await client.set_model(None)
        answers.append(await answer(client, "Which model are you?"))
    assert answers == ["I am first.", "I am second.", "I am offline."]


@SUITE.shows("mode")
async def another_mode(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        await turn(client, writes("a.txt"))
        await client.set_permission_mode("acceptEdits")
        messages = await turn(client, writes("b.txt"))
        with pytest.raises(Exception, match="permission mode"):
            await client.set_permission_mode("whatever")  # type: ignore[arg-type]
    assert [path.name for path in place.cwd.iterdir()] == ["b.txt"]
    inits = [each.data for each in messages if isinstance(each, SystemMessage) and each.subtype == "init"]
    assert [each["permissionMode"] for each in inits] == ["acceptEdits"]


@SUITE.shows("mcp-status")
async def servers_come_and_go(place: Place) -> None:
    async with ClaudeSDKClient(with_tools(place)) as client:
        (server,) = (await client.get_mcp_status())["mcpServers"]
        while server["status"] == "pending":
            (server,) = (await client.get_mcp_status())["mcpServers"]
        assert (server["name"], server["status"]) == ("lab", "connected")
        assert (server["serverInfo"]["name"], server["serverInfo"]["version"]) == ("lab", "1.2.3")
        assert [each["name"] for each in server["tools"]] == ["add", "greet", "crash", "refuse", "draw"]
        await client.toggle_mcp_server("lab", enabled=False)
        assert [each["status"] for each in (await client.get_mcp_status())["mcpServers"]] == ["disabled"]
        assert "I have no tool" in str(await answer(client, use("mcp__lab__add", a=1, b=2)))
        await client.toggle_mcp_server("lab", enabled=True)
        await client.reconnect_mcp_server("lab")
        assert await answer(client, use("mcp__lab__add", a=1, b=2)) == "The tool mcp__lab__add says: 3."
        with pytest.raises(Exception, match="Server not found"):
            await client.reconnect_mcp_server("nowhere")


@SUITE.shows("context-usage")
async def how_full_it_is(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        empty = await client.get_context_usage()
        await turn(client, f"Remember: I like {'tea and ' * 200}coffee")
        filled = await client.get_context_usage()
    assert (empty["totalTokens"], empty["maxTokens"], empty["model"]) == (0, 200_000, "offline")
    assert filled["totalTokens"] > 400
    assert sum(each["tokens"] for each in filled["categories"]) == filled["totalTokens"]


@SUITE.shows("server-info")
async def what_it_said(place: Place) -> None:
    async with ClaudeSDKClient(options(place)) as client:
        info = await client.get_server_info()
    assert info is not None
    assert [each["name"] for each in info["commands"]] == ["clear", "compact", "cost"]
    assert (info["output_style"], info["models"][0]["resolvedModel"]) == ("default", "offline")


@SUITE.shows("stop-task")
async def a_task_is_stopped(place: Place) -> None:
    task = {"description": "Hang", "prompt": "hang", "subagent_type": "hanger"}
    rules = (
        {"prompt": "delegate", "replies": [[{"tool": "Task", "input": task}], [{"results": True}]]},
        {"prompt": "hang", "reply": [{"hang": True}]},
    )
    agents = {"hanger": AgentDefinition(description="Hangs", prompt="You hang.")}
    async with ClaudeSDKClient(scripted(place, *rules, agents=agents)) as client:
        await client.query("delegate")
        ended: list[str] = []
        last = ""
        async for message in client.receive_response():
            if isinstance(message, TaskStartedMessage):
                await client.stop_task(message.task_id)
            elif isinstance(message, TaskNotificationMessage):
                ended.append(message.status)
            last = str(getattr(message, "result", last))
    assert (ended, last) == (["stopped"], "The task was stopped.")


@SUITE.shows("rewind-files")
async def files_stay(place: Place) -> None:
    async with ClaudeSDKClient(options(place, enable_file_checkpointing=True)) as client:
        with pytest.raises(Exception, match="File rewinding is not enabled"):
            await client.rewind_files("00000000-0000-4000-8000-000000000000")
        assert await answer(client, "Count to 3") == "1 2 3"
