"""The built-in agent behind a manager: permissions, hooks, tools and sub-agents of one program, all the way."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from triologue.agents.embedded import Embedded
from triologue.engine import OfflineModel, Transcripts
from triologue.errors import InvalidOption, TurnFailed, TurnInterrupted, UnsupportedOption
from triologue.hosting import create_sdk_mcp_server
from triologue.manager import PermissionRequest, open_manager
from triologue.messages import (
    PermissionAnswered,
    PermissionAsked,
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
    TaskNotificationMessage,
)
from triologue.options import HookMatcher, Options, ToolPermissionContext
from triologue.tools import tool

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def embedded(*tools: Any, model: OfflineModel | None = None) -> Embedded:
    return Embedded(model=model, tools=tools or [add], transcripts=Transcripts())


def answering(result: PermissionResult | Exception) -> Options:
    async def can_use_tool(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        assert (name, given, context.tool_use_id) == ("add", {"a": 1, "b": 2}, "toolu_1")
        if isinstance(result, Exception):
            raise result
        return result

    return Options(can_use_tool=can_use_tool)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (PermissionResultAllow(), "The tool add says: 3."),
        (PermissionResultAllow(updated_input={"a": 5, "b": 5}), "The tool add says: 10."),
        (PermissionResultDeny(message="not today"), "The tool add failed: not today."),
        (RuntimeError("boom"), "The tool add failed: Tool permission request failed: Error: boom."),
    ],
)
async def test_a_callback_answers_permission_requests(result: Any, said: str) -> None:
    async with open_manager(embedded(), options=answering(result)) as manager:
        assert (await manager.session("k").ask("Call add(a=1, b=2)")).result == said


async def test_a_denial_may_interrupt_the_turn_and_the_session_goes_on() -> None:
    options = answering(PermissionResultDeny(message="stop", interrupt=True))
    async with open_manager(embedded(), options=options) as manager:
        session = manager.session("k")
        with pytest.raises((TurnInterrupted, TurnFailed)):
            await session.ask("Call add(a=1, b=2)")
        assert (await session.ask("Say hi")).result == "hi"


async def test_an_interrupt_takes_a_pending_question_back(autojump_clock: MockClock) -> None:
    async def never(name: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        await trio.sleep_forever()
        raise AssertionError

    async with open_manager(embedded(), options=Options(can_use_tool=never)) as manager:
        session = manager.session("k")
        turn = await session.send("Call add(a=1, b=2)")
        await wait_all_tasks_blocked()
        assert await session.interrupt() == "stopped"
        assert (await turn.wait()).kind == "interrupted"
        assert (await session.ask("Say hi")).result == "hi"


async def test_people_answer_and_what_they_allow_for_good_is_not_asked_again(autojump_clock: MockClock) -> None:
    asked: list[str] = []

    async def on_permission(request: PermissionRequest) -> None:
        asked.append(request.tool)
        await request.allow(updated_permissions=request.suggestions, by="ada")

    async with open_manager(embedded(), on_permission=on_permission) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            assert (await session.ask("Call add(a=1, b=2) 2 times")).result == "The tool add says: 3."
            heard = []
            async for event in events:
                if isinstance(event.message, PermissionAsked | PermissionAnswered):
                    heard.append(type(event.message).__name__)
                if len(heard) == 2:
                    break
    assert (asked, heard) == (["add"], ["PermissionAsked", "PermissionAnswered"])


async def test_rules_spare_the_question() -> None:
    options = answering(RuntimeError("nobody is to be asked"))
    options.allowed_tools = ["add"]
    async with open_manager(embedded(), options=options) as manager:
        assert (await manager.session("k").ask("Call add(a=1, b=2)")).result == "The tool add says: 3."


async def test_hooks_decide_and_change(autojump_clock: MockClock) -> None:
    async def before(given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        if given["tool_input"]["a"] > 10:
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny"}}
        return {"hookSpecificOutput": {"updatedInput": {"a": 10, "b": 10}}}

    async def after(given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        return {"hookSpecificOutput": {"updatedToolOutput": f"about {given['tool_response']}"}}

    hooks = {"PreToolUse": [HookMatcher(matcher="add", hooks=[before])], "PostToolUse": [HookMatcher(hooks=[after])]}
    async with open_manager(embedded(), options=Options(hooks=hooks)) as manager:
        session = manager.session("k")
        assert (await session.ask("Call add(a=1, b=2)")).result == "The tool add says: about 20."
        denied = "The tool add failed: PreToolUse:add hook error: the call was denied."
        assert (await session.ask("Call add(a=11, b=2)")).result == denied


async def test_fifty_calls_of_tools_of_the_program_at_once(autojump_clock: MockClock) -> None:
    running = most = 0

    async def look(n: int) -> int:
        """Look at a number."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return n

    server = create_sdk_mcp_server("numbers", tools=[tool(annotations={"readOnlyHint": True})(look)])
    options = Options(mcp_servers={"numbers": server}, allowed_tools=["mcp__numbers"])
    prompt = " and ".join(f"call mcp__numbers__look(n={n})" for n in range(50))
    async with open_manager(embedded(), options=options) as manager:
        session = manager.session("k")
        result = await session.ask(prompt)
        said = [f"The tool mcp__numbers__look says: {n}" for n in range(50)]
        assert sorted((result.result or "").removesuffix(".").split(". ")) == sorted(said)
        assert [server.name for server in (await session.get_mcp_status()).mcp_servers] == ["numbers"]
    assert most == 50


async def test_an_interrupt_stops_a_tool_of_the_program(autojump_clock: MockClock) -> None:
    stopped = trio.Event()

    async def endless() -> None:
        """Never ends."""
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    options = Options(mcp_servers={"s": [endless]}, allowed_tools=["mcp__s__endless"])
    async with open_manager(embedded(), options=options) as manager:
        session = manager.session("k")
        turn = await session.send("Call mcp__s__endless()")
        await wait_all_tasks_blocked()
        assert await session.interrupt() == "stopped"
        await stopped.wait()
        assert (await turn.wait()).kind == "interrupted"


async def test_sub_agents_and_structured_output() -> None:
    options = Options(
        agents={"helper": {"description": "Helps", "prompt": "You help."}},
        output_format={"type": "json_schema", "schema": SCHEMA},
    )
    async with open_manager(embedded(), options=options) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            prompt = 'Use the tool Task with {"subagent_type": "helper", "description": "d", "prompt": "Say Paris"}'
            result = await session.ask(prompt)
            async for event in events:
                if isinstance(event.message, TaskNotificationMessage):
                    assert event.message.status == "completed"
                    break
    assert result.structured_output == {"city": "The tool Task says: Paris."}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options(mcp_servers={"far": {"command": "x"}}), UnsupportedOption),
        (Options(mcp_servers="servers.json"), UnsupportedOption),
        (Options(agents={"x": {"prompt": "p"}}), InvalidOption),
        (Options(output_format={"type": "text"}), InvalidOption),
        (Options(output_format={"type": "json_schema", "schema": {"type": "objekt"}}), InvalidOption),
        (Options(add_dirs=["/x"]), UnsupportedOption),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: Options, error: type[Exception]) -> None:
    with pytest.raises(error):
        embedded().check(options)
