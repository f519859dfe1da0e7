"""The real Claude Code asks before it uses a tool, and whatever the answer is, or whether one comes, the turn has its end."""

import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.live import bash, call, open_live_manager, read_story, read_to_the_end, tap
from tests.support.real_cli import CleanPlace
from tests.support.wiretap import Wiretap

pytestmark = pytest.mark.real_cli

SAY = "[[results]][[say , on]]"
CanUseTool = Callable[[str, dict[str, Any], tri.ToolPermissionContext], Awaitable[tri.PermissionResult]]


class Endless:
    """A callback that never answers, for `can_use_tool` or `on_permission`; it tells when it was begun and cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = trio.Event(), trio.Event()

    async def __call__(self, *asked: Any) -> Any:
        self.begun.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()


def told(events: list[tri.Event]) -> list[tuple[str, ...]]:
    """What was said about permissions: who asks for what, and what became of it."""
    found: list[tuple[str, ...]] = []
    for event in events:
        match event.message:
            case tri.PermissionAsked(request=request):
                found.append(("asked", request.input["command"]))
            case tri.PermissionAnswered(answer=answer, by=by, reason=reason):
                found.append((answer, by or "nobody", reason or ""))
            case tri.CallbackFailed(request=name, error=error):
                found.append(("raised", name, error))
            case _:
                pass
    return found


async def by_its_last_word(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
    """The command says what becomes of it."""
    match given["command"].split()[-1]:
        case "changed":
            return tri.PermissionResultAllow(updated_input={**given, "command": "echo done > other"})
        case "denied":
            return tri.PermissionResultDeny(message="not that one")
        case "stopped":
            return tri.PermissionResultDeny(message="enough", interrupt=True)
        case "raised":
            raise RuntimeError("boom")
        case "nonsense":
            return "yes"  # type: ignore[return-value]
        case _:
            return tri.PermissionResultAllow()


# The callback of the options.


async def test_every_answer_of_a_callback(place: CleanPlace) -> None:
    words = ("allowed", "changed", "denied", "raised", "nonsense")
    script = "".join(bash(f"touch {word}") for word in words)
    no_answer = (
        "a permission request is answered with PermissionResultAllow(...) or PermissionResultDeny(...), not with 'yes'"
    )
    async with open_live_manager(place, tri.Options(can_use_tool=by_its_last_word)) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(script + SAY)
            seen = await read_to_the_end(events)
        story = await read_story(turn)
        assert told(seen) == [
            ("asked", "touch allowed"),
            ("allow", "can_use_tool", ""),
            ("asked", "touch changed"),
            ("allow", "can_use_tool", ""),
            ("asked", "touch denied"),
            ("deny", "can_use_tool", "not that one"),
            ("asked", "touch raised"),
            ("raised", "can_use_tool", "boom"),
            ("failed", "nobody", "boom"),
            ("asked", "touch nonsense"),
            ("raised", "can_use_tool", no_answer),
            ("failed", "nobody", no_answer),
        ]
        assert {event.turn_id for event in seen if told([event])} == {turn.id}
        # What was changed is in the agent's hands only: the call is shown as the model made it.
        assert [given["command"] for _, given in story.calls] == [f"touch {word}" for word in words]
        assert sorted(path.name for path in place.cwd.iterdir()) == ["allowed", "other"]
        failed = "Tool permission request failed: Error: "
        assert story.results == [
            ("Bash", "(Bash completed with no output)", False),
            ("Bash", "(Bash completed with no output)", False),
            ("Bash", "not that one", True),
            ("Bash", f"{failed}boom", True),
            ("Bash", f"{failed}{no_answer}", True),
        ]
        # The model saw the same, and went on.
        assert story.said == " | ".join(text for _, text, _ in story.results) + ", on"
        assert story.result is not None
        denied = [denial["tool_input"]["command"] for denial in story.result.permission_denials or []]
        assert denied == ["touch denied", "touch raised", "touch nonsense"]
        # A denial can end the turn too.
        turn = await session.send(bash("touch stopped") + "[[say never]]")
        outcome = await turn.wait()
        assert (outcome.kind, outcome.reason) == ("failed", "aborted_tools")
        assert (await read_story(turn)).said == ""
        assert (await session.ask("[[say alive]]")).result == "alive"
    assert not (place.cwd / "stopped").exists()


@pytest.mark.slow
async def test_the_suggestions_make_the_question_unnecessary(place: CleanPlace) -> None:
    asked: list[tri.ToolPermissionContext] = []

    async def always(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
        asked.append(context)
        return tri.PermissionResultAllow(updated_permissions=[*context.suggestions])

    options = tri.Options(can_use_tool=always)
    async with open_live_manager(place, options) as manager:
        session = manager.session("a")
        turn = await session.send(bash("touch made") * 2)
        story = await read_story(turn)
        assert [is_error for _, _, is_error in story.results] == [False, False]
        await session.ask(bash("touch made"))
        await session.hibernate()
        await session.ask(bash("touch made"))
    (context,) = asked
    assert context.suggestions[0] == tri.PermissionUpdate(
        "addRules",
        rules=[tri.PermissionRuleValue("Bash", "touch made *")],
        behavior="allow",
        destination="localSettings",
    )
    assert [each.type for each in context.suggestions] == ["addRules", "addDirectories", "setMode"]
    (block,) = [
        block
        async for message in turn
        if isinstance(message, tri.AssistantMessage)
        for block in message.content
        if isinstance(block, tri.ToolUseBlock)
    ][:1]
    shown = (context.tool_use_id, context.display_name, context.description, context.agent_id)
    assert shown == (block.id, "Bash", "part of a test", None)
    kept = json.loads((place.cwd / ".claude" / "settings.local.json").read_text())
    assert kept["permissions"]["allow"] == ["Bash(touch made *)"]


@pytest.mark.slow
async def test_updates_of_our_own(place: CleanPlace) -> None:
    asked: list[str] = []

    async def once(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
        asked.append(name)
        session = "session"
        match name:
            case "Bash":
                rule = tri.PermissionRuleValue("Bash")  # without a content: all of it
                update = tri.PermissionUpdate("addRules", rules=[rule], behavior="allow", destination=session)
                return tri.PermissionResultAllow(updated_permissions=[update])
            case _:
                mode = {"type": "setMode", "mode": "acceptEdits", "destination": session}
                return tri.PermissionResultAllow(updated_permissions=[mode])

    def write(name: str) -> str:
        return call("Write", file_path=str(place.cwd / name), content="x")

    async with open_live_manager(place, tri.Options(can_use_tool=once)) as manager:
        session = manager.session("a")
        await session.ask(bash("touch one") + bash("touch two") + write("three") + write("four"))
        assert asked == ["Bash", "Write"]
        assert sorted(path.name for path in place.cwd.iterdir()) == ["four", "one", "three", "two"]
        # Rules of the session are not the next process's.
        await session.hibernate()
        await session.ask(bash("touch five"))
        assert asked == ["Bash", "Write", "Bash"]


# One that never returns.


async def test_an_interrupt_cancels_a_callback_that_never_returns(place: CleanPlace) -> None:
    endless, line = Endless(), tap(place)
    async with open_live_manager(place, tri.Options(can_use_tool=endless), agent=line) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch never"))
            await endless.begun.wait()
            (request,) = manager.permissions()
            assert await session.interrupt() == "stopped"
            seen = await read_to_the_end(events)
        assert ((await turn.wait()).kind, (await request.wait()).answer) == ("interrupted", "cancelled")
        await endless.cancelled.wait()
        assert told(seen) == [("asked", "touch never"), ("cancelled", "nobody", "the turn was interrupted")]
        assert manager.permissions() == []
        with pytest.raises(tri.AlreadyAnswered) as late:
            await request.allow(by="ada")
        assert (late.value.by, late.value.answer) == (None, "cancelled")
        assert (await session.ask("[[say alive]]")).result == "alive"
        never_answered(line)
    assert list(place.cwd.iterdir()) == []


def never_answered(line: Wiretap) -> None:
    """The permission request got no answer: neither when it was cancelled nor since."""
    assert line.unanswered() == ["can_use_tool"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "hibernate", "leave", "cancel", "kill"])
async def test_the_end_cancels_a_callback_that_never_returns(place: CleanPlace, end: str) -> None:
    endless, line = Endless(), tap(place)
    soon = tri.Deadlines(drain=0.1)
    options = tri.Options(can_use_tool=endless)
    with trio.CancelScope() as everything:
        async with open_live_manager(place, options, agent=line, deadlines=soon) as manager:
            session = manager.session("a")
            turn = await session.send(bash("touch never"))
            await endless.begun.wait()
            (request,) = manager.permissions()
            match end:
                case "close":
                    await session.close()
                case "hibernate":
                    # It waits for the turn, which waits for an answer: somebody else gives one.
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(session.hibernate)
                        await request.deny("no", by="ada")
                case "cancel":
                    everything.cancel()
                case "kill":
                    assert session.pid is not None
                    os.kill(session.pid, signal.SIGKILL)
                    await turn.wait()
                case _:
                    pass
    outcome = await turn.wait()
    answered = await request.wait()
    await endless.cancelled.wait()
    if end == "hibernate":
        assert (outcome.kind, answered.answer, answered.by) == ("answered", "deny", "ada")
        assert line.unanswered() == []
    else:
        kind = "failed" if end == "kill" else "interrupted"
        assert (outcome.kind, answered.answer, request.answered) == (kind, "cancelled", answered)
        never_answered(line)
    assert list(place.cwd.iterdir()) == []


@pytest.mark.parametrize("hanging", ["can_use_tool", pytest.param("on_permission", marks=pytest.mark.slow)])
async def test_what_nobody_answers_is_denied_at_its_deadline(place: CleanPlace, hanging: str) -> None:
    endless = Endless()
    options = tri.Options(can_use_tool=endless) if hanging == "can_use_tool" else None
    on_permission = endless if hanging == "on_permission" else None
    soon = tri.Deadlines(permission=0.1)
    async with open_live_manager(place, options, deadlines=soon, on_permission=on_permission) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch late") + SAY)
            seen = await read_to_the_end(events)
        result = (await turn.wait()).unwrap()
        await endless.cancelled.wait()
        reason = "Nobody answered this permission request within Deadlines.permission, so it is denied."
        assert told(seen) == [("asked", "touch late"), ("expired", "nobody", reason)]
        assert result.result == f"{reason}, on"
        assert [denial["tool_name"] for denial in result.permission_denials or []] == ["Bash"]
        assert (await session.ask("[[say alive]]")).result == "alive"
    assert list(place.cwd.iterdir()) == []


# People.


async def test_people_answer_by_the_id_of_the_request(place: CleanPlace) -> None:
    buttons, pressed = trio.open_memory_channel[str](1)

    async def post(request: tri.PermissionRequest) -> None:
        await buttons.send(request.id)  # and returns: the answer comes from another task

    async with open_live_manager(place, on_permission=post) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("echo made > made && cat made") + SAY, meta={"user": "U1"})
            with trio.fail_after(30):
                request = manager.permission(await pressed.receive())
            assert request is not None
            assert manager.permissions() == [request]
            assert len(request.id) <= 36
            assert (request.session.key, request.turn, request.meta, request.tool, request.input) == (
                "a",
                turn,
                {"user": "U1"},
                "Bash",
                {"command": "echo made > made && cat made", "description": "part of a test"},
            )
            assert request.suggestions[0].type == "addRules"
            await request.allow(by="ada")
            for again in (request.allow(by="bob"), request.deny("no", by="bob")):
                with pytest.raises(tri.AlreadyAnswered) as late:
                    await again
                assert (late.value.by, late.value.answer) == ("ada", "allow")
            assert await request.wait() == tri.PermissionAnswered(id=request.id, answer="allow", by="ada")
            seen = await read_to_the_end(events)
        assert told(seen) == [("asked", "echo made > made && cat made"), ("allow", "ada", "")]
        assert (await turn.wait()).unwrap().result == "made, on"
        # It is found by its id also when it is settled, for the button that is pressed once more.
        assert manager.permissions() == []
        again = manager.permission(request.id)
        assert again is not None
        assert (again, again.answered) == (request, request.answered)


@pytest.mark.slow
async def test_the_requests_of_many_sessions_are_open_at_once_and_each_gets_its_own_answer(place: CleanPlace) -> None:
    count = 4
    async with open_live_manager(place, on_permission=lambda request: None) as manager:
        async with manager.session("0").subscribe() as events:
            turns = [await manager.session(str(n)).send(bash(f"touch {n}") + SAY) for n in range(count)]
            with trio.fail_after(60):
                while len(manager.permissions()) < count:
                    await trio.sleep(0.01)
            for request in manager.permissions():
                if int(request.session.key) % 2:
                    await request.deny("odd")
                else:
                    await request.allow()
            said = [(await turn.wait()).unwrap().result for turn in turns]
            seen = await read_to_the_end(events)
    assert said == ["(Bash completed with no output), on", "odd, on"] * 2
    assert told(seen) == [("asked", "touch 0"), ("allow", "nobody", "")]
    assert sorted(path.name for path in place.cwd.iterdir()) == ["0", "2"]


@pytest.mark.slow
async def test_parallel_calls_are_each_asked_about(place: CleanPlace) -> None:
    words = ["denied", "allowed", "changed", "raised"]
    script = bash(f"touch {words[0]}") + "".join(
        bash(f"touch {word}").replace("[[tool", "[[and tool") for word in words[1:]
    )
    async with open_live_manager(place, tri.Options(can_use_tool=by_its_last_word)) as manager:
        turn = await manager.session("a").send(script + SAY)
        story = await read_story(turn)
    assert sorted(is_error for _, _, is_error in story.results) == [False, False, True, True]
    assert story.said == (
        "not that one | (Bash completed with no output) | (Bash completed with no output) | "
        "Tool permission request failed: Error: boom, on"
    )
    assert sorted(path.name for path in place.cwd.iterdir()) == ["allowed", "other"]


# The SDK-shaped faces.


@pytest.mark.slow
async def test_a_client_is_asked_and_interrupted(place: CleanPlace) -> None:
    endless = Endless()

    async def ask(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
        if given["command"] == "touch never":
            await endless()
        return await by_its_last_word(name, given, context)

    options = tri.Options(cwd=place.cwd, can_use_tool=ask)
    async with tri.Client(options, tri.ClaudeCode(environ=place.env)) as client:
        await client.query(bash("touch changed") + bash("touch denied") + SAY)
        (result,) = [each async for each in client.receive_response() if isinstance(each, tri.ResultMessage)]
        assert result.result == "(Bash completed with no output) | not that one, on"
        await client.query(bash("touch never"))
        await endless.begun.wait()
        assert await client.interrupt() == "stopped"
        await endless.cancelled.wait()
        await client.query("[[say alive]]")
        (result,) = [each async for each in client.receive_response() if isinstance(each, tri.ResultMessage)]
        assert result.result == "alive"
    assert [path.name for path in place.cwd.iterdir()] == ["other"]


@pytest.mark.slow
async def test_a_query_is_asked(place: CleanPlace) -> None:
    options = tri.Options(cwd=place.cwd, can_use_tool=by_its_last_word)
    script = bash("touch allowed") + bash("touch raised") + SAY
    async with tri.query(script, options=options, agent=tri.ClaudeCode(environ=place.env)) as messages:
        (result,) = [each async for each in messages if isinstance(each, tri.ResultMessage)]
    assert result.result == "(Bash completed with no output) | Tool permission request failed: Error: boom, on"
    assert [path.name for path in place.cwd.iterdir()] == ["allowed"]
