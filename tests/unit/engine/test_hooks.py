"""Hooks: when each event comes, and what its answers do."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Host, Scripted, open_engine, said
from triologue.engine import OfflineModel
from triologue.messages import CanUseTool, HookCallback, Initialize, Interrupt, ToolUseBlock, UnknownRequest


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def broken() -> None:
    """Never works."""
    raise RuntimeError("no way")


def registered(*events: str, **more: Any) -> dict[str, Any]:
    return {event: [{"matcher": None, "hookCallbackIds": [f"h_{event}"], **more}] for event in events}


async def play(prompt: str, hooks: dict[str, Any], answers: dict[str, Any], **setup: Any) -> Host:
    """One prompt, with the answers by event."""

    def reply(request: Any) -> Any:
        if isinstance(request, HookCallback):
            return answers.get(request.input["hook_event_name"], {})
        return {"behavior": "allow"}

    async with open_engine(reply=reply, **{"tools": [add, broken], **setup}) as host:
        host.send(host.request(Initialize(hooks=hooks)), host.prompt(prompt))
        with trio.move_on_after(1000):
            while not host.results:
                await trio.sleep(0.01)
    return host


def events(host: Host) -> list[str]:
    return [request.input["hook_event_name"] for request in host.asked(HookCallback)]


def inputs(host: Host, event: str) -> list[dict[str, Any]]:
    """What callbacks of an event were told beside the base."""
    base = ("session_id", "transcript_path", "cwd", "permission_mode", "prompt_id", "hook_event_name")
    inputs = [request.input for request in host.asked(HookCallback)]
    return [
        {name: value for name, value in given.items() if name not in base}
        for given in inputs
        if given["hook_event_name"] == event
    ]


async def test_the_order_of_a_turn(autojump_clock: MockClock) -> None:
    hooks = registered(
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PostToolUseFailure",
        "PostToolBatch",
        "Stop",
    )
    host = await play("Call add(a=1, b=2) and call broken()", hooks, {}, permission_prompt_tool_name="stdio")
    assert host.story[1:] == [
        "? SessionStart h_SessionStart",
        "? UserPromptSubmit h_UserPromptSubmit",
        "init",
        "assistant: I will use add and broken.",
        "assistant: add{'a': 1, 'b': 2}",
        "assistant: broken{}",
        "? PreToolUse h_PreToolUse",
        "? may add{'a': 1, 'b': 2}",
        "? PostToolUse h_PostToolUse",
        "user: gives 3",
        "? PreToolUse h_PreToolUse",
        "? may broken{}",
        "? PostToolUseFailure h_PostToolUseFailure",
        "user: error no way",
        "? PostToolBatch h_PostToolBatch",
        "assistant: The tool add says: 3. The tool broken failed: no way.",
        "? Stop h_Stop",
        "result: success completed The tool add says: 3. The tool broken failed: no way.",
    ]
    call = {"tool_name": "add", "tool_input": {"a": 1, "b": 2}, "tool_use_id": "toolu_1"}
    failed = {"tool_name": "broken", "tool_input": {}, "tool_use_id": "toolu_2"}
    assert [inputs(host, event) for event in hooks] == [
        [{"source": "startup"}],
        [{"prompt": "Call add(a=1, b=2) and call broken()"}],
        [call, failed],
        [{**call, "tool_response": 3, "duration_ms": 0}],
        [{**failed, "error": "no way", "is_interrupt": False, "duration_ms": 0}],
        [{"tool_calls": [{**call, "tool_response": "3"}, {**failed, "tool_response": "no way"}]}],
        [
            {
                "stop_hook_active": False,
                "last_assistant_message": "The tool add says: 3. The tool broken failed: no way.",
                "background_tasks": [],
                "session_crons": [],
            }
        ],
    ]
    first = host.asked(HookCallback)[0].input
    assert (first["session_id"], first["cwd"]) == (host.results[0].session_id, "/here")
    assert (first["permission_mode"], first["hook_event_name"]) == ("default", "SessionStart")
    assert [request.tool_use_id for request in host.asked(HookCallback)][:3] == [None, None, "toolu_1"]


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        (None, True),
        ("", True),
        ("*", True),
        ("add", True),
        ("ad", False),
        ("sub|add", True),
        ("sub, add", True),
        ("Add", False),
        ("a.*", True),
        ("^dd", False),
        ("[", False),
    ],
)
async def test_matchers(matcher: str | None, fits: bool, autojump_clock: MockClock) -> None:
    hooks = {"PreToolUse": [{"matcher": matcher, "hookCallbackIds": ["h"]}]}
    host = await play("Call add(a=1, b=2)", hooks, {})
    assert events(host) == (["PreToolUse"] if fits else [])


@pytest.mark.parametrize(
    ("answer", "asked", "result"),
    [
        ({"permissionDecision": "deny", "permissionDecisionReason": "no"}, 0, "PreToolUse:add hook error: no"),
        ({"permissionDecision": "allow"}, 0, "3"),
        ({"permissionDecision": "ask"}, 1, "3"),
        ({"permissionDecision": "allow", "updatedInput": {"a": 5, "b": 5}}, 0, "10"),
        ({"updatedInput": {"a": 5, "b": 5}}, 1, "10"),
        ({}, 1, "3"),
    ],
)
async def test_a_hook_may_decide_about_a_call(
    answer: dict[str, Any], asked: int, result: str, autojump_clock: MockClock
) -> None:
    output = {"hookSpecificOutput": {"hookEventName": "PreToolUse", **answer}}
    host = await play(
        "Call add(a=1, b=2)", registered("PreToolUse"), {"PreToolUse": output}, permission_prompt_tool_name="stdio"
    )
    assert len(host.asked(CanUseTool)) == asked
    assert result in (host.results[0].result or "")
    assert len(host.results[0].permission_denials or []) == (1 if "error" in result else 0)


async def test_a_hook_may_want_a_question_about_what_is_allowed(autojump_clock: MockClock) -> None:
    output = {"hookSpecificOutput": {"permissionDecision": "ask", "permissionDecisionReason": "look at it"}}
    host = await play(
        "Call add(a=1, b=2)",
        registered("PreToolUse"),
        {"PreToolUse": output},
        permission_prompt_tool_name="stdio",
        allowed_tools=["add"],
    )
    assert [request.decision_reason for request in host.asked(CanUseTool)] == ["look at it"]


async def test_the_strictest_of_several_hooks_wins_and_all_are_asked_at_once(autojump_clock: MockClock) -> None:
    decisions = {"a": "allow", "b": "deny", "c": "ask"}
    hooks = {"PreToolUse": [{"hookCallbackIds": ["a", "b"]}, {"matcher": "add", "hookCallbackIds": ["c"]}]}
    async with open_engine(tools=[add]) as host:
        host.send(host.request(Initialize(hooks=hooks)), host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(1)
        asked = {request.callback_id for request in host.asked(HookCallback)}
        assert asked == set(decisions)
        for message in host.said:
            if isinstance(callback := getattr(message, "request", None), HookCallback):
                decision = {"permissionDecision": decisions[callback.callback_id]}
                host.answer(message.request_id, {"hookSpecificOutput": decision})  # type: ignore[attr-defined]
        await trio.sleep(1)
    assert "user: error PreToolUse:add hook error: the call was denied" in host.story


@pytest.mark.parametrize(
    ("answer", "gives"),
    [
        ({"hookSpecificOutput": {"updatedToolOutput": "other"}}, "other"),
        ({"hookSpecificOutput": {"updatedMCPToolOutput": {"n": 1}}}, '{"n":1}'),
        ({"async": True, "hookSpecificOutput": {"updatedToolOutput": "other"}}, "3"),
    ],
)
async def test_a_hook_may_change_what_a_tool_gave(answer: Any, gives: str, autojump_clock: MockClock) -> None:
    host = await play("Call add(a=1, b=2)", registered("PostToolUse"), {"PostToolUse": answer})
    assert f"user: gives {gives}" in host.story


async def test_what_hooks_add_reaches_the_model_and_not_the_host(autojump_clock: MockClock) -> None:
    call = ToolUseBlock(id="t1", name="add", input={"a": 1, "b": 2})
    model = Scripted(said(call), said("done"))
    answers: dict[str, Any] = {
        event: {"hookSpecificOutput": {"hookEventName": event, "additionalContext": f"from {event}"}}
        for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolBatch")
    }
    answers["PostToolUse"] |= {"decision": "block", "reason": "look again"}
    host = await play("Go", registered(*answers), answers, model=model)
    texts = [
        block["text"].split("\n", 1)[1].rsplit("\n", 1)[0]
        for message in model.requests[1].messages
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "text"
    ]
    assert texts == [
        "from SessionStart",
        "from UserPromptSubmit",
        "from PreToolUse",
        "from PostToolUse",
        "PostToolUse:add hook feedback:\nlook again",
        "from PostToolBatch",
    ]
    assert not any("from" in line for line in host.story)


@pytest.mark.parametrize("event", ["PreToolUse", "PostToolUse", "PostToolBatch"])
async def test_a_hook_may_stop_the_turn(event: str, autojump_clock: MockClock) -> None:
    stop = {"continue": False, "stopReason": "enough"}
    host = await play("Call add(a=1, b=2) and call add(a=3, b=4)", registered(event), {event: stop})
    (result,) = host.results
    assert (result.subtype, result.is_error, result.result) == ("success", False, "")
    assert (result.terminal_reason, result.stop_reason, result.num_turns) == ("hook_stopped", "tool_use", 2)
    first = "error A hook stopped the turn: enough" if event == "PreToolUse" else "gives 3"
    second = (
        "gives 7" if event == "PostToolBatch" else "error This tool call was not run, because a hook stopped the turn."
    )
    assert [line for line in host.story if line.startswith("user")] == [f"user: {first}", f"user: {second}"]


@pytest.mark.parametrize("answer", [{"decision": "block", "reason": "no"}, {"continue": False, "stopReason": "no"}])
async def test_a_hook_may_refuse_a_prompt(answer: Any, autojump_clock: MockClock) -> None:
    model = Scripted()
    host = await play("Hello", registered("UserPromptSubmit"), {"UserPromptSubmit": answer}, model=model)
    assert host.story[2:] == ["init", "informational", "result: success hook_stopped None"]
    notice = next(message for message in host.said if getattr(message, "subtype", "") == "informational")
    assert notice.data["content"] == "A UserPromptSubmit hook stopped this prompt: no"
    assert model.requests == []


async def test_a_stop_hook_may_want_more(autojump_clock: MockClock) -> None:
    model = Scripted(said("first"), said("second"))
    blocks = [{"decision": "block", "reason": "go on"}, {}]

    def reply(request: Any) -> Any:
        return blocks.pop(0)

    async with open_engine(model=model, reply=reply) as host:
        host.send(host.request(Initialize(hooks=registered("Stop"))), host.prompt("Hello"))
        await trio.sleep(1)
    assert host.story[2:] == [
        "assistant: first",
        "? Stop h_Stop",
        "user: Stop hook feedback:\ngo on",
        "assistant: second",
        "? Stop h_Stop",
        "result: success completed second",
    ]
    assert [each["stop_hook_active"] for each in inputs(host, "Stop")] == [False, True]


async def test_a_stop_hook_that_never_has_enough_ends_at_the_limit(autojump_clock: MockClock) -> None:
    block = {"decision": "block", "reason": "go on"}
    host = await play("Hello", registered("Stop"), {"Stop": block}, max_turns=3)
    assert (host.results[0].subtype, len(events(host))) == ("error_max_turns", 3)


async def test_an_unanswered_hook_is_withdrawn_and_its_tool_does_not_run(autojump_clock: MockClock) -> None:
    hooks = registered("PreToolUse", "UserPromptSubmit", timeout=2)
    async with open_engine(tools=[add]) as host:
        host.send(host.request(Initialize(hooks=hooks)), host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(10)
        assert host.story[1:4] == ["? UserPromptSubmit h_UserPromptSubmit", "withdrawn", "init"]
    unanswered = "A PreToolUse hook did not answer (its host may be unreachable), so the tool call was not executed."
    assert host.story[6:9] == ["? PreToolUse h_PreToolUse", "withdrawn", f"user: error {unanswered}"]
    assert (host.results[0].subtype, host.results[0].duration_ms) == ("success", 4000)
    assert host.results[0].permission_denials == []


@pytest.mark.parametrize(
    ("more", "result"),
    [({}, "gives 3"), ({"onFailure": "block"}, "error PreToolUse:add hook error: PreToolUse hook failed: oops")],
)
async def test_a_hook_that_fails_decides_nothing_unless_it_was_to_block(
    more: dict[str, Any], result: str, autojump_clock: MockClock
) -> None:
    host = await play("Call add(a=1, b=2)", registered("PreToolUse", **more), {"PreToolUse": "oops"})
    assert f"user: {result}" in host.story


async def test_an_interrupt_withdraws_hooks(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[add]) as host:
        host.send(host.request(Initialize(hooks=registered("PreToolUse"))), host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(1)
        host.send(host.request(Interrupt()))
        await trio.sleep(1)
    assert host.story[4:7] == ["? PreToolUse h_PreToolUse", "withdrawn", "r2: {'still_queued': []}"]
    assert host.results[0].terminal_reason == "aborted_tools"


async def test_at_the_end_of_input_a_tool_whose_hook_cannot_be_asked_does_not_run(autojump_clock: MockClock) -> None:
    async with open_engine(tools=[add], model=OfflineModel(piece_delay=1)) as host:
        host.send(host.request(Initialize(hooks=registered("PreToolUse", "Stop"))), host.prompt("Call add(a=1, b=2)"))
        await trio.sleep(0.5)
    assert any("did not answer" in line for line in host.story)
    assert host.results[0].subtype == "success"


async def test_what_a_hook_tells_the_user(autojump_clock: MockClock) -> None:
    host = await play("Hello", registered("Stop"), {"Stop": {"systemMessage": "psst"}})
    (notice,) = [message for message in host.said if getattr(message, "subtype", "") == "informational"]
    assert notice.data["content"] == "psst"


async def test_slash_commands_have_hooks_too(autojump_clock: MockClock) -> None:
    hooks = registered("PreCompact", "PostCompact", "SessionEnd", "SessionStart")
    async with open_engine(reply=lambda request: {}) as host:
        host.send(host.request(Initialize(hooks=hooks)))
        for prompt in ("Remember: I like tea", "/compact briefly", "/clear", "Hello"):
            host.send(host.prompt(prompt, verbatim=False))
        await trio.sleep(1)
    assert events(host) == ["SessionStart", "PreCompact", "PostCompact", "SessionEnd", "SessionStart"]
    assert inputs(host, "PreCompact") == [{"trigger": "manual", "custom_instructions": "briefly"}]
    assert inputs(host, "PostCompact") == [{"trigger": "manual", "compact_summary": "Remember: I like tea"}]
    assert (inputs(host, "SessionEnd"), inputs(host, "SessionStart")) == (
        [{"reason": "clear"}],
        [{"source": "startup"}, {"source": "clear"}],
    )


async def test_a_hook_may_stop_a_compaction(autojump_clock: MockClock) -> None:
    async with open_engine(reply=lambda request: {"decision": "block", "reason": "not now"}) as host:
        host.send(host.prompt("Remember: I like tea"))
        await trio.sleep(1)
        host.send(host.request(Initialize(hooks=registered("PreCompact"))), host.prompt("/compact", verbatim=False))
        await trio.sleep(1)
    assert host.story[-2:] == [
        "assistant: A hook stopped the compaction: not now",
        "result: success None None",
    ]


async def test_registering_again_replaces_and_what_is_malformed_is_refused(autojump_clock: MockClock) -> None:
    async with open_engine(reply=lambda request: {}) as host:
        host.send(host.request(Initialize(hooks=registered("Stop"))))
        host.send(host.request(Initialize(hooks={"Stop": [{"hookCallbackIds": 3}]})))
        host.send(host.prompt("Hello"))
        await trio.sleep(1)
        host.send(host.request(Initialize(hooks=None)), host.prompt("Hello"))
        await trio.sleep(1)
        host.send(host.request(UnknownRequest(body={"subtype": "end_session"})))
    assert (len(events(host)), len(host.results)) == (1, 2)
    assert host.story[1].startswith("r2: Invalid hooks: Expected `array`, got `int`")


@pytest.mark.parametrize("timeout", [-1, 0])
async def test_a_time_out_that_is_none(timeout: float, autojump_clock: MockClock) -> None:
    host = await play("Call add(a=1, b=2)", registered("PreToolUse", timeout=timeout), {})
    assert host.results[0].result == "The tool add says: 3."
