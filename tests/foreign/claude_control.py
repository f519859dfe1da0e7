"""`claude_agent_sdk` on our agent: permissions, hooks, tools of the host, control requests."""

import base64
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeSDKClient,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    ToolPermissionContext,
    create_sdk_mcp_server,
    tool,
)
from claude_agent_sdk.types import PermissionRuleValue

from tests.foreign.claude_stage import (
    SUITE,
    answer,
    options,
    response,
    result,
    scripted,
    tool_results,
    turn,
    use,
    writes,
)
from tests.foreign.table import Place

PICTURE = base64.b64encode(b"\x89PNG, or so").decode()


@SUITE.shows("permission-allow")
async def allowed(place: Place) -> None:
    asked: list[tuple[str, dict[str, Any], ToolPermissionContext]] = []

    async def allow(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
        asked.append((name, given, context))
        return PermissionResultAllow()

    async with ClaudeSDKClient(options(place, can_use_tool=allow)) as client:
        end = result(await turn(client, writes("a.txt")))
    ((name, given, context),) = asked
    assert (name, given) == ("Write", {"file_path": "a.txt", "content": "hello"})
    assert context.tool_use_id is not None
    assert [update.type for update in context.suggestions] == ["setMode"]
    assert (place.cwd / "a.txt").read_text() == "hello"
    assert not end.permission_denials


@SUITE.shows("permission-change")
async def allowed_with_changes(place: Place) -> None:
    asked: list[str] = []

    async def change(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
        asked.append(given["file_path"])
        rule = PermissionUpdate(
            type="addRules", rules=[PermissionRuleValue("Write")], behavior="allow", destination="session"
        )
        return PermissionResultAllow(updated_input={**given, "content": "changed"}, updated_permissions=[rule])

    async with ClaudeSDKClient(options(place, can_use_tool=change)) as client:
        await turn(client, writes("a.txt"))
        await turn(client, writes("b.txt"))
    assert asked == ["a.txt"]
    assert [(place.cwd / name).read_text() for name in ("a.txt", "b.txt")] == ["changed", "hello"]


@SUITE.shows("permission-deny")
async def denied(place: Place) -> None:
    async def deny(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultDeny:
        return PermissionResultDeny(message="not today")

    async with ClaudeSDKClient(options(place, can_use_tool=deny)) as client:
        messages = await turn(client, writes("a.txt"))
    assert tool_results(messages) == [("not today", True)]
    assert result(messages).subtype == "success"
    assert [each["tool_name"] for each in result(messages).permission_denials or []] == ["Write"]
    assert not (place.cwd / "a.txt").exists()


@SUITE.shows("permission-deny-interrupt")
async def denied_and_stopped(place: Place) -> None:
    async def deny(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultDeny:
        return PermissionResultDeny(message="stop it", interrupt=True)

    async with ClaudeSDKClient(options(place, can_use_tool=deny)) as client:
        messages = await turn(client, writes("a.txt"))
        assert tool_results(messages) == [("stop it", True)]
        assert (result(messages).subtype, result(messages).terminal_reason) == (
            "error_during_execution",
            "aborted_tools",
        )
        assert await answer(client, "Count to 3") == "1 2 3"


@SUITE.shows("permission-raises")
async def a_callback_raises(place: Place) -> None:
    async def fail(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
        raise RuntimeError("the callback is broken")

    async with ClaudeSDKClient(options(place, can_use_tool=fail)) as client:
        ((told, is_error),) = tool_results(await turn(client, writes("a.txt")))
        assert is_error
        assert "the callback is broken" in told
        assert await answer(client, "Count to 3") == "1 2 3"


@SUITE.shows("permission-cancelled")
async def a_callback_is_cancelled(place: Place) -> None:
    asked, cancelled = anyio.Event(), anyio.Event()

    async def wait(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return PermissionResultAllow()

    async with ClaudeSDKClient(options(place, can_use_tool=wait)) as client:
        await client.query(writes("a.txt"))
        await asked.wait()
        await client.interrupt()
        messages = await response(client)
        await cancelled.wait()
        assert result(messages).subtype == "error_during_execution"
        assert await answer(client, "Count to 3") == "1 2 3"


def hooks(event: str, answers: dict[str, Any], seen: list[dict[str, Any]], matcher: str | None = None) -> Any:
    """A hook that notes its input and gives this answer."""

    async def hook(given: Any, use_id: str | None, context: Any) -> Any:
        seen.append({**given, "use_id": use_id})
        return answers

    return {event: [HookMatcher(matcher=matcher, hooks=[hook])]}


def specific(event: str, **fields: Any) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


@SUITE.shows("hook-pre-deny")
async def a_hook_denies(place: Place) -> None:
    seen: list[dict[str, Any]] = []
    no = specific("PreToolUse", permissionDecision="deny", permissionDecisionReason="not with me")
    chosen = options(place, hooks=hooks("PreToolUse", no, seen, "Write|Edit"), allowed_tools=["Write", "Bash"])
    async with ClaudeSDKClient(chosen) as client:
        ((told, is_error),) = tool_results(await turn(client, writes("a.txt")))
        assert (is_error, "not with me" in told) == (True, True)
        assert tool_results(await turn(client, use("Bash", command="echo other")))[0][1] is False
    (given,) = seen
    assert {name: given[name] for name in ("hook_event_name", "tool_name", "tool_input", "cwd")} == {
        "hook_event_name": "PreToolUse",
        "tool_name": "Write",
        "tool_input": {"file_path": "a.txt", "content": "hello"},
        "cwd": str(place.cwd),
    }
    assert given["use_id"] == given["tool_use_id"]


@SUITE.shows("hook-pre-allow")
async def a_hook_allows(place: Place) -> None:
    yes = specific("PreToolUse", permissionDecision="allow", permissionDecisionReason="fine")
    async with ClaudeSDKClient(options(place, hooks=hooks("PreToolUse", yes, []))) as client:
        await turn(client, writes("a.txt"))
    assert (place.cwd / "a.txt").read_text() == "hello"


@SUITE.shows("hook-pre-input")
async def a_hook_changes_the_input(place: Place) -> None:
    given = {"file_path": "b.txt", "content": "changed"}
    other = specific("PreToolUse", permissionDecision="allow", updatedInput=given)
    async with ClaudeSDKClient(options(place, hooks=hooks("PreToolUse", other, []))) as client:
        await turn(client, writes("a.txt"))
    assert [(path.name, path.read_text()) for path in place.cwd.iterdir()] == [("b.txt", "changed")]


@SUITE.shows("hook-post")
async def a_hook_adds_to_a_result(place: Place) -> None:
    seen: list[dict[str, Any]] = []
    more = specific("PostToolUse", additionalContext="the walls have ears")
    chosen = options(place, hooks=hooks("PostToolUse", more, seen, "Bash"), allowed_tools=["Bash"])
    async with ClaudeSDKClient(chosen) as client:
        await turn(client, use("Bash", command="echo hi"))
    (given,) = seen
    assert (given["tool_name"], "hi" in str(given["tool_response"])) == ("Bash", True)
    assert "the walls have ears" in Path(given["transcript_path"]).read_text()


@SUITE.shows("hook-prompt")
async def a_hook_sees_a_prompt(place: Place) -> None:
    seen: list[dict[str, Any]] = []

    async def hook(given: Any, use_id: str | None, context: Any) -> Any:
        seen.append(given)
        if "secret" in given["prompt"]:
            return {"decision": "block", "reason": "that is a secret"}
        return specific("UserPromptSubmit", additionalContext="I like tea.")

    chosen = options(place, hooks={"UserPromptSubmit": [HookMatcher(hooks=[hook])]})
    async with ClaudeSDKClient(chosen) as client:
        stopped = await turn(client, "a secret")
        assert "that is a secret" in str(stopped)
        assert await answer(client, "How many messages?") == "This is your 1st message."
    assert [each["prompt"] for each in seen] == ["a secret", "How many messages?"]
    history = Path(seen[0]["transcript_path"]).read_text()
    assert ("I like tea." in history, "a secret" in history) == (True, False)


@SUITE.shows("hook-stop")
async def a_hook_wants_more(place: Place) -> None:
    seen: list[bool] = []

    async def hook(given: Any, use_id: str | None, context: Any) -> Any:
        seen.append(given["stop_hook_active"])
        return {} if given["stop_hook_active"] else {"decision": "block", "reason": "Count to 3"}

    chosen = options(place, hooks={"Stop": [HookMatcher(hooks=[hook], timeout=30)]})
    async with ClaudeSDKClient(chosen) as client:
        end = result(await turn(client, "Count to 2"))
    assert (seen, end.num_turns) == ([False, True], 2)


@SUITE.shows("hook-raises")
async def a_hook_raises(place: Place) -> None:
    async def hook(given: Any, use_id: str | None, context: Any) -> Any:
        raise RuntimeError("the hook is broken")

    lenient = {"PreToolUse": [HookMatcher(hooks=[hook])]}
    strict = {"PreToolUse": [HookMatcher(hooks=[hook], on_failure="block")]}
    for chosen, is_error in ((lenient, False), (strict, True)):
        async with ClaudeSDKClient(options(place, hooks=chosen, allowed_tools=["Bash"])) as client:
            ((_, failed),) = tool_results(await turn(client, use("Bash", command="echo hi")))
            assert failed is is_error


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
