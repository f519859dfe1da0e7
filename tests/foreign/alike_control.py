"""Control of the SDKs of Qoder and Cortex Code over our agent: permissions, hooks, tools of the host, requests."""

import asyncio
from typing import Any

import pytest

from tests.foreign.alike import Reply, Sdk, ask, hear, hear_until, use
from tests.foreign.table import Place

BYPASS = {"permission_mode": "bypassPermissions", "allow_dangerously_skip_permissions": True}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def write(place: Place, name: str = "a.txt", content: str = "A") -> dict[str, Any]:
    """A rule: `write NAME` writes that file, and then tells what came of it."""
    step = use("Write", file_path=str(place.cwd / name), content=content)
    return {"prompt": f"write {name}", "replies": [[step], [{"results": True}]]}


def files(place: Place) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(place.cwd.glob("*.txt"))}


async def permission_allows(sdk: Sdk, place: Place) -> None:
    asked = []

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        # Qoder's SDK gives the suggestions as they came.
        kinds = [each["type"] if isinstance(each, dict) else each.type for each in context.suggestions]
        asked.append((tool, given, context.tool_use_id, kinds))
        return sdk.module.PermissionResultAllow()

    async with sdk.talk(place, write(place), can_use_tool=can_use_tool) as client:
        reply = await ask(client, "write a.txt")
    ((tool, given, tool_use_id, suggestions),) = asked
    assert (tool, given["content"], suggestions) == ("Write", "A", ["setMode"])
    assert [block.tool_use_id for block in reply.tool_results] == [tool_use_id]
    assert files(place) == {"a.txt": "A"}
    assert reply.result.permission_denials == []


async def permission_changes(sdk: Sdk, place: Place) -> None:
    asked = []
    rule = sdk.module.types.PermissionUpdate(
        type="addRules",
        rules=[sdk.module.types.PermissionRuleValue(tool_name="Write", rule_content=None)],
        behavior="allow",
        destination="session",
    )

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        asked.append(given["content"])
        changed = {**given, "content": given["content"] + " and more"}
        return sdk.module.PermissionResultAllow(updated_input=changed, updated_permissions=[rule])

    async with sdk.talk(place, write(place), write(place, "b.txt", "B"), can_use_tool=can_use_tool) as client:
        await ask(client, "write a.txt")
        await ask(client, "write b.txt")
    assert asked == ["A"]  # the new rule covers the second one
    assert files(place) == {"a.txt": "A and more", "b.txt": "B"}


async def permission_denies(sdk: Sdk, place: Place) -> None:
    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        return sdk.module.PermissionResultDeny(message="Not in this house.")

    async with sdk.talk(place, write(place), can_use_tool=can_use_tool) as client:
        reply = await ask(client, "write a.txt")
    assert (reply.result.subtype, reply.text) == ("success", "Not in this house.")
    assert [(block.content, block.is_error) for block in reply.tool_results] == [("Not in this house.", True)]
    assert [denial["tool_name"] for denial in reply.result.permission_denials] == ["Write"]
    assert files(place) == {}


async def permission_denies_and_interrupts(sdk: Sdk, place: Place) -> None:
    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        return sdk.module.PermissionResultDeny(message="Stop it.", interrupt=True)

    async with sdk.talk(place, write(place), can_use_tool=can_use_tool) as client:
        reply = await ask(client, "write a.txt")
        again = await ask(client, "Count to 3")
    assert reply.result.subtype == "error_during_execution"
    assert again.text == "1 2 3"
    assert files(place) == {}


async def permission_callback_raises(sdk: Sdk, place: Place) -> None:
    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        raise LookupError("the list of permissions is lost")

    async with sdk.talk(place, write(place), can_use_tool=can_use_tool) as client:
        reply = await ask(client, "write a.txt")
        again = await ask(client, "Count to 3")
    assert reply.result.subtype == "success"
    assert "the list of permissions is lost" in reply.text
    assert [block.is_error for block in reply.tool_results] == [True]
    assert again.text == "1 2 3"
    assert files(place) == {}


async def permission_is_cancelled(sdk: Sdk, place: Place) -> None:
    begun, late, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        asked.append(tool)
        begun.set()
        try:
            await late.wait()
        except asyncio.CancelledError:
            ended.set()
            raise
        ended.set()
        return sdk.module.PermissionResultAllow()

    async with sdk.talk(place, write(place), can_use_tool=can_use_tool) as client:
        await client.query("write a.txt")
        await begun.wait()
        await client.interrupt()
        reply = await hear(client)
        assert reply.result.subtype == "error_during_execution"
        # Qoder's SDK has cancelled it; Cortex Code's lets it go on, and answers what nobody waits for any more.
        late.set()
        await ended.wait()
        assert (await ask(client, "Count to 3")).text == "1 2 3"
        assert (await ask(client, "Count to 4")).text == "1 2 3 4"
    assert asked == ["Write"]
    assert files(place) == {}


async def many_permissions_at_once(sdk: Sdk, place: Place) -> None:
    names = [f"{number}.txt" for number in range(20)]
    steps = [use("Write", file_path=str(place.cwd / name), content=name) for name in names]

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        await asyncio.sleep(0)
        return sdk.module.PermissionResultAllow()

    rule = {"prompt": "write all", "replies": [steps, "Done."]}
    async with sdk.talk(place, rule, can_use_tool=can_use_tool) as client:
        reply = await ask(client, "write all")
    assert reply.text == "Done."
    assert files(place) == {name: name for name in sorted(names)}


def hooks(sdk: Sdk, event: str, callback: Any, **more: Any) -> dict[str, Any]:
    return {"hooks": {event: [sdk.module.HookMatcher(hooks=[callback], **more)]}}


def _decides(decision: str, **more: Any) -> dict[str, Any]:
    specific = {"hookEventName": "PreToolUse", "permissionDecision": decision, **more}
    return {"hookSpecificOutput": specific}


async def hook_denies(sdk: Sdk, place: Place) -> None:
    heard = []

    async def guard(given: Any, tool_use_id: str | None, context: Any) -> Any:
        heard.append((given["hook_event_name"], given["tool_name"], given["tool_use_id"] == tool_use_id, given["cwd"]))
        return _decides("deny", permissionDecisionReason="Nothing is written here.")

    async with sdk.talk(
        place, write(place), **hooks(sdk, "PreToolUse", guard, matcher="Write|Edit"), **BYPASS
    ) as client:
        reply = await ask(client, "write a.txt")
    assert heard == [("PreToolUse", "Write", True, str(place.cwd))]
    assert "Nothing is written here." in reply.text
    assert files(place) == {}


async def hook_allows(sdk: Sdk, place: Place) -> None:
    async def guard(given: Any, tool_use_id: str | None, context: Any) -> Any:
        return _decides("allow")

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        raise AssertionError("the hook has decided")

    given = hooks(sdk, "PreToolUse", guard)
    async with sdk.talk(place, write(place), can_use_tool=can_use_tool, **given) as client:
        await ask(client, "write a.txt")
    assert files(place) == {"a.txt": "A"}


async def hook_changes_the_input(sdk: Sdk, place: Place) -> None:
    async def guard(given: Any, tool_use_id: str | None, context: Any) -> Any:
        return _decides("allow", updatedInput={**given["tool_input"], "content": "from the hook"})

    async with sdk.talk(place, write(place), **hooks(sdk, "PreToolUse", guard)) as client:
        await ask(client, "write a.txt")
    assert files(place) == {"a.txt": "from the hook"}


async def hook_adds_context_behind_a_tool(sdk: Sdk, place: Place) -> None:
    heard = []

    async def look(given: Any, tool_use_id: str | None, context: Any) -> Any:
        heard.append((given["hook_event_name"], given["tool_name"], given["tool_input"]["content"]))
        return {"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "It was raining."}}

    async with sdk.talk(place, write(place), **hooks(sdk, "PostToolUse", look), **BYPASS) as client:
        await ask(client, "write a.txt")
    assert heard == [("PostToolUse", "Write", "A")]


async def hook_on_prompts(sdk: Sdk, place: Place) -> None:
    async def look(given: Any, tool_use_id: str | None, context: Any) -> Any:
        if "secret" in given["prompt"]:
            return {"decision": "block", "reason": "No secrets."}
        if "context" in given["prompt"]:
            context = {"hookEventName": "UserPromptSubmit", "additionalContext": "It is raining. " * 1000}
            return {"hookSpecificOutput": context}
        return {}

    async with sdk.talk(place, **hooks(sdk, "UserPromptSubmit", look)) as client:
        blocked = await ask(client, "the secret")
        plain = await ask(client, "How many messages?")
        told = await ask(client, "How many messages with context?")
    assert blocked.text == ""
    assert plain.text == "This is your 1st message."
    assert told.text == "This is your 2nd message."
    assert told.result.usage["input_tokens"] > plain.result.usage["input_tokens"] + 3000


async def hook_keeps_it_going(sdk: Sdk, place: Place) -> None:
    heard: list[bool] = []

    async def go_on(given: Any, tool_use_id: str | None, context: Any) -> Any:
        heard.append(given["stop_hook_active"])
        return {} if given["stop_hook_active"] else {"decision": "block", "reason": "Count to 5"}

    async with sdk.talk(place, **hooks(sdk, "Stop", go_on)) as client:
        reply = await ask(client, "Count to 3")
    assert heard == [False, True]
    assert len(reply.of("AssistantMessage")) == 2


async def hook_raises(sdk: Sdk, place: Place) -> None:
    async def guard(given: Any, tool_use_id: str | None, context: Any) -> Any:
        raise LookupError("no such hook")

    async with sdk.talk(place, write(place), **hooks(sdk, "PreToolUse", guard), **BYPASS) as client:
        reply = await ask(client, "write a.txt")
    assert reply.result.subtype == "success"
    assert files(place) == {"a.txt": "A"}  # a hook that fails decides nothing


def server(sdk: Sdk, begun: asyncio.Event | None = None) -> dict[str, Any]:
    """Options with the tools of the host; `begun` is set when the one is called that never ends."""

    @sdk.tool("add", "Add two numbers", {"a": int, "b": int})
    async def add(given: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"content": [{"type": "text", "text": str(given["a"] + given["b"])}]}

    @sdk.tool("shout", "Say it louder", {"text": str})
    async def shout(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": given["text"].upper()}]}

    @sdk.tool("fail", "Raise", {})
    async def fail(given: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("the tool is broken")

    @sdk.tool("refuse", "Give an error", {})
    async def refuse(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "not today"}], "is_error": True}

    @sdk.tool("paint", "Give a picture", {})
    async def paint(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]}

    @sdk.tool("wait", "Never end", {})
    async def wait(given: dict[str, Any]) -> dict[str, Any]:
        if begun is not None:
            begun.set()
        await asyncio.Event().wait()
        return {}

    tools = [add, shout, fail, refuse, paint, wait]
    house = sdk.module.create_sdk_mcp_server("house", tools=tools)
    return {"mcp_servers": {"house": house}, "allowed_tools": [f"mcp__house__{each.name}" for each in tools]}


async def tool_is_called(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, **server(sdk)) as client:
        reply = await ask(client, 'Use the tool mcp__house__add with {"a": 19, "b": 23}')
    assert reply.text.endswith("The tool mcp__house__add says: 42.")


async def tools_are_called_together(sdk: Sdk, place: Place) -> None:
    steps = [use("mcp__house__add", a=number, b=1) for number in range(10)]
    rule = {"prompt": "go", "replies": [[*steps, use("mcp__house__shout", text="é ö")], [{"results": True}]]}
    async with sdk.talk(place, rule, **server(sdk)) as client:
        reply = await ask(client, "go")
    assert reply.text == " | ".join([*(str(number + 1) for number in range(10)), "É Ö"])


async def tool_raises(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "go", "replies": [[use("mcp__house__fail")], [{"results": True}]]}
    async with sdk.talk(place, rule, **server(sdk)) as client:
        reply = await ask(client, "go")
        again = await ask(client, "Count to 3")
    assert "the tool is broken" in reply.text
    assert again.text == "1 2 3"


async def tool_gives_an_error(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "go", "replies": [[use("mcp__house__refuse")], [{"results": True}]]}
    async with sdk.talk(place, rule, **server(sdk)) as client:
        reply = await ask(client, "go")
    (block,) = reply.tool_results
    assert (block.content, block.is_error, reply.text) == ("not today", True, "not today")


async def tool_gives_an_image(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "go", "replies": [[use("mcp__house__paint")], "Pretty."]}
    async with sdk.talk(place, rule, **server(sdk)) as client:
        reply = await ask(client, "go")
    (block,) = reply.tool_results
    assert [part["type"] for part in block.content] == ["image"]
    assert PIXEL in str(block.content)


async def tool_is_interrupted(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "go", "reply": [use("mcp__house__wait")]}
    begun = asyncio.Event()
    async with sdk.talk(place, rule, **server(sdk, begun)) as client:
        await client.query("go")
        await hear_until(client, "AssistantMessage")
        await begun.wait()
        await client.interrupt()
        reply = await hear(client)
        again = await ask(client, 'Use the tool mcp__house__add with {"a": 1, "b": 2}')
    assert reply.result.subtype == "error_during_execution"
    assert again.text.endswith("says: 3.")


async def a_large_result_of_a_tool(sdk: Sdk, place: Place) -> None:
    text = "x" * 400_000 + " é " * 10_000

    @sdk.tool("read", "Read much", {})
    async def read(given: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": text}]}

    house = sdk.module.create_sdk_mcp_server("house", tools=[read])
    rule = {"prompt": "go", "replies": [[use("mcp__house__read")], "Long."]}
    given = {"mcp_servers": {"house": house}, "allowed_tools": ["mcp__house__read"]}
    async with sdk.talk(place, rule, **given) as client:
        reply = await ask(client, "go")
    (block,) = reply.tool_results
    assert block.content == text or block.content == [{"type": "text", "text": text}]


async def a_large_input_of_a_tool(sdk: Sdk, place: Place) -> None:
    text = "é  ö " * 20_000
    asked = []

    async def can_use_tool(tool: str, given: dict[str, Any], context: Any) -> Any:
        asked.append(given["content"] == text)
        return sdk.module.PermissionResultAllow()

    async with sdk.talk(place, write(place, content=text), can_use_tool=can_use_tool) as client:
        await client.query("write a.txt")
        await hear_until(client, "ResultMessage")
    assert asked == [True]
    assert files(place) == {"a.txt": text}


async def model_change(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, model="first") as client:
        before = await ask(client, "Which model are you?")
        await client.set_model("second")
        after = await ask(client, "Which model are you?")
        await client.set_model(None)
        default = await ask(client, "Which model are you?")
    assert [reply.of("AssistantMessage")[0].model for reply in (before, after)] == ["first", "second"]
    assert (before.text, after.text) == ("I am first.", "I am second.")
    assert "second" not in default.text


async def mode_change(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, write(place), write(place, "b.txt")) as client:
        refused = await ask(client, "write a.txt")
        await client.set_permission_mode("acceptEdits")
        await ask(client, "write b.txt")
        with pytest.raises(Exception, match="Cannot set permission mode"):
            await client.set_permission_mode("whatever")
        await client.set_permission_mode("default")
        again = await ask(client, "write a.txt")
    assert "permission" in refused.text
    assert "permission" in again.text
    assert files(place) == {"b.txt": "A"}


def _servers(status: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["status"] for each in status["mcpServers"]}


async def mcp_status(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place, **server(sdk)) as client:
        assert (await ask(client, 'Use the tool mcp__house__add with {"a": 1, "b": 2}')).text.endswith("3.")
        states = [_servers(await client.get_mcp_status())]
        await client.toggle_mcp_server("house", False)
        states.append(_servers(await client.get_mcp_status()))
        gone = await ask(client, 'Use the tool mcp__house__add with {"a": 1, "b": 2}')
        await client.toggle_mcp_server("house", True)
        await client.reconnect_mcp_server("house")
        states.append(_servers(await client.get_mcp_status()))
        back = await ask(client, 'Use the tool mcp__house__add with {"a": 1, "b": 2}')
        with pytest.raises(Exception, match="Server not found: nobody"):
            await client.reconnect_mcp_server("nobody")
    assert states == [{"house": "connected"}, {"house": "disabled"}, {"house": "connected"}]
    assert "no tool called" in gone.text
    assert back.text.endswith("3.")


async def mcp_servers_are_set(sdk: Sdk, place: Place) -> None:
    async with sdk.talk(place) as client:
        result = await client.set_mcp_servers({"far": {"type": "http", "url": "http://127.0.0.1:9/"}})
        assert (result["added"], result["removed"], list(result["errors"])) == (["far"], [], ["far"])
        assert _servers(await client.get_mcp_status()) == {"far": "failed"}
        assert (await client.set_mcp_servers({}))["removed"] == ["far"]
        assert (await ask(client, "Count to 3")).text == "1 2 3"


async def server_info(sdk: Sdk, place: Place) -> None:
    agents = {"helper": sdk.module.AgentDefinition(description="Helps", prompt="Help.")}
    async with sdk.talk(place, agents=agents) as client:
        info = await client.get_server_info()
    assert {"clear", "compact", "cost"} <= {command["name"] for command in info["commands"]}
    assert info["agents"] == [{"name": "helper", "description": "Helps"}]
    assert info["output_style"] == "default"


async def requests_while_nobody_reads(sdk: Sdk, place: Place) -> None:
    rule = {"prompt": "much", "reply": [{"words": 80, "delay": 0.001}]}
    async with sdk.talk(place, rule, include_partial_messages=True) as client:
        await client.query("much")
        begun = await hear_until(client, "StreamEvent")
        assert _servers(await client.get_mcp_status()) == {}
        reply = Reply(begun + (await hear(client)).messages)
    assert reply.deltas == reply.text
    assert reply.text.endswith("word80")


def show_control(sdk: Sdk) -> None:
    """Have all of them in the table."""
    sdk.shows(permission_allows, "permission-allow")
    sdk.shows(many_permissions_at_once, "permission-allow")
    sdk.shows(a_large_input_of_a_tool, "permission-allow")
    sdk.shows(permission_changes, "permission-change")
    sdk.shows(permission_denies, "permission-deny")
    sdk.shows(permission_denies_and_interrupts, "permission-deny-interrupt")
    sdk.shows(permission_callback_raises, "permission-raises")
    sdk.shows(permission_is_cancelled, "permission-cancelled")
    sdk.shows(hook_denies, "hook-pre-deny")
    sdk.shows(hook_allows, "hook-pre-allow")
    sdk.shows(hook_changes_the_input, "hook-pre-input")
    sdk.shows(hook_adds_context_behind_a_tool, "hook-post")
    sdk.shows(hook_on_prompts, "hook-prompt")
    sdk.shows(hook_keeps_it_going, "hook-stop")
    sdk.shows(hook_raises, "hook-raises")
    sdk.shows(tool_is_called, "tool")
    sdk.shows(tool_is_interrupted, "tool")
    sdk.shows(a_large_result_of_a_tool, "tool")
    sdk.shows(tools_are_called_together, "tools")
    sdk.shows(tool_raises, "tool-error")
    sdk.shows(tool_gives_an_error, "tool-error")
    sdk.shows(tool_gives_an_image, "tool-image")
    sdk.shows(model_change, "model")
    sdk.shows(mode_change, "mode")
    sdk.shows(mcp_status, "mcp-status")
    sdk.shows(mcp_servers_are_set, "mcp-status")
    sdk.shows(requests_while_nobody_reads, "mcp-status")
    sdk.shows(server_info, "server-info")
