"""The real Claude Code asks before it uses a tool, and whatever the answer is, or whether one comes, the turn has its end."""

import json
from typing import Any

import pytest
import trio

import triologue as tri
from tests.support.live import Endless, bash, call, open_live_manager, permissions_told, read_story, read_to_the_end
from tests.support.real_cli import CleanPlace

pytestmark = pytest.mark.real_cli

SAY = "[[results]][[say , on]]"
DONE = "(Bash completed with no output)"


async def by_its_last_word(
    name: str, given: dict[str, Any], context: tri.ToolPermissionContext
) -> tri.PermissionResult:
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
        assert permissions_told(seen) == [
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
        assert {event.turn_id for event in seen if permissions_told([event])} == {turn.id}
        # What was changed is in the agent's hands only: the call is shown as the model made it.
        assert [given["command"] for _, given in story.calls] == [f"touch {word}" for word in words]
        assert sorted(path.name for path in place.cwd.iterdir()) == ["allowed", "other"]
        failed = "Tool permission request failed: Error: "
        assert story.results == [
            ("Bash", DONE, False),
            ("Bash", DONE, False),
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
        # It may ask while it still reads the end of the model's answer.
        assert (outcome.kind, outcome.reason) in [("failed", "aborted_tools"), ("failed", "aborted_streaming")]
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
        match name:
            case "Bash":
                rule = tri.PermissionRuleValue("Bash")  # without a content: all of it
                update = tri.PermissionUpdate("addRules", rules=[rule], behavior="allow", destination="session")
                return tri.PermissionResultAllow(updated_permissions=[update])
            case _:
                mode = {"type": "setMode", "mode": "acceptEdits", "destination": "session"}
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


# People.


@pytest.mark.slow
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
            for late_answer in (request.allow(by="bob"), request.deny("no", by="bob")):
                with pytest.raises(tri.AlreadyAnswered) as late:
                    await late_answer
                assert (late.value.by, late.value.answer) == ("ada", "allow")
            assert await request.wait() == tri.PermissionAnswered(id=request.id, answer="allow", by="ada")
            seen = await read_to_the_end(events)
        assert permissions_told(seen) == [("asked", "echo made > made && cat made"), ("allow", "ada", "")]
        assert (await turn.wait()).unwrap().result == "made, on"
        # It is found by its id also when it is settled, for the button that is pressed once more.
        assert manager.permissions() == []
        found = manager.permission(request.id)
        assert found is not None
        assert (found, found.answered) == (request, request.answered)


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
    assert permissions_told(seen) == [("asked", "touch 0"), ("allow", "nobody", "")]
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


@pytest.mark.slow
async def test_a_callback_of_the_manager_that_raises(place: CleanPlace) -> None:
    def post(request: tri.PermissionRequest) -> None:
        raise ConnectionError("the chat is down")

    async with open_live_manager(place, on_permission=post) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch never") + SAY)
            seen = await read_to_the_end(events)
        assert permissions_told(seen) == [
            ("asked", "touch never"),
            ("raised", "can_use_tool", "the chat is down"),
            ("failed", "nobody", "the chat is down"),
        ]
        assert (await turn.wait()).unwrap().result == "Tool permission request failed: Error: the chat is down, on"
    assert list(place.cwd.iterdir()) == []


@pytest.mark.slow
async def test_whoever_looks_may_answer(place: CleanPlace) -> None:
    async with open_live_manager(place, tri.Options(permission_prompt_tool_name="stdio")) as manager:
        session = manager.session("a")
        async with session.subscribe() as events:
            turn = await session.send(bash("touch made") + SAY)
            async for event in events:
                if isinstance(event.message, tri.PermissionAsked):
                    request = manager.permission(event.message.id)
                    assert request is not None
                    await request.allow()
                    break
        assert (await turn.wait()).unwrap().result == f"{DONE}, on"


@pytest.mark.slow
async def test_a_request_of_two_megabytes(place: CleanPlace) -> None:
    content, file = "x" * 2_000_000, place.cwd / "big"

    async def change(name: str, given: dict[str, Any], context: tri.ToolPermissionContext) -> tri.PermissionResult:
        assert given == {"file_path": str(file), "content": content}
        return tri.PermissionResultAllow(updated_input={**given, "content": content.upper()})

    async with open_live_manager(place, tri.Options(can_use_tool=change)) as manager:
        await manager.session("a").ask(call("Write", file_path=str(file), content=content))
    assert file.read_text() == content.upper()


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
