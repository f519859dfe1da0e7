"""Permission for a call: who is asked, and what becomes of each answer."""

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Host, open_engine, tell
from triologue.engine.toolbox import Guard
from triologue.messages import (
    CanUseTool,
    Initialize,
    Interrupt,
    PermissionDeniedMessage,
    SetPermissionMode,
    ToolResultBlock,
    UserMessage,
)
from triologue.tools import ToolDefinition

ran: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    ran.append({"a": a, "b": b})
    return a + b


def builtin(name: str, *fields: str) -> ToolDefinition:
    async def call(given: dict[str, Any]) -> str:
        ran.append(given)
        return "done"

    schema = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
    return ToolDefinition(name=name, description="", input_schema=schema, call=call)


BUILTINS = [
    builtin("Read", "file_path"),
    builtin("Write", "file_path"),
    builtin("Bash", "command", "description"),
]
GUARDS = {
    "Read": Guard(kind="read", path="file_path"),
    "Write": Guard(kind="edit", path="file_path"),
    "Bash": Guard(kind="run", command="command", description="description"),
}
INVALID = (
    "The permission answer is invalid: it is neither an allow (with an input, if it has one) nor a deny with a message."
)
DENIAL = {"tool_name": "add", "tool_use_id": "toolu_1", "tool_input": {"a": 1, "b": 2}}


async def ask(prompt: str, reply: Any, **setup: Any) -> Host:
    setup = {"tools": [add], "permission_prompt_tool_name": "stdio", **setup}
    async with open_engine(reply=lambda request: reply, **setup) as host:
        host.send(host.prompt(prompt))
        with trio.move_on_after(5):
            while not host.results:
                await trio.sleep(0.01)
    return host


def results(host: Host) -> list[str]:
    return [
        tell(message)
        for message in host.said
        if isinstance(message, UserMessage)
        and isinstance(message.content, list)
        and isinstance(message.content[0], ToolResultBlock)
    ]


async def test_the_host_is_asked_and_allows(autojump_clock: MockClock) -> None:
    host = await ask("Call add(a=1, b=2)", {"behavior": "allow"})
    assert host.asked(CanUseTool) == [
        CanUseTool(
            tool_name="add",
            display_name="add",
            input={"a": 1, "b": 2},
            permission_suggestions=[
                {"type": "addRules", "rules": [{"toolName": "add"}], "behavior": "allow", "destination": "session"}
            ],
            tool_use_id="toolu_1",
        )
    ]
    assert (results(host), host.results[0].permission_denials) == (["user: gives 3"], [])


async def test_the_host_may_change_the_input(autojump_clock: MockClock) -> None:
    host = await ask("Call add(a=1, b=2)", {"behavior": "allow", "updatedInput": {"a": 5, "b": 5}})
    assert (results(host), ran) == (["user: gives 10"], [{"a": 5, "b": 5}])
    assert "add{'a': 1, 'b': 2}" in host.story[2]  # what the model asked for is told as it was


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"behavior": "deny", "message": "not today"}, "not today"),
        ({"behavior": "deny"}, "Permission was denied."),
        ("callback blew up", "Tool permission request failed: Error: callback blew up"),
        (
            {"behaviour": "yes"},
            INVALID,
        ),
    ],
)
async def test_what_is_not_allowed_is_an_error_result(reply: Any, said: str, autojump_clock: MockClock) -> None:
    host = await ask("Call add(a=1, b=2)", reply)
    assert (results(host), ran) == ([f"user: error {said}"], [])
    (result,) = host.results
    assert (result.subtype, result.is_error, result.permission_denials) == ("success", False, [DENIAL])
    assert result.result == f"The tool add failed: {said.rstrip('.')}."


async def test_a_denial_may_stop_the_turn(autojump_clock: MockClock) -> None:
    host = await ask(
        "Call add(a=1, b=2) and call add(a=3, b=4)", {"behavior": "deny", "message": "stop it", "interrupt": True}
    )
    assert host.story[-4:] == [
        "user: error stop it",
        "user: error The user stopped this tool call. It may have taken effect in part or in full.",
        "user: [Request interrupted by user for tool use]",
        "result: error_during_execution aborted_tools ['The turn was interrupted by the user.']",
    ]
    assert host.results[0].permission_denials == [DENIAL]


async def test_an_interrupt_withdraws_the_question_and_a_late_answer_changes_nothing(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[add], permission_prompt_tool_name="stdio") as host:
        host.send(host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(1)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
        host.answer("ask_1", {"behavior": "allow"})
        host.send(host.prompt("Say hi"))
    assert host.story[3:] == [
        "? may add{'a': 1, 'b': 2}",
        "withdrawn",
        "r1: {'still_queued': []}",
        "user: error The user stopped this tool call. It may have taken effect in part or in full.",
        "user: [Request interrupted by user for tool use]",
        "result: error_during_execution aborted_tools ['The turn was interrupted by the user.']",
        "init",
        "assistant: hi",
        "result: success completed hi",
    ]
    assert (ran, [result.permission_denials for result in host.results]) == ([], [[DENIAL], []])


async def test_the_end_of_input_denies_what_is_asked_and_the_turn_goes_on(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[add], permission_prompt_tool_name="stdio") as host:
        host.send(host.prompt("Call add(a=1, b=2) 2 times"))
        await trio.sleep(1)
    gone = "user: error Tool permission request failed: Error: Tool permission stream closed before response received"
    assert results(host) == [gone, gone]
    assert host.results[0].subtype == "success"


async def test_calls_of_one_reply_ask_one_after_the_other(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[add], permission_prompt_tool_name="stdio") as host:
        host.send(host.prompt("Call add(a=1, b=2) and call add(a=3, b=4)"))
        await trio.sleep(1)
        assert len(host.asked(CanUseTool)) == 1
        host.answer("ask_1", {"behavior": "allow"})
        await trio.sleep(1)
        host.answer("ask_2", {"behavior": "deny", "message": "no"})
    assert results(host) == ["user: gives 3", "user: error no"]


@pytest.mark.parametrize(
    ("options", "prompt", "asked", "ran_it"),
    [
        ({"allowed_tools": ["add"]}, "Call add(a=1, b=2)", 0, True),
        ({"permission_mode": "bypassPermissions"}, "Call add(a=1, b=2)", 0, True),
        ({"permission_mode": "dontAsk"}, "Call add(a=1, b=2)", 0, False),
        ({"permission_mode": "plan"}, "Call add(a=1, b=2)", 1, True),
        ({"permission_mode": "acceptEdits"}, "Call add(a=1, b=2)", 1, True),
        ({}, 'Call Read(file_path="x")', 0, True),
        ({}, 'Call Read(file_path="/etc/passwd")', 1, True),
        ({}, 'Call Write(file_path="x")', 1, True),
        ({"permission_mode": "acceptEdits"}, 'Call Write(file_path="x")', 0, True),
        ({"permission_mode": "acceptEdits"}, 'Call Write(file_path="../x")', 1, True),
        ({"permission_mode": "acceptEdits"}, 'Call Bash(command="ls")', 1, True),
        ({"allowed_tools": ["Bash(git status:*)"]}, 'Call Bash(command="git status -s")', 0, True),
        ({"allowed_tools": ["Bash(git status:*)"]}, 'Call Bash(command="git statusx")', 1, True),
        ({"allowed_tools": ["Bash(git status:*)"]}, 'Call Bash(command="git status; rm x")', 1, True),
        ({"allowed_tools": ["Bash(git:*)", "Bash(ls:*)"]}, 'Call Bash(command="git add x && ls")', 0, True),
        ({"allowed_tools": ["Bash(git:*)"]}, 'Call Bash(command="git log > x")', 1, True),
        ({"allowed_tools": ["Edit(src/**)"]}, 'Call Write(file_path="src/a/b")', 0, True),
        ({"allowed_tools": ["Edit(src/**)"]}, 'Call Write(file_path="src/../b")', 1, True),
        (
            {"allowed_tools": ["Bash"], "disallowed_tools": ["Bash(rm:*)"]},
            'Call Bash(command="ls; rm x")',
            0,
            False,
        ),
        (
            {"disallowed_tools": ["Bash(rm:*)"], "permission_mode": "bypassPermissions"},
            'Call Bash(command="rm x")',
            0,
            False,
        ),
    ],
)
async def test_rules_modes_and_folders(
    options: dict[str, Any], prompt: str, asked: int, ran_it: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    host = await ask(prompt, {"behavior": "allow"}, tools=[add, *BUILTINS], guards=GUARDS, cwd=tmp_path, **options)
    assert (len(host.asked(CanUseTool)), bool(ran)) == (asked, ran_it)
    assert len(host.results[0].permission_denials or []) == (0 if ran_it else 1)


async def test_without_anyone_to_ask_functions_run_and_what_touches_the_machine_does_not() -> None:
    async with open_engine(tools=[add, *BUILTINS], guards=GUARDS) as host:
        host.send(host.prompt('Call add(a=1, b=2) and call Bash(command="ls")'))
    text = "Bash needs permission, and there is nobody to give it."
    assert results(host) == ["user: gives 3", f"user: error {text}"]
    (told,) = [message for message in host.said if isinstance(message, PermissionDeniedMessage)]
    assert (told.tool_name, told.tool_use_id, told.message) == ("Bash", "toolu_2", text)
    assert host.results[0].permission_denials == [
        {"tool_name": "Bash", "tool_use_id": "toolu_2", "tool_input": {"command": "ls"}}
    ]


async def test_suggestions_answer_the_next_question_too(autojump_clock: MockClock) -> None:
    def allow_for_good(request: Any) -> dict[str, Any]:
        return {"behavior": "allow", "updatedPermissions": request.permission_suggestions}

    async with open_engine(
        tools=BUILTINS, guards=GUARDS, permission_prompt_tool_name="stdio", reply=allow_for_good
    ) as host:
        host.send(host.prompt('Call Bash(command="ls", description="list")'))
        host.send(host.prompt('Call Bash(command="ls")'))
        host.send(host.prompt('Call Write(file_path="/elsewhere/x")'))
        host.send(host.prompt('Call Write(file_path="/elsewhere/y")'))
        await trio.sleep(1)
    assert [(each.tool_name, each.description, each.blocked_path) for each in host.asked(CanUseTool)] == [
        ("Bash", "list", None),
        ("Write", None, "/elsewhere/x"),
    ]
    modes = [m.data["permissionMode"] for m in host.said if getattr(m, "subtype", "") == "status"]
    assert (len(ran), modes) == (4, ["acceptEdits"])


async def test_one_malformed_update_spoils_all_of_them(autojump_clock: MockClock) -> None:
    updates = [
        {"type": "addRules", "rules": [{"toolName": "add"}], "behavior": "allow", "destination": "session"},
        {"type": "setMode", "mode": "yolo", "destination": "session"},
    ]
    host = await ask("Call add(a=1, b=2) 2 times", {"behavior": "allow", "updatedPermissions": updates})
    assert len(host.asked(CanUseTool)) == 2


async def test_rules_can_be_replaced_and_removed_and_the_mode_changed(autojump_clock: MockClock) -> None:
    rule = [{"toolName": "add"}]
    updates = [
        {"type": "replaceRules", "rules": rule, "behavior": "allow", "destination": "session"},
        {"type": "removeRules", "rules": rule, "behavior": "allow", "destination": "session"},
        {"type": "addDirectories", "directories": ["/x"], "destination": "session"},
        {"type": "removeDirectories", "directories": ["/x"], "destination": "session"},
    ]
    async with open_engine(
        tools=[add],
        permission_prompt_tool_name="stdio",
        reply=lambda request: {"behavior": "allow", "updatedPermissions": updates},
    ) as host:
        host.send(host.prompt("Call add(a=1, b=2) 2 times"))
        await trio.sleep(1)
        host.send(host.request(SetPermissionMode(mode="bypassPermissions")))
        host.send(host.prompt("Call add(a=1, b=2)"))
    assert (len(host.asked(CanUseTool)), len(ran)) == (2, 3)


async def test_a_permission_hook_and_the_host_are_asked_together_and_the_first_wins(autojump_clock: MockClock) -> None:
    decision = {"behavior": "allow", "updatedInput": {"a": 7, "b": 7}}
    hooks = {"PermissionRequest": [{"hookCallbackIds": ["h"]}]}

    def reply(request: Any) -> dict[str, Any] | None:
        if isinstance(request, CanUseTool):
            return None
        return {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}}

    async with open_engine(tools=[add], permission_prompt_tool_name="stdio", reply=reply) as host:
        host.send(host.request(Initialize(hooks=hooks)), host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(1)
    story = host.story[4:]
    assert sorted(story[:2]) == ["? PermissionRequest h", "? may add{'a': 1, 'b': 2}"]
    assert (story[2:4], host.results[0].permission_denials) == (["withdrawn", "user: gives 14"], [])


async def test_a_permission_hook_that_decides_nothing_leaves_it_to_the_host_or_denies(
    autojump_clock: MockClock,
) -> None:
    hooks = {"PermissionRequest": [{"hookCallbackIds": ["h"]}]}
    for prompt_tool, said in (("stdio", "gives 3"), (None, "error Nobody gave permission to use Bash.")):

        def reply(request: Any) -> dict[str, Any]:
            return {"behavior": "allow"} if isinstance(request, CanUseTool) else {}

        async with open_engine(
            tools=[add, *BUILTINS], guards=GUARDS, permission_prompt_tool_name=prompt_tool, reply=reply
        ) as host:
            prompt = "Call add(a=1, b=2)" if prompt_tool else 'Call Bash(command="ls")'
            host.send(host.request(Initialize(hooks=hooks)), host.prompt(prompt))
            await trio.sleep(1)
        assert results(host) == [f"user: {said}"]


async def test_a_tool_can_be_the_one_who_is_asked(autojump_clock: MockClock) -> None:
    async def judge(tool_name: str, input: dict[str, int], tool_use_id: str) -> dict[str, Any]:
        """Allow what is small."""
        if input["a"] > 5:
            raise ValueError("too large")
        return {"behavior": "allow", "updatedInput": input} if input["a"] < 3 else {"behavior": "deny", "message": "no"}

    host = await ask(
        "Call add(a=1, b=2) and call add(a=3, b=2) and call add(a=6, b=2)",
        None,
        tools=[add, judge],
        permission_prompt_tool_name="judge",
    )
    assert results(host) == [
        "user: gives 3",
        "user: error no",
        "user: error Tool permission request failed: Error: too large",
    ]
