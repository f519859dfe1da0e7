"""Hooks in the real Claude Code: they decide, add and replace, and one that fails or hangs harms nothing but itself."""

import json
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.live import Endless, bash, call, open_live_manager, read_story, read_to_the_end, tap
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli

SAY = "[[results]][[say , on]]"
DONE = "(Bash completed with no output)"


def specific(event: str, **more: Any) -> dict[str, Any]:
    """The output of a hook that is about this event."""
    return {"hookSpecificOutput": {"hookEventName": event, **more}}


def hooks(**by_event: tri.HookMatcher) -> dict[str, list[tri.HookMatcher]]:
    return {event: [matcher] for event, matcher in by_event.items()}


def last_request(place: CleanPlace) -> str:
    """All that the model was given for its last answer."""
    return json.dumps(place.api.turns[-1].body["messages"])


@pytest.mark.slow
async def test_each_is_called_in_its_order_and_may_add_to_what_the_model_sees(place: CleanPlace) -> None:
    called: list[tuple[str, str]] = []

    async def note(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        event = given["hook_event_name"]
        called.append((event, given.get("tool_input", {}).get("command", "")))
        match event:
            case "PostToolBatch":
                return {"async_": True, "asyncTimeout": 5_000}
            case "Stop" if not given["stop_hook_active"]:
                return {"decision": "block", "reason": "you forgot something"}
            case "Stop":
                return {}
            case _:
                return specific(event, additionalContext=f"it is {event}")

    async def never(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        raise AssertionError(given)

    events = ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Stop")
    matchers = {event: [tri.HookMatcher(hooks=[note])] for event in events}
    matchers["PreToolUse"] = [tri.HookMatcher("Write", [never]), tri.HookMatcher("B.*|Edit", [note])]
    options = tri.Options(hooks=matchers, allowed_tools=["Bash"])
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        turn = await session.send(bash("true") + bash("false") + "[[say first]] [[end]] [[say second]]")
        story = await read_story(turn)
    assert called == [
        ("UserPromptSubmit", ""),
        ("PreToolUse", "true"),
        ("PostToolUse", "true"),
        ("PostToolBatch", ""),
        ("PreToolUse", "false"),
        ("PostToolUseFailure", "false"),
        ("PostToolBatch", ""),
        ("Stop", ""),
        ("Stop", ""),
    ]
    # The end was blocked once, which is one more call of the model.
    assert (story.said, len(place.api.turns)) == ("firstsecond", 4)
    assert story.result is not None
    assert (story.result.result, story.result.num_turns) == ("second", 4)
    seen = last_request(place)
    for event in ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure"):
        assert f"it is {event}" in seen
    assert "you forgot something" in seen


async def test_one_decides_about_a_tool(place: CleanPlace) -> None:
    asked: list[str] = []

    async def decide(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        event, tool_input = given["hook_event_name"], given["tool_input"]
        match tool_input["command"].split()[-1]:
            case "denied":
                return specific(event, permissionDecision="deny", permissionDecisionReason="not that one")
            case "changed":
                changed = {**tool_input, "command": "touch other"}
                return specific(event, permissionDecision="allow", updatedInput=changed)
            case "asked":
                return specific(event, permissionDecision="ask", permissionDecisionReason="not sure")
            case _:
                return {}

    async def replace(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        output = {**given["tool_response"], "stdout": "what the hook says"}
        return specific("PostToolUse", updatedToolOutput=output)

    async def can_use_tool(
        name: str, given: dict[str, Any], context: tri.ToolPermissionContext
    ) -> tri.PermissionResult:
        asked.append(given["command"])
        return tri.PermissionResultAllow()

    options = tri.Options(
        hooks=hooks(
            PreToolUse=tri.HookMatcher("Bash", [decide]),
            PostToolUse=tri.HookMatcher("Bash", [replace]),
        ),
        can_use_tool=can_use_tool,
    )
    script = bash("touch denied") + bash("touch changed") + bash("echo asked") + bash("touch made")
    async with open_live_manager(place, options) as manager:
        turn = await manager.session("a").send(script + "[[say on]]")
        story = await read_story(turn)
    # `echo` would not have been asked about.
    assert asked == ["echo asked", "touch made"]
    assert story.results == [
        ("Bash", "PreToolUse:Bash hook error: not that one", True),
        ("Bash", "what the hook says", False),
        ("Bash", "what the hook says", False),
        ("Bash", "what the hook says", False),
    ]
    assert sorted(path.name for path in place.cwd.iterdir()) == ["made", "other"]
    assert story.said == "on"


@pytest.mark.slow
async def test_one_that_raises_or_says_nonsense_is_told_of_and_decides_nothing(place: CleanPlace) -> None:
    async def fail(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        raise RuntimeError("boom")

    def nonsense(given: Any, tool_use_id: str | None, context: tri.HookContext) -> str:
        return "yes"

    options = tri.Options(
        hooks={
            "PreToolUse": [
                tri.HookMatcher("Bash", [fail, nonsense]),  # type: ignore[list-item]
                tri.HookMatcher("Write", [fail], on_failure="block"),
            ]
        },
        allowed_tools=["Bash", "Write"],
    )
    blocked = call("Write", file_path=str(place.cwd / "blocked"), content="x")
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch made") + blocked + "[[say on]]")
            seen = await read_to_the_end(events)
        story = await read_story(turn)
        assert (await session.ask("[[say alive]]")).result == "alive"
    failures = [(event.turn_id, event.message) for event in seen if isinstance(event.message, tri.CallbackFailed)]
    first, *rest = sorted(message.error for _, message in failures)
    assert {turn_id for turn_id, _ in failures} == {turn.id}
    assert {message.request for _, message in failures} == {"hook_callback"}
    assert (first, rest[0]) == ("boom", "boom")
    assert rest[1].endswith("gave 'yes' and no dict; give {} to decide nothing")
    (ran, was_blocked) = story.results
    assert ran == ("Bash", DONE, False)
    assert was_blocked[2] is True
    assert 'blocking because onFailure is "block"' in was_blocked[1]
    assert [path.name for path in place.cwd.iterdir()] == ["made"]
    assert story.said == "on"


@pytest.mark.slow
async def test_one_that_is_late_is_cancelled_and_its_tool_does_not_run(place: CleanPlace) -> None:
    endless, line = Endless(), tap(place)
    options = tri.Options(
        hooks=hooks(PreToolUse=tri.HookMatcher("Bash", [endless], timeout=0.2)), allowed_tools=["Bash"]
    )
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(bash("touch late") + "[[say on]]")
        story = await read_story(turn)
        await endless.cancelled.wait()
        ((name, said, is_error),) = story.results
        assert (name, is_error, story.said) == ("Bash", True, "on")
        assert said.startswith("PreToolUse hook did not respond before its timeout")
        assert (await session.ask("[[say alive]]")).result == "alive"
        assert line.unanswered() == ["hook PreToolUse"]
        assert [request_id for request_id, _ in line.asked][:1] == line.withdrawn
    assert list(place.cwd.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("event", ["UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"])
@pytest.mark.parametrize("end", ["interrupt", "close"])
async def test_one_that_never_returns_is_cancelled_by_the_end_of_its_turn(
    place: CleanPlace, event: str, end: str
) -> None:
    endless, line = Endless(), tap(place)
    options = tri.Options(hooks=hooks(**{event: tri.HookMatcher(hooks=[endless])}), allowed_tools=["Bash"])
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        turn = await session.send(bash("echo ran") + "[[say on]]")
        await endless.begun.wait()
        is_done = event == "Stop"  # all was said, and Claude Code gives the result as if nothing had been in its way
        if end == "interrupt":
            assert await session.interrupt() == ("already_done" if is_done else "stopped")
            assert session.state == "idle"
        else:
            await session.close()
        assert (await turn.wait()).kind == ("answered" if is_done else "interrupted")
        await endless.cancelled.wait()
        assert line.unanswered() == [f"hook {event}"]


@pytest.mark.slow
async def test_all_of_an_event_run_at_once(place: CleanPlace) -> None:
    here, all_here = 0, trio.Event()

    async def meet(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        nonlocal here
        here += 1
        if here == 10:
            all_here.set()
        await all_here.wait()
        return specific("PreToolUse", permissionDecision="allow")

    matchers = [tri.HookMatcher("Bash", [meet, meet]) for _ in range(5)]
    async with open_live_manager(place, tri.Options(hooks={"PreToolUse": matchers})) as manager:
        result = await manager.session("a").ask(bash("touch made") + SAY)
    assert result.result == f"{DONE}, on"


@pytest.mark.slow
async def test_a_hook_answers_a_permission_request_and_the_callback_is_cancelled(place: CleanPlace) -> None:
    endless = Endless()

    async def allow(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        await endless.begun.wait()
        return specific("PermissionRequest", decision={"behavior": "allow"})

    options = tri.Options(can_use_tool=endless, hooks=hooks(PermissionRequest=tri.HookMatcher(hooks=[allow])))
    line = tap(place)
    async with open_live_manager(place, options, agent=line) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            await session.send(bash("touch made") + SAY)
            seen = await read_to_the_end(events)
        await endless.cancelled.wait()
        answers = [event.message for event in seen if isinstance(event.message, tri.PermissionAnswered)]
        assert [(each.answer, each.reason) for each in answers] == [("cancelled", "the agent took the request back")]
        assert line.unanswered() == ["can_use_tool"]
    assert (place.cwd / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("event", ["PreToolUse", "PostToolUse"])
async def test_one_stops_the_turn(place: CleanPlace, event: str) -> None:
    async def stop(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        return {"continue_": False, "stopReason": "enough"}

    options = tri.Options(hooks=hooks(**{event: tri.HookMatcher(hooks=[stop])}), allowed_tools=["Bash"])
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        outcome = await (await session.send(bash("touch made") + "[[say never]]")).wait()
        assert (outcome.kind, outcome.reason, outcome.unwrap().result) == ("answered", "hook_stopped", "")
        assert (await session.ask("[[say alive]]")).result == "alive"
    # Claude Code runs the tool before it stops, also when it is told so before.
    assert (place.cwd / "made").exists()


@pytest.mark.slow
async def test_one_refuses_a_prompt(place: CleanPlace) -> None:
    async def refuse(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
        return {"decision": "block", "reason": "not here"} if "secret" in given["prompt"] else {}

    options = tri.Options(hooks=hooks(UserPromptSubmit=tri.HookMatcher(hooks=[refuse])))
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        outcome = await (await session.send("a secret")).wait()
        assert outcome.kind == "answered"
        assert outcome.unwrap().result == (
            "UserPromptSubmit operation blocked by hook:\nnot here\n\nOriginal prompt: a secret"
        )
        assert place.api.turns == []
        # The model never learns of it.
        assert (await session.ask("and now?")).result == "echo[1]: and now?"
