"""Permission requests: asked, answered once by whoever comes first, and ended by everything that ends a turn."""

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.scripted_agent import ScriptedAgent
from tests.unit.manager.stage import answer, scripted
from triologue.errors import AlreadyAnswered, InvalidOption, TurnFailed
from triologue.manager import PermissionRequest, open_manager
from triologue.messages import (
    AssistantMessage,
    CallbackFailed,
    CanUseTool,
    PermissionAnswered,
    PermissionAsked,
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionRuleValue,
    PermissionUpdate,
    ResultMessage,
)
from triologue.options import Deadlines, Options, ToolPermissionContext

ALLOWED = "Bash: {'behavior': 'allow', 'updatedInput': {'n': 1}}"


class Inbox:
    """A chat: requests come in, and stay until somebody presses a button."""

    def __init__(self) -> None:
        self.requests: list[PermissionRequest] = []
        self._arrived = trio.Condition()

    async def __call__(self, request: PermissionRequest) -> None:
        self.requests.append(request)
        async with self._arrived:
            self._arrived.notify_all()

    async def next(self) -> PermissionRequest:
        while not self.requests:
            async with self._arrived:
                await self._arrived.wait()
        return self.requests.pop(0)


def using(can_use_tool: Any) -> Options:
    return Options(can_use_tool=can_use_tool)


# on_permission.


async def test_a_button_is_pressed_long_after_the_callback_returned(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox) as (session, agent, manager):
        turn = await session.send("use Bash", id="t1", meta={"user": "U1"})
        request = await inbox.next()
        assert (request.tool, request.input, request.meta, request.suggestions) == (
            "Bash",
            {"n": 1},
            {"user": "U1"},
            [],
        )
        assert (request.session, request.session.key, request.turn) == (session, "k", turn)
        assert request.context == ToolPermissionContext(request=request.request)
        assert (len(request.id) <= 36, request.deadline, request.answered) == (True, trio.current_time() + 3600, None)
        assert manager.permissions() == [request] == [manager.permission(request.id)]
        assert manager.statistics().permissions == 1
        assert session.state == "running"
        await trio.sleep(3000)
        same = manager.permission(request.id)
        assert same is not None
        await same.allow(by="ada")
        assert (await turn.wait()).unwrap().result == ALLOWED
        assert await request.wait() == PermissionAnswered(id=request.id, answer="allow", by="ada")
        assert manager.permissions() == []
        assert repr(request) == f"<PermissionRequest {request.id!r}: Bash in 'k', allow>"
        async with session.subscribe(after=0) as events:
            said = [await anext(events) for _ in range(11)]
        assert [(each.turn_id, type(each.message)) for each in said if "Permission" in type(each.message).__name__] == [
            ("t1", PermissionAsked),
            ("t1", PermissionAnswered),
        ]
        assert agent.link.options.permission_prompt_tool_name == "stdio"


async def test_a_turn_gives_what_the_agent_said_and_no_permissions(autojump_clock: MockClock) -> None:
    async with (
        scripted(on_permission=lambda request: request.allow()) as (session, _, _),
        session.turn("use Bash") as turn,
    ):
        assert [type(each) for each in [each async for each in turn]][-2:] == [AssistantMessage, ResultMessage]


async def test_can_use_tool_may_be_a_plain_function() -> None:
    def allow(tool: str, given: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        return PermissionResultAllow()

    async with scripted(options=Options(can_use_tool=allow)) as (session, _, _):  # typed so, too
        assert await answer(session, "use Bash") == ALLOWED


async def test_a_callback_may_be_sync_or_async_and_answer_at_once(autojump_clock: MockClock) -> None:
    async def deny(request: PermissionRequest) -> None:
        await request.deny("not here")

    async with scripted(on_permission=deny) as (session, _, _):
        assert await answer(session, "use Bash") == "Bash: {'behavior': 'deny', 'message': 'not here'}"
    seen: list[str] = []
    async with scripted(on_permission=lambda request: seen.append(request.tool)) as (session, _, manager):
        turn = await session.send("use Bash")
        await wait_all_tasks_blocked()
        await manager.permissions()[0].allow()
        assert ((await turn.wait()).kind, seen) == ("answered", ["Bash"])


async def test_whoever_comes_second_hears_who_was_first(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox) as (session, _, manager):
        turn = await session.send("use Bash")
        request = await inbox.next()
        errors: list[AlreadyAnswered] = []

        async def press(by: str) -> None:
            try:
                await request.allow(by=by)
            except AlreadyAnswered as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for by in ("ada", "bob", "eve"):
                nursery.start_soon(press, by)
        winner = (await request.wait()).by
        assert [(error.by, error.answer) for error in errors] == [(winner, "allow")] * 2
        await turn.wait()
        late = manager.permission(request.id)
        assert late is not None
        assert late.input == {}
        with pytest.raises(AlreadyAnswered, match=f"it was allowed by '{winner}'"):
            await late.deny("too late")
        assert manager.permission("never") is None


async def test_the_answer_decides_what_the_tool_runs_with(autojump_clock: MockClock) -> None:
    update = PermissionUpdate("addRules", rules=[PermissionRuleValue("Bash")], behavior="allow")

    async def allow(request: PermissionRequest) -> None:
        request.input["n"] = 2
        await request.allow(updated_input=request.input, updated_permissions=[update])

    async with scripted(on_permission=allow) as (session, agent, _):
        await session.ask("use Bash")
        async with session.subscribe(after=0) as events:
            asked = [(await anext(events)).message for _ in range(8)]
        assert agent.link.replies["theirs1"].response.response == {  # type: ignore[union-attr]  # it is a success
            "behavior": "allow",
            "updatedInput": {"n": 2},
            "updatedPermissions": [
                {
                    "destination": "session",
                    "type": "addRules",
                    "rules": [{"toolName": "Bash"}],
                    "behavior": "allow",
                }
            ],
        }
        requests = [each.request for each in asked if isinstance(each, PermissionAsked)]
        assert [request.input for request in requests] == [{"n": 1}], "the log has what was asked"


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("allow", {"updated_input": "ls"}),
    ("allow", {"updated_input": {"who": object()}}),
    ("allow", {"updated_permissions": "all"}),
    ("allow", {"updated_permissions": ["all"]}),
    ("allow", {"by": 7}),
    ("deny", {"message": 7}),
    ("deny", {"message": None}),
    ("deny", {"interrupt": "yes"}),
]


@pytest.mark.parametrize(("method", "wrong"), WRONG)
async def test_a_wrong_answer_is_refused_and_leaves_the_request_open(method: str, wrong: dict[str, Any]) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox) as (session, _, manager):
        turn = await session.send("use Bash")
        request = await inbox.next()
        with pytest.raises(InvalidOption):
            await getattr(request, method)(**wrong)
        assert manager.permissions() == [request]
        await request.allow()
        assert (await turn.wait()).unwrap().result == ALLOWED


async def test_a_callback_that_raises_is_an_error_for_the_agent_and_an_event(autojump_clock: MockClock) -> None:
    def raising(request: PermissionRequest) -> None:
        raise RuntimeError("the chat is down")

    async with scripted(on_permission=raising) as (session, _, _):
        assert await answer(session, "use Bash") == "Bash: the chat is down"
        assert await answer(session, "two") == "2. two"
        async with session.subscribe(after=0) as events:
            said = [(await anext(events)).message for _ in range(12)]
        assert CallbackFailed(request="can_use_tool", error="the chat is down") in said
        assert [each.answer for each in said if isinstance(each, PermissionAnswered)] == ["failed"]


async def test_a_callback_that_returns_its_answer_is_told_how_to_give_it(autojump_clock: MockClock) -> None:
    async with scripted(on_permission=lambda request: PermissionResultAllow()) as (session, _, _):
        assert "request.allow()" in str(await answer(session, "use Bash"))


async def test_on_permission_and_can_use_tool_exclude_each_other() -> None:
    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        return PermissionResultAllow()

    with pytest.raises(InvalidOption, match="on_permission"):
        async with open_manager(ScriptedAgent(), options=using(can_use_tool), on_permission=Inbox()):
            pass
    with pytest.raises(InvalidOption, match="no function"):
        async with open_manager(ScriptedAgent(), on_permission="ask"):  # type: ignore[arg-type]  # that is the point
            pass
    async with scripted(on_permission=Inbox()) as (session, _, manager):
        with pytest.raises(InvalidOption, match="on_permission"):
            manager.session("other", options=using(can_use_tool))
        await session.ask("hi")
        with pytest.raises(InvalidOption, match="on_permission"):
            manager.session("k", options=using(can_use_tool))


# can_use_tool.


async def test_can_use_tool_gets_the_request_and_gives_the_answer(autojump_clock: MockClock) -> None:
    seen: list[tuple[str, dict[str, Any], str | None]] = []

    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        seen.append((name, input, context.tool_use_id))
        return PermissionResultAllow(updated_input={**input, "safe": True})

    async with scripted(options=using(can_use_tool)) as (session, agent, _):
        assert await answer(session, "use Bash") == (
            "Bash: {'behavior': 'allow', 'updatedInput': {'n': 1, 'safe': True}}"
        )
        assert seen == [("Bash", {"n": 1}, "tool1")]
        assert agent.link.options.permission_prompt_tool_name == "stdio"


async def test_a_plain_function_answers_too() -> None:
    async with scripted(options=using(lambda name, input, context: PermissionResultAllow())) as (session, _, _):
        assert await answer(session, "use Bash") == ALLOWED


async def test_a_denial_may_end_the_turn(autojump_clock: MockClock) -> None:
    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        return PermissionResultDeny(message="never", interrupt=True)

    async with scripted(options=using(can_use_tool)) as (session, _, _):
        with pytest.raises(TurnFailed):
            await session.ask("use Bash")
        assert await answer(session, "two") == "2. two"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (True, "a permission request is answered with PermissionResultAllow(...) or PermissionResultDeny(...), not"),
        (None, "not with None"),
        (PermissionResultAllow(updated_input="ls"), "updated_input='ls' is no dict"),  # type: ignore[arg-type]  # wrong
        (PermissionResultAllow(updated_input={"who": object()}), "object"),
    ],
    ids=["no result", "nothing", "no dict", "no JSON"],
)
async def test_what_is_no_answer_is_an_error_that_names_it(result: Any, said: str, autojump_clock: MockClock) -> None:
    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> Any:
        return result

    async with scripted(options=using(can_use_tool)) as (session, _, _):
        assert said in str(await answer(session, "use Bash"))


async def test_who_is_quicker_than_the_callback_answers(autojump_clock: MockClock) -> None:
    ended: list[str] = []

    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(name)
        raise AssertionError

    async with scripted(options=using(can_use_tool)) as (session, _, manager):
        turn = await session.send("use Bash")
        await wait_all_tasks_blocked()
        await manager.permissions()[0].allow(by="ada")
        assert (await turn.wait()).unwrap().result == ALLOWED
        assert ended == ["Bash"]


async def test_fifty_callbacks_run_at_once(autojump_clock: MockClock) -> None:
    running = most = 0

    async def can_use_tool(name: str, input: dict[str, Any], context: ToolPermissionContext) -> PermissionResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return PermissionResultAllow()

    async with scripted(options=using(can_use_tool)) as (session, agent, _):
        await session.send("silent")
        await wait_all_tasks_blocked()
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(agent.link.ask, CanUseTool(tool_name=f"t{number}", input={}))
        assert (most, trio.current_time() - begun, len(agent.link.replies)) == (50, 1, 50)


# Nobody there.


async def test_requests_that_nobody_could_answer_are_refused(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, manager):
        assert await answer(session, "use Bash") == "Bash: nobody here answers permission requests"
        assert agent.link.options.permission_prompt_tool_name is None
        assert manager.permissions() == []


async def test_options_may_send_requests_to_whoever_looks_for_them(autojump_clock: MockClock) -> None:
    async with scripted(options=Options(permission_prompt_tool_name="stdio")) as (session, _, manager):
        turn = await session.send("use Bash")
        await wait_all_tasks_blocked()
        await manager.permissions()[0].allow()
        assert (await turn.wait()).unwrap().result == ALLOWED


# Ends.


async def test_a_request_that_nobody_answers_is_denied_with_the_reason(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox, deadlines=Deadlines(permission=60)) as (session, _, _):
        begun = trio.current_time()
        turn = await session.send("use Bash")
        request = await inbox.next()
        answered = await request.wait()
        assert (trio.current_time() - begun, answered.answer, answered.by) == (60, "expired", None)
        assert "Deadlines.permission" in str((await turn.wait()).unwrap().result)
        with pytest.raises(AlreadyAnswered, match="it is expired"):
            await request.allow()


async def test_a_request_may_wait_for_ever(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox, deadlines=Deadlines(permission=None)) as (session, _, _):
        turn = await session.send("use Bash")
        request = await inbox.next()
        assert request.deadline == math.inf
        await trio.sleep(10**6)
        await request.allow()
        assert (await turn.wait()).kind == "answered"


@pytest.mark.parametrize("end", ["interrupt", "cancel", "close", "die", "take back"])
async def test_what_ends_the_turn_cancels_the_request_and_nothing_is_sent(end: str, autojump_clock: MockClock) -> None:
    cancelled: list[str] = []
    requests: list[PermissionRequest] = []

    async def waiting(request: PermissionRequest) -> None:
        requests.append(request)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(request.tool)

    async with scripted(on_permission=waiting) as (session, agent, manager):
        turn = await session.send("use Bash")
        await wait_all_tasks_blocked()
        link, heard = agent.link, []

        async def listen() -> None:
            heard.append((await requests[0].wait()).answer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
            await wait_all_tasks_blocked()
            if end == "interrupt":
                assert await session.interrupt() == "stopped"
            elif end == "cancel":
                await turn.cancel()
            elif end == "close":
                await session.close()
            elif end == "die":
                link.die(1)
            else:
                link.take_back("theirs1")
        await wait_all_tasks_blocked()
        assert (heard, cancelled, manager.permissions()) == (["cancelled"] * 2, ["Bash"], [])
        with pytest.raises(AlreadyAnswered, match="it is cancelled"):
            await requests[0].allow()
        assert link.replies == {}


async def test_leaving_the_manager_cancels_what_is_open() -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox, deadlines=Deadlines(drain=0)) as (session, _, _):
        await session.send("use Bash")
        request = await inbox.next()
    assert (await request.wait()).answer == "cancelled"
    with pytest.raises(AlreadyAnswered):
        await request.allow()


async def test_a_session_that_breaks_cancels_what_is_open(caplog: pytest.LogCaptureFixture) -> None:
    inbox, agent = Inbox(), ScriptedAgent()

    def broken() -> None:
        raise RuntimeError("a bug")

    async with scripted(agent, on_permission=inbox) as (session, _, manager), trio.open_nursery() as nursery:
        await session.ask("one")
        nursery.start_soon(agent.link.ask, CanUseTool(tool_name="Bash", input={}))
        request = await inbox.next()
        agent.framing = broken
        turn = await session.send("two")
        assert (await request.wait()).answer == "cancelled"
        assert ((await turn.wait()).kind, manager.permissions()) == ("failed", [])
        with pytest.raises(AlreadyAnswered):
            await request.allow()
        nursery.cancel_scope.cancel()
    assert "broke" in caplog.text


async def test_a_callback_may_use_its_session(autojump_clock: MockClock) -> None:
    done: list[str] = []

    async def busy(request: PermissionRequest) -> None:
        await request.session.send("after that")
        await request.session.set_model("m")
        done.append(request.tool)
        await request.session.interrupt()
        raise AssertionError("the interrupt cancelled it")

    async with scripted(on_permission=busy) as (session, _, _):
        turn = await session.send("use Bash")
        assert (await turn.wait()).kind == "interrupted"
        assert done == ["Bash"]
        assert await answer(session, "three") == "3. three"


async def test_a_permission_is_answered_while_ten_thousand_messages_are_unread(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    async with scripted(on_permission=inbox) as (session, _, _), session.turn("flood 10000") as turn:
        await anext(aiter(turn))
        await turn.wait()
        asking = await session.send("use Bash")
        await (await inbox.next()).allow()
        assert (await asking.wait()).unwrap().result == ALLOWED


async def test_ids_of_a_session_that_slept_are_not_used_again(autojump_clock: MockClock) -> None:
    inbox = Inbox()
    ids = []
    async with scripted(on_permission=inbox) as (session, _, _):
        for _ in range(3):
            turn = await session.send("use Bash")
            request = await inbox.next()
            ids.append(request.id)
            await request.allow()
            await turn.wait()
            await session.hibernate()
    assert len(set(ids)) == 3
