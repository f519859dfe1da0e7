"""The scripted agent does what it is told, as Claude Code would."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from triologue.messages import CommandLifecycle, MalformedMessage, OversizeMessage, StrayText, user_message
from triologue.testing import (
    AgentTurn,
    ApiError,
    Background,
    CallHost,
    Crash,
    Deaf,
    Fail,
    Line,
    Oversize,
    RateLimit,
    Say,
    ScriptedAgent,
    Stall,
    Unread,
    UseTool,
    Wait,
    run_virtual,
)

NO_CARRIER: Any = None  # it has no process
PATIENT = tri.Deadlines(interrupt=5, drain=0, close=4)


@asynccontextmanager
async def opened(agent: ScriptedAgent, **more: Any) -> AsyncGenerator[tri.Session]:
    async with tri.open_manager(agent, **{"deadlines": PATIENT, **more}) as manager:
        yield manager.session("k")


async def log_of(session: tri.Session, turns: int) -> list[str]:
    """What the session tells until so many turns have ended, a word each."""
    told: list[str] = []
    async with session.subscribe(after=0) as events:
        async for event in events:
            match event.message:
                case CommandLifecycle(state=state):
                    told.append(state)
                case tri.AssistantMessage() | tri.UserMessage() as said:
                    told.append(tri.text(said) or type(said.content[0]).__name__)
                case tri.ResultMessage(subtype=subtype):
                    told.append(subtype)
                case tri.TurnEnded(outcome=outcome):
                    told.append(outcome.kind.upper())
                    turns -= 1
                case _:
                    pass
            if not turns:
                return told
    raise AssertionError(told)


async def test_it_echoes_what_it_was_not_told_about(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as session:
        assert (await session.ask("hello")).result == "hello"
    assert [prompt.text for prompt in agent.prompts] == ["hello"]
    assert (agent.live, agent.max_live, len(agent.starts)) == (0, 1, 1)


async def test_what_was_told_last_counts_and_times_are_counted(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("deploy", Say("always"))
    agent.on("deploy", Say("once"), times=1)
    async with opened(agent) as session:
        assert [(await session.ask("please deploy it")).result for _ in range(3)] == ["once", "always", "always"]


@pytest.mark.parametrize("wrong", ["text", None, Say, (Say("a"), Say("b"))])
def test_what_is_no_step_is_refused_where_it_is_said(wrong: Any) -> None:
    with pytest.raises(TypeError, match="is no step of a script; give Say"):
        ScriptedAgent().on("hello", Say("good day"), wrong)


async def test_words_come_in_their_time(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: (Say("one two three", every=0.5), Wait(2), UseTool("Bash", seconds=7)))
    async with opened(agent, options=tri.Options(include_partial_messages=True)) as session:
        async with session.turn("go") as turn:
            came = [(trio.current_time(), f"{type(message).__name__} {tri.text(message)}") async for message in turn]
    start = came[0][0]
    assert [(when - start, what) for when, what in came if "InitMessage" not in what] == [
        (0.0, "StreamEvent one"),
        (0.5, "StreamEvent  two"),
        (1.0, "StreamEvent  three"),
        (1.0, "AssistantMessage one two three"),
        (3.0, "AssistantMessage "),
        (10.0, "UserMessage "),
        (10.0, "ResultMessage "),
    ]


async def test_it_folds_what_steers_at_the_end_of_a_tool(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("first", UseTool("Bash", seconds=5), Say("the end"))
    async with opened(agent) as session:
        first = await session.send("first")
        await wait_all_tasks_blocked()
        steer = await session.send("left", overlap="steer")
        assert ((await steer.wait()).kind, (await first.wait()).kind) == ("merged", "answered")
        result = (await first.wait()).unwrap()
        assert result.user_message_uuids == [prompt.uuid for prompt in agent.prompts]
        told = await log_of(session, 2)
    assert told == [
        *("queued", "started", "ToolUseBlock", "queued"),
        *("ToolResultBlock", "started", "MERGED", "the end", "left"),
        *("completed", "success", "ANSWERED"),
    ]


async def test_what_it_does_not_fold_becomes_a_turn_of_its_own(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(folds=False)
    agent.on("first", UseTool("Bash", seconds=5), Say("the end"))
    async with opened(agent) as session:
        first = await session.send("first")
        await wait_all_tasks_blocked()
        steer = await session.send("left", overlap="steer")
        assert (await first.wait()).unwrap().result == "the end"
        assert (await steer.wait()).unwrap().result == "left"


async def test_a_turn_of_its_own_waits_for_the_handshake(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(start_seconds=1)
    async with opened(agent) as session:
        turn = await session.send("hello")
        await wait_all_tasks_blocked()
        agent.connection.begin_turn(Wait(1), Say("mine"))
        assert (await turn.wait()).unwrap().result == "hello"
        assert await log_of(session, 1) == ["queued", "mine", "success", "started", "hello", "success", "ANSWERED"]


async def test_an_interrupt_ends_a_stall_but_not_a_deaf_one(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("stall", Say("hm"), Stall())
    agent.on("deaf", Deaf(), Stall())
    async with opened(agent) as session:
        stalled = await session.send("stall")
        await wait_all_tasks_blocked()
        assert await session.interrupt() == "stopped"
        assert (await stalled.wait()).kind == "interrupted"
        deaf = await session.send("deaf")
        await wait_all_tasks_blocked()
        begun = trio.current_time()
        assert await session.interrupt() == "killed"
        assert (trio.current_time() - begun, (await deaf.wait()).kind) == (5, "interrupted")


async def test_a_permission_is_asked_for_and_heeded(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: (UseTool("Bash", {"n": 1}, "ran", asks=True), Say("so")))
    answers = iter([True, False])

    async def answer(request: tri.PermissionRequest) -> None:
        await (request.allow() if next(answers) else request.deny("not now"))

    async with opened(agent, on_permission=answer) as session:
        for _ in range(2):
            await session.ask("go")
        results = [
            block
            async for event in _so_far(session)
            if isinstance(event.message, tri.UserMessage)
            for block in event.message.content
        ]
    assert [(block.content, block.is_error) for block in results] == [("ran", False), ("not now", True)]  # type: ignore[union-attr]


async def _so_far(session: tri.Session) -> AsyncGenerator[tri.Event]:
    async with session.subscribe(after=0) as events:
        with trio.move_on_after(1):
            async for event in events:
                yield event


async def test_it_calls_tools_of_the_host(autojump_clock: MockClock) -> None:
    def add(a: int, b: int) -> str:
        return str(a + b)

    results: list[object] = []

    async def keep(turn: AgentTurn) -> None:
        results.extend(turn.prompts)

    agent = ScriptedAgent(lambda prompt: (CallHost("desk", "add", {"a": 1, "b": 2}), keep, Say("counted")))

    async def add_async(a: int, b: int) -> str:
        return add(a, b)

    tool = tri.tool(name="add")(add_async)
    async with opened(agent, options=tri.Options(mcp_servers={"desk": [tool]})) as session:
        async with session.turn("go") as turn:
            said = [message async for message in turn if isinstance(message, tri.UserMessage)]
    assert [block.content for block in said[0].content] == ["3"]  # type: ignore[union-attr]
    assert len(results) == 1


class WithdrawAt(trio.abc.Instrument):
    """The n-th step of any task is the last one before a turn is withdrawn."""

    def __init__(self, turn: tri.Turn, at: int) -> None:
        self._turn, self._left = turn, at

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if not self._left:
            self._turn.withdraw()


def test_a_call_that_is_interrupted_wherever_it_is_leaves_the_agent_usable(caplog: pytest.LogCaptureFixture) -> None:
    @tri.tool("add", "Add two numbers.", {"a": int, "b": int})
    async def add(args: dict[str, Any]) -> dict[str, Any]:
        await trio.sleep(1)
        return {"content": [{"type": "text", "text": str(args["a"] + args["b"])}]}

    async def story(at: int) -> str | None:
        agent = ScriptedAgent(lambda prompt: (CallHost("desk", "add", {"a": 1, "b": 2}), Say("counted")))
        options = tri.Options(mcp_servers={"desk": tri.create_sdk_mcp_server("desk", tools=[add])})
        async with opened(agent, options=options) as session:
            turn = await session.send("one")
            trio.lowlevel.add_instrument(WithdrawAt(turn, at))
            await turn.wait()
            return (await session.ask("two")).result

    assert [run_virtual(story, at) for at in range(1, 70)] == ["counted"] * 69
    assert caplog.text == ""


async def test_lines_that_are_no_frames_harm_nothing(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(max_message_bytes=10_000)
    agent.on("odd", Line(b"Warning"), Line(b'{"type":'), Line(b'{"type":"x_new"}'), Oversize(20_000), Say("still here"))
    async with opened(agent) as session:
        async with session.turn("odd") as turn:
            kinds = [type(message) async for message in turn]
        assert kinds[-1] is tri.ResultMessage
        assert {StrayText, MalformedMessage, OversizeMessage, tri.UnknownMessage} <= set(kinds)
        assert (await session.ask("and now?")).result == "and now?"


async def test_it_tells_of_limits_and_gives_up(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("limit", RateLimit("allowed_warning", resets_at=5.0), Say("careful"))
    agent.on("busy", ApiError(529, "Overloaded"))
    agent.on("wrong", Fail("no such thing"))
    async with opened(agent) as session:
        async with session.turn("limit") as turn:
            told = [message async for message in turn if isinstance(message, tri.RateLimitEvent)]
        assert [(each.rate_limit_info.status, each.rate_limit_info.resets_at) for each in told] == [
            ("allowed_warning", 5.0)
        ]
        busy = await (await session.send("busy")).wait()
        assert busy.result is not None
        assert (busy.kind, busy.result.api_error_status, busy.result.result) == ("failed", 529, "Overloaded")
        wrong = await (await session.send("wrong")).wait()
        assert wrong.result is not None
        assert (wrong.kind, wrong.result.errors) == ("failed", ["no such thing"])


async def test_a_crash_is_resumed_with_what_was_said(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("boom", Say("ha"), Crash(3, "it burns"), times=1)
    async with opened(agent) as session:
        await session.ask("one")
        failed = await (await session.send("boom")).wait()
        assert failed.error is not None
        cause = failed.error.__cause__
        assert isinstance(cause, tri.AgentCrashed)
        assert (cause.exit_code, cause.stderr_tail) == (3, "it burns")
        assert (await session.ask("two")).result == "two"
        assert session.session_id is not None
        assert agent.conversations[session.session_id].prompts == ["one", "boom", "two"]


async def test_it_begins_turns_by_itself(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("later", Background((Say("it is done"),), after=30), Say("begun"))
    async with opened(agent) as session:
        assert (await session.ask("later")).result == "begun"
        background = [event async for event in _until(session, 40)]
    assert [event.turn_id for event in background if tri.text(event.message) == "it is done"] == [None]


async def _until(session: tri.Session, seconds: float) -> AsyncGenerator[tri.Event]:
    async with session.subscribe() as events:
        with trio.move_on_after(seconds):
            async for event in events:
                yield event


async def test_conversations_are_forked_and_missed(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    async with tri.open_manager(agent, deadlines=PATIENT) as manager:
        original = manager.session("a")
        await original.ask("one")
        copy = await original.fork("b")
        await copy.ask("two")
        kept = {key: agent.conversations[manager.session(key).session_id or ""].prompts for key in "ab"}
        assert kept == {"a": ["one"], "b": ["one", "two"]}
        lost = manager.session("c", options=tri.Options(resume="6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
        with pytest.raises(tri.TurnFailed) as raised:
            await lost.ask("where are we?")
        assert isinstance(raised.value.__cause__, tri.SessionNotFound)


async def test_settings_are_heard_kept_and_refused(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.refuses = {"gpt"}
    async with opened(agent) as session:
        await session.ask("one")
        await session.set_model("opus")
        with pytest.raises(tri.AgentProtocolError):
            await session.set_model("gpt")
        await session.hibernate()
        await session.ask("two")
    assert [(prompt.text, prompt.model) for prompt in agent.prompts] == [("one", None), ("two", "opus")]
    assert [start.options.model for start in agent.starts] == [None, "opus"]


async def test_a_prompt_that_is_not_taken_up(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("nobody", Unread())
    async with opened(agent, deadlines=tri.Deadlines(first_event=20, interrupt=5, drain=0, close=4)) as session:
        outcome = await (await session.send("nobody")).wait()
    assert outcome.kind == "failed"
    assert isinstance(outcome.error, tri.TurnFailed)
    assert isinstance(outcome.error.__cause__, tri.TurnTimeout)


async def test_a_turn_is_finished_at_the_end_of_input(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(lambda prompt: (Say("done"),), start_seconds=2)
    said: list[tri.Message] = []
    agent.on("work", Wait(3), Say("done"))
    with trio.fail_after(60):
        async with agent.connect(tri.Options(), sink=said.extend, carrier=NO_CARRIER) as connection:
            connection.send(user_message("work"))
            await wait_all_tasks_blocked()
            connection.stop(eof=True)
            gone = await connection.wait_exit()
    assert (gone.code, trio.current_time()) == (0, 5)
    assert isinstance(said[-2], tri.ResultMessage)


async def test_it_takes_its_time_to_leave(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent(leave_seconds=3)
    async with opened(agent) as session:
        await session.ask("hello")
        await session.hibernate()
        assert (trio.current_time(), agent.live) == (3, 0)
