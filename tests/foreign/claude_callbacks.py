"""`claude_agent_sdk` on our agent: permissions and hooks."""

from pathlib import Path
from typing import Any

import anyio
from claude_agent_sdk import (
    ClaudeSDKClient,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    ToolPermissionContext,
)
from claude_agent_sdk.types import PermissionRuleValue

from tests.foreign.claude_stage import (
    SUITE,
    answer,
    options,
    response,
    result,
    tool_results,
    turn,
    use,
    writes,
)
from tests.foreign.table import Place


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
