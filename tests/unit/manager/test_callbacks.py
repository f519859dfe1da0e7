"""Hooks and the other callbacks of a session, what the agent says of its surroundings, and our own questions."""

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.frames import assistant, success
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.manager.stage import answer, scripted
from triologue.actors.notices import Notices
from triologue.errors import AgentProtocolError, NotLoggedIn, TurnFailed, UnsupportedRequest
from triologue.manager import PermissionRequest
from triologue.messages import (
    AuthStatus,
    CallbackFailed,
    CanUseTool,
    ControlCancel,
    ControlRequest,
    HookCallback,
    McpMessage,
    McpSetServers,
    McpStatus,
    McpStatusChange,
    RequestUserDialog,
    SetPermissionMode,
)
from triologue.options import Deadlines, HookMatcher, Options
from triologue.session import duties

HOOK = HookCallback(callback_id="hook_0", input={"hook_event_name": "PreToolUse"})


def mcp(method: str, *, server: str = "t", **more: Any) -> McpMessage:
    return McpMessage(server_name=server, message={"jsonrpc": "2.0", "method": method, **more})


WHO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}
INTRODUCTION = mcp("initialize", id="first", params=WHO)


async def is_hosted(agent: ScriptedAgent, server: str) -> bool:
    said = await agent.link.ask(mcp("initialize", server=server, id="first", params=WHO))
    assert isinstance(said, dict)
    return "result" in said["mcp_response"]


def hooked(callback: Any) -> Options:
    return Options(hooks={"PreToolUse": [HookMatcher(hooks=[callback])]})


# Callbacks.


async def test_fifty_hooks_run_at_once(autojump_clock: MockClock) -> None:
    async def slow(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        await trio.sleep(1)
        return {"continue_": True}

    async with scripted(options=hooked(slow)) as (session, agent, _):
        await session.ask("hi")
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(agent.link.ask, HOOK)
        assert trio.current_time() - begun == 1
        assert [each.response.response for each in agent.link.replies.values()] == [{"continue": True}] * 50  # type: ignore[union-attr]  # successes


async def test_a_hook_that_raises_is_an_error_for_the_agent_and_an_event(caplog: pytest.LogCaptureFixture) -> None:
    async def raising(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        raise RuntimeError("boom")

    async with scripted(options=hooked(raising)) as (session, agent, _), session.subscribe() as events:
        await session.ask("hi")
        assert await agent.link.ask(HOOK) == "boom"
        assert await answer(session, "two") == "2. two"
        async for event in events:
            if isinstance(event.message, CallbackFailed):
                assert event.message == CallbackFailed(request="hook_callback", error="boom")
                break
    line = f"a callback of the session 'k' raised: hook_callback, the PreToolUse hook {raising.__qualname__!r}"
    assert [(record.message, record.exc_info is not None) for record in caplog.records] == [
        (f"{line}; that decides nothing, and the tool may run", True)
    ]


def told_of(record: logging.LogRecord) -> tuple[object, object]:
    """The session and the turn that a record of the log file is about."""
    return vars(record)["session_key"], vars(record)["turn_id"]


async def test_what_is_logged_has_its_session_and_its_turn(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def raising(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        raise RuntimeError("boom")

    caplog.set_level(logging.INFO, "triologue")
    async with scripted(options=hooked(raising)) as (session, agent, _):
        turn = await session.send("silent", id="t1")
        await wait_all_tasks_blocked()
        assert await agent.link.ask(HOOK) == "boom"
        agent.link.say(success("never asked"))
        await session.interrupt()
        await turn.wait()
        assert await agent.link.ask(HOOK) == "boom"  # in no turn of ours
    assert [told_of(record) for record in caplog.records] == [("k", "t1"), ("k", "t1"), ("k", None)]


async def test_an_agent_that_calls_hooks_that_nobody_has_does_not_fill_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = HookCallback(callback_id="hook_7", input={})
    async with scripted() as (session, agent, _):
        await session.ask("hi")
        for begin in range(0, 2_000, 500):  # that many may be open at once
            agent.link.say(*(ControlRequest(request_id=f"x{begin + n}", request=unknown) for n in range(500)))
            await wait_all_tasks_blocked()
        assert len(agent.link.replies) == 2_000
    line = "a callback of the session 'k' raised: hook_callback"
    assert caplog.messages == [line] * 10 + [f"{line} (100 by now)", f"{line} (1000 by now)"]


async def test_what_an_agent_says_at_length_is_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "triologue")
    async with scripted() as (session, agent, _):
        await session.ask("hi")
        agent.link.say(*[success("x" * 10_000)] * 100)
    begin = "the session 'k': "
    assert {(len(line), line[-2:]) for line in caplog.messages} == {(len(begin) + 2_001, "x…")}
    assert [line[: line.index("xxx")].removeprefix(begin) for line in caplog.messages] == [
        *["ignored a control frame: an answer to '"] * 10,
        "ignored a control frame (100 by now): an answer to '",
    ]


async def test_a_request_of_a_kind_that_nobody_serves_is_refused() -> None:
    async with scripted() as (session, agent, _):
        await session.ask("hi")
        said = await agent.link.ask(RequestUserDialog(dialog_kind="choose"), "x")
        assert said == "Unsupported control request subtype: request_user_dialog"
        assert agent.link.replies["x"].response.error_code == "unsupported_request"  # type: ignore[union-attr]  # a refusal


@pytest.mark.parametrize("end", ["interrupt", "close", "die", "take back"])
async def test_what_ends_a_hook_stops_it_and_nothing_is_sent(end: str, autojump_clock: MockClock) -> None:
    stopped = trio.Event()

    async def endless(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()
        raise AssertionError

    async with scripted(options=hooked(endless)) as (session, agent, _), trio.open_nursery() as nursery:
        await session.send("silent")
        await wait_all_tasks_blocked()
        link = agent.link
        nursery.start_soon(link.ask, HOOK, "x")
        await wait_all_tasks_blocked()
        if end == "interrupt":
            await session.interrupt()
        elif end == "close":
            await session.close()
        elif end == "die":
            link.die(1)
        else:
            link.take_back("x")
        await stopped.wait()
        assert link.replies == {}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("end", ["interrupt", "close", "die", "take back"])
async def test_a_clean_up_that_fails_harms_nothing_else(end: str, autojump_clock: MockClock) -> None:
    async def clumsy(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)  # its cancellation and the error come in one group
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("the file is gone")

    async with scripted(options=hooked(clumsy)) as (session, agent, _):
        turn = await session.send("wait 5")
        await wait_all_tasks_blocked()
        agent.link.say(ControlRequest(request_id="x", request=HOOK))
        await wait_all_tasks_blocked()
        if end == "interrupt":
            assert await session.interrupt() == "stopped"
        elif end == "close":
            await session.close()
        elif end == "die":
            agent.link.die(1)
        else:
            agent.link.take_back("x")
        outcome = await turn.wait()
        kinds = {"take back": "answered", "die": "failed"}
        assert outcome.kind == kinds.get(end, "interrupted")
        assert end != "die" or str(outcome.error) == "the scripted agent died"
        assert await answer(session, "two") == "2. two"


async def test_an_error_that_cannot_be_told_is_told_by_its_name(autojump_clock: MockClock) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async def raising(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        raise Mute

    async with scripted(options=hooked(raising)) as (session, agent, _):
        await session.ask("hi")
        assert await agent.link.ask(HOOK) == "Mute"
        assert session.state == "idle"


async def test_callbacks_begin_in_the_order_in_which_they_were_asked_for(autojump_clock: MockClock) -> None:
    begun: list[str | None] = []

    async def quick(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        begun.append(tool_use_id)
        return {}

    async with scripted(options=hooked(quick)) as (session, agent, _):
        await session.ask("hi")
        numbers = [str(number) for number in range(30)]
        for first in range(0, 30, 3):  # trio lets a batch of tasks begin in either order
            agent.link.say(
                *(
                    ControlRequest(
                        request_id=each, request=HookCallback(callback_id="hook_0", input={}, tool_use_id=each)
                    )
                    for each in numbers[first : first + 3]
                )
            )
            await wait_all_tasks_blocked()
        assert begun == numbers


async def test_what_is_taken_back_at_once_is_not_begun(autojump_clock: MockClock) -> None:
    begun: list[PermissionRequest] = []
    async with scripted(on_permission=begun.append) as (session, agent, manager):
        await session.send("silent")
        await wait_all_tasks_blocked()
        asked = ControlRequest(request_id="x", request=CanUseTool(tool_name="Bash", input={}))
        agent.link.say(asked, ControlCancel(request_id="x"))
        await wait_all_tasks_blocked()
        assert (begun, manager.permissions()) == ([], [])


async def test_a_tool_is_cancelled_by_what_came_in_the_same_read(autojump_clock: MockClock) -> None:
    ended: list[str] = []

    async def slow() -> None:
        """Take a while."""
        try:
            await trio.sleep(5)
            ended.append("ran")
        except trio.Cancelled:
            ended.append("cancelled")
            raise

    async with scripted(options=Options(mcp_servers={"t": [slow]})) as (session, agent, _):
        await session.ask("hi")
        await agent.link.ask(INTRODUCTION, "i")
        await agent.link.ask(mcp("notifications/initialized"), "n")
        for number in range(8):
            agent.link.say(
                ControlRequest(
                    request_id=f"call{number}", request=mcp("tools/call", id=number, params={"name": "slow"})
                ),
                ControlRequest(
                    request_id=f"cancel{number}", request=mcp("notifications/cancelled", params={"requestId": number})
                ),
            )
            await wait_all_tasks_blocked()
        await trio.sleep(10)
        assert "ran" not in ended


def ending_slowly(seconds: float) -> Any:
    """A hook that is waited for, and when it is cancelled takes so long to end."""

    async def slow(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)
        raise AssertionError

    return slow


async def test_an_agent_that_died_ends_its_turn_before_a_slow_callback_is_done(autojump_clock: MockClock) -> None:
    async with scripted(options=hooked(ending_slowly(5))) as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(ControlRequest(request_id="x", request=HOOK))
        await wait_all_tasks_blocked()
        agent.link.die(1)
        assert (await turn.wait()).kind == "failed"
        assert (trio.current_time(), session.state) == (0, "hibernated")
        # Nothing is sent to what is dead already.
        assert await answer(session, "two") == "2. two"
        assert (trio.current_time(), len(agent.links)) == (5, 2)


async def test_a_callback_that_shields_itself_holds_up_only_itself(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted(options=hooked(ending_slowly(1000))) as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(ControlRequest(request_id="x", request=HOOK))
        await wait_all_tasks_blocked()
        await session.close()
        assert ((await turn.wait()).kind, trio.current_time()) == ("interrupted", 10)
        assert await answer(session, "two") == "2. two"
        await session.close()
        assert trio.current_time() == 10
        assert [record.message for record in caplog.records] == [
            "a callback of the session 'k' shields itself from its cancellation; it is waited for no longer"
        ]
    # It runs below the manager's block, which no task outlives.
    assert trio.current_time() == 1000
    assert "x" not in agent.links[0].replies


async def test_a_bug_in_what_serves_a_connection_breaks_only_its_conversation(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Notices) -> None:
        raise LookupError("a bug")

    options = Options(on_mcp_status_change=print)
    async with scripted() as (other, _, manager):
        await other.ask("hi")
        monkeypatch.setattr(Notices, "run", broken)
        session = manager.session("broken", options=options)
        with pytest.raises(TurnFailed, match="broke"):
            await session.ask("silent")
        assert await answer(other, "two") == "2. two"
    [record] = [record for record in caplog.records if record.message == "the session 'broken' broke"]
    assert vars(record)["session_key"] == "broken"


async def test_an_agent_that_asks_too_much_at_once_is_refused_the_rest(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "MAX_OPEN", 2)

    async def slow(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        await trio.sleep(5)
        return {}

    async with scripted(options=hooked(slow)) as (session, agent, _), session.subscribe() as events:
        turn = await session.send("wait 10")
        await wait_all_tasks_blocked()
        answers: dict[int, Any] = {}

        async def ask(number: int) -> None:
            answers[number] = await agent.link.ask(HOOK)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ask, number)
                await wait_all_tasks_blocked()
            assert len(answers) == 1
        assert sorted(map(str, answers.values())) == [
            "2 requests of the agent are open already; this one is refused",
            "{}",
            "{}",
        ]
        assert await agent.link.ask(HOOK) == {}
        assert (await turn.wait()).kind == "answered"
        async for event in events:
            if isinstance(event.message, CallbackFailed):
                assert (event.turn_id, event.message.request) == (turn.id, "hook_callback")
                break


async def test_servers_that_the_agent_did_not_take_leave_those_that_it_has(autojump_clock: MockClock) -> None:
    async def tool() -> None:
        """Do nothing."""

    agent = ScriptedAgent()
    agent.requests = {McpStatus: None, McpSetServers: None}
    async with scripted(agent) as (session, _, _):
        await session.set_mcp_servers({"a": [tool]})
        agent.ignores = {McpSetServers}
        with pytest.raises(AgentProtocolError):
            await session.set_mcp_servers({"b": [tool]})
        assert await is_hosted(agent, "a")
        agent.ignores = set()
        await session.set_mcp_servers({"c": [tool]})
        assert [await is_hosted(agent, name) for name in "abc"] == [False, False, True]


async def test_what_the_agent_asks_before_it_answers_the_handshake_is_served(autojump_clock: MockClock) -> None:
    async def quick(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        return {}

    agent = ScriptedAgent()
    agent.handshake = None
    async with scripted(agent, options=hooked(quick)) as (session, _, _):
        await session.send("hi")
        await wait_all_tasks_blocked()
        assert await agent.link.ask(HOOK) == {}
        assert session.state == "starting"
        await session.close()


async def test_what_the_agent_asks_while_its_connection_is_opened_is_answered(autojump_clock: MockClock) -> None:
    async def quick(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        return {}

    agent = ScriptedAgent()
    agent.opening = lambda link: link.say(ControlRequest(request_id="x", request=HOOK))
    async with scripted(agent, options=hooked(quick)) as (session, _, _):
        assert await answer(session, "one") == "1. one"
        assert list(agent.link.replies) == ["x"]


async def test_a_hook_may_interrupt_its_own_turn(autojump_clock: MockClock) -> None:
    async with scripted() as (_, agent, manager):

        async def impatient(input: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
            await manager.session("hooked").interrupt()
            return {}

        session = manager.session("hooked", options=hooked(impatient))
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await agent.link.ask(HOOK)
        assert (await turn.wait()).kind == "interrupted"


# What the agent says of its surroundings.


async def test_mcp_servers_that_come_and_go_are_told_in_order(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    async def note(change: McpStatusChange) -> None:
        await trio.sleep(1 if change.status == "connected" else 0)
        seen.append(f"{change.server_name} {change.status}")
        if change.status == "failed":
            raise RuntimeError("the dashboard is down")

    async with scripted(options=Options(on_mcp_status_change=note)) as (session, agent, _):
        await session.ask("hi")
        agent.link.say(
            *(McpStatusChange(server_name="s", status=status) for status in ("connected", "failed", "disabled"))
        )
        await trio.sleep(2)
        assert seen == ["s connected", "s failed", "s disabled"]
        assert await answer(session, "two") == "2. two"


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (0, "a callback of the session 'k' raised"),
        (3_600, "a call of the session 'k' is dropped, since 1000 wait already"),
    ],
)
async def test_servers_that_come_and_go_without_end_do_not_fill_the_log(
    seconds: float, line: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def note(change: McpStatusChange) -> None:
        await trio.sleep(seconds)
        raise RuntimeError("the dashboard is down")

    async with scripted(options=Options(on_mcp_status_change=note)) as (session, agent, _):
        await session.ask("hi")
        for _ in range(5):
            agent.link.say(*[McpStatusChange(server_name="s", status="failed")] * 500)
            await wait_all_tasks_blocked()
        assert caplog.messages == [line] * 10 + [f"{line} (100 by now)", f"{line} (1000 by now)"]


async def test_a_start_that_nobody_wants_any_more_leaves_no_task(autojump_clock: MockClock) -> None:
    async with scripted(options=Options(on_mcp_status_change=print)) as (session, _, _):
        await session.ask("hi")
        await session.hibernate()
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        turn = await session.send("never mind")
        turn.withdraw()
        await turn.wait()
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before


@pytest.mark.parametrize("how", ["status", "message", "exit"])
async def test_an_account_that_is_no_longer_good_is_told_once(how: str, autojump_clock: MockClock) -> None:
    told: list[float] = []
    options = Options(on_auth_expired=lambda: told.append(trio.current_time()))
    async with scripted(options=options) as (session, agent, _):
        await session.ask("hi")
        if how == "status":
            agent.link.say(AuthStatus(error="expired"), AuthStatus(error="expired"))
        elif how == "message":
            agent.link.say(assistant("Please run /login", error="authentication_failed"))
        agent.link.die(41)
        await wait_all_tasks_blocked()
        assert len(told) == 1
        await session.ask("two")
        agent.link.die(41)
        await wait_all_tasks_blocked()
        assert len(told) == 2, "once for each connection"


async def test_a_turn_without_an_account_says_so(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        with pytest.raises(TurnFailed) as failure:
            await session.ask("logout")
        assert isinstance(failure.value.__cause__, NotLoggedIn)
        assert str(failure.value.__cause__) == "scripted: Please run /login"


async def test_a_prompt_that_an_agent_left_alone_goes_to_the_next(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        await session.ask("one")
        turn = await session.send("unread")
        await wait_all_tasks_blocked()
        agent.link.die(0)
        await wait_all_tasks_blocked()
        assert (len(agent.links), session.state) == (2, "running")
        agent.link.die(0)
        assert (await turn.wait()).kind == "failed"


# Our own questions.


async def test_a_question_wakes_the_agent(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        assert await session.control(McpStatus()) == {}
        assert (session.state, agent.link.requests(McpStatus)) == ("idle", [McpStatus()])


async def test_a_question_that_the_agent_does_not_have_starts_nothing() -> None:
    async with scripted() as (session, agent, _):
        with pytest.raises(UnsupportedRequest, match="scripted cannot do 'background_tasks'"):
            await session.background_tasks()
        assert agent.links == []


async def test_a_question_has_a_deadline_and_can_be_taken_back(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.ignores = {McpStatus}
    async with scripted(agent, deadlines=Deadlines(control=5)) as (session, _, _):
        with pytest.raises(AgentProtocolError, match=r"Deadlines\.control"):
            await session.control(McpStatus())
        assert trio.current_time() == 5
        with trio.move_on_after(1):
            await session.control(McpStatus())
        await wait_all_tasks_blocked()
        assert [each for each in agent.link.sent if isinstance(each, ControlCancel)] == [
            ControlCancel(request_id="g1_2"),
            ControlCancel(request_id="g1_3"),
        ]


async def test_a_mode_that_is_set_while_the_agent_starts_is_set_when_it_returns(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.refuses, agent.refusal_code = {"plan"}, "unsupported_request"
    async with scripted(agent) as (session, _, _):
        await session.send("silent")
        assert session.state in ("new", "starting")
        await session.set_permission_mode("acceptEdits")
        assert agent.link.requests(SetPermissionMode) == [SetPermissionMode(mode="acceptEdits")]
        with pytest.raises(UnsupportedRequest, match="set_permission_mode"):
            await session.set_permission_mode("plan")
        await session.close()
        await session.ask("two")
        assert agent.link.options.permission_mode == "acceptEdits"
