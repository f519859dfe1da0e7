"""Sessions with an agent that dies, stays silent or has bugs: every turn has its outcome, and nobody waits for ever."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.frames import assistant
from tests.support.scripted_agent import ScriptedAgent
from triologue.errors import (
    AgentCrashed,
    AgentProtocolError,
    AgentStartError,
    InvalidOption,
    MailboxFull,
    ManagerClosed,
    SessionFailed,
    SessionNotFound,
    TurnCancelled,
    TurnFailed,
    TurnInterrupted,
)
from triologue.manager import Session, SessionManager, open_manager
from triologue.messages import Interrupt, SetModel, StateChanged, TurnEnded, text
from triologue.options import Deadlines, Limits, Options


@asynccontextmanager
async def scripted(
    agent: ScriptedAgent | None = None, *, deadlines: Deadlines | None = None, **more: Any
) -> AsyncGenerator[tuple[Session, ScriptedAgent, SessionManager]]:
    agent = agent or ScriptedAgent()
    async with open_manager(agent, deadlines=deadlines, **more) as manager:
        yield manager.session("k"), agent, manager


async def answer(session: Session, prompt: str) -> str | None:
    return (await session.ask(prompt)).result


# Death.


async def test_an_agent_that_dies_in_a_turn_fails_it_and_the_next_message_wakes_it_with_its_history(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (session, agent, _):
        assert await answer(session, "one") == "1. one"
        session_id = session.session_id
        with pytest.raises(TurnFailed) as caught:
            await session.ask("die")
        assert isinstance(caught.value.__cause__, AgentCrashed)
        assert caught.value.__cause__.exit_code == 1
        assert session.state == "hibernated"
        assert await answer(session, "two") == "3. two"
        assert (session.session_id, agent.link.options.resume) == (session_id, session_id)


async def test_turns_behind_one_whose_agent_dies_are_answered(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        turns = [await session.send(prompt) for prompt in ("die", "a", "die", "b")]
        outcomes = [await turn.wait() for turn in turns]
        assert [outcome.kind for outcome in outcomes] == ["failed", "answered", "failed", "answered"]


async def test_an_agent_that_dies_between_turns_harms_none(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        await session.ask("one")
        agent.link.die(1)
        await wait_all_tasks_blocked()
        assert session.state == "hibernated"
        assert await answer(session, "two") == "2. two"


@pytest.mark.parametrize("handshake", ["refuses", "dies", None])
async def test_an_agent_that_does_not_come_up_fails_the_turn(handshake: Any, autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(start=5)) as (session, agent, manager):
        agent.handshake = handshake
        with pytest.raises(TurnFailed) as caught:
            await session.ask("one")
        assert isinstance(caught.value.__cause__, AgentStartError | AgentCrashed)
        await wait_all_tasks_blocked()
        assert (session.state, manager.statistics().live, manager.statistics().timers) == ("new", 0, 0)
        agent.handshake = "answers"
        assert await answer(session, "two") == "1. two"


async def test_a_conversation_that_the_agent_never_kept_begins_again_under_its_id(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        with pytest.raises(TurnFailed):
            await session.ask("die")
        session_id = session.session_id
        assert session_id is not None
        del agent.prompts[session_id]
        assert await answer(session, "two") == "1. two"
        assert [(link.options.resume, link.options.session_id) for link in agent.links[1:]] == [
            (session_id, None),
            (None, session_id),
        ]
        assert session.session_id == session_id


async def test_a_resume_that_is_refused_keeps_the_id_and_says_so(autojump_clock: MockClock) -> None:
    async with scripted() as (_, _, manager):
        session = manager.session("old", options=Options(resume="gone"))
        with pytest.raises(TurnFailed) as caught:
            await session.ask("one")
        assert isinstance(caught.value.__cause__, SessionNotFound)
        await session.reset()
        assert await answer(session, "two") == "1. two"


# Interrupts.


@pytest.mark.parametrize(("prompt", "how"), [("silent", "stopped"), ("deaf", "killed"), ("unread", "killed")])
async def test_interrupt_settles_in_every_state(prompt: str, how: str, autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(interrupt=7)) as (session, _, _):
        turn, behind = await session.send(prompt), await session.send("next")
        await wait_all_tasks_blocked()
        begun = trio.current_time()
        assert await session.interrupt() == how
        assert trio.current_time() - begun == (0 if how == "stopped" else 7)
        assert (await turn.wait()).kind == "interrupted"
        assert (await behind.wait()).kind == "answered"


async def test_interrupt_while_the_agent_starts_and_when_nothing_runs(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(start=None)) as (session, agent, _):
        assert await session.interrupt() == "nothing_running"
        agent.handshake = None
        turn = await session.send("one")
        assert await session.interrupt() == "stopped"
        with pytest.raises(TurnInterrupted):
            (await turn.wait()).unwrap()
        await session.close()
        assert session.state == "new"


async def test_interrupt_and_control_return_while_ten_thousand_messages_are_unread(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _), session.turn("flood 10000") as turn, session.subscribe() as events:
        reader = aiter(turn)
        await anext(reader)
        await turn.wait()
        running = await session.send("silent")
        await wait_all_tasks_blocked()
        await session.set_model("m")
        assert agent.link.requests(SetModel) == [SetModel(model="m")]
        assert await session.interrupt() == "stopped"
        assert (await running.wait()).kind == "interrupted"
        assert (await anext(events)).turn_id is not None


async def test_an_interrupt_never_hits_the_next_turn(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        for number in range(20):
            turn, behind = await session.send("wait 1"), await session.send(f"next {number}")
            await trio.sleep(0.5)
            assert await session.interrupt() == "stopped"
            assert [(await turn.wait()).kind, (await behind.wait()).kind] == ["interrupted", "answered"]
        assert agent.link.requests(Interrupt) == [Interrupt(cancel_queued=True)] * 20


async def test_the_abort_event_interrupts_once_and_the_session_lives_on(autojump_clock: MockClock) -> None:
    abort = trio.Event()
    async with scripted() as (_, _, manager):
        session = manager.session("abortable", options=Options(abort_event=abort))
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        abort.set()
        assert (await turn.wait()).kind == "interrupted"
        assert await answer(session, "two") == "2. two"
        await session.hibernate()
        assert await answer(session, "three") == "3. three"


# Cancelling.


async def test_cancelling_ask_interrupts_its_turn_and_no_other(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        with trio.move_on_after(1):
            await session.ask("silent")
        assert await answer(session, "two") == "2. two"
        assert len(agent.links) == 1
        running = await session.send("wait 5")
        with trio.move_on_after(1):
            await session.ask("never")
        assert (await running.wait()).kind == "answered"
        assert [*agent.prompts.values()] == [["silent", "two", "wait 5"]]


async def test_leaving_a_turn_early_waits_for_its_outcome(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        async with session.turn("silent") as turn:
            await wait_all_tasks_blocked()
        assert turn.outcome is not None
        assert turn.outcome.kind == "interrupted"
        with trio.move_on_after(1):
            async with session.turn("silent") as turn:
                await trio.sleep_forever()
        assert (await turn.wait()).kind == "interrupted"
        with pytest.raises(ZeroDivisionError):
            async with session.turn("silent") as turn:
                raise ZeroDivisionError
        assert (await turn.wait()).kind == "interrupted"


async def test_cancelling_a_turn_gives_its_outcome(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        running, waiting, other = [await session.send(prompt) for prompt in ("silent", "b", "c")]
        assert [running.state, waiting.state, waiting.position, other.position] == ["running", "waiting", 0, 1]
        assert (await waiting.cancel()).kind == "cancelled"
        assert other.position == 0
        assert (await running.cancel()).kind == "interrupted"
        assert (await other.wait()).kind == "answered"
        assert (await other.cancel()).kind == "answered"
        assert [other.state, other.position] == ["ended", None]


async def test_a_send_that_is_cancelled_leaves_no_turn_behind(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.send("one")
        assert await answer(session, "two") in ("1. two", "2. two")
        assert len(agent.links) == 1


# What is not accepted, and what is accepted once.


async def test_a_full_mailbox_refuses_and_loses_nothing(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(mailbox=2)) as (session, _, _):
        turns = [await session.send("wait 1"), await session.send("b"), await session.send("c")]
        with pytest.raises(MailboxFull):
            await session.send("d", id="D")
        assert [(await turn.wait()).kind for turn in turns] == ["answered"] * 3
        assert (await (await session.send("d", id="D")).wait()).kind == "answered"


async def test_who_repeats_an_id_that_is_refused_is_refused_too(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(mailbox=1)) as (session, _, _):
        first = await session.send("silent")
        await session.send("b")
        refused = []

        async def send() -> None:
            with pytest.raises(MailboxFull):
                await session.send("c", id="C")
            refused.append(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
        assert refused == [True, True]
        await first.cancel()


async def test_the_same_id_is_the_same_turn(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        turn = await session.send("one", id="", meta={"user": "U1"})
        assert (turn.id, turn.meta) == ("", {"user": "U1"})
        assert await session.send("one", id="") is turn
        assert (await session.ask("one", id="")).result == "1. one"
        with pytest.raises(InvalidOption):
            await session.send("two", id="")
        frame = {"type": "user", "message": {"role": "user", "content": "x"}, "uuid": "u-1"}
        assert await session.send(frame) is await session.send(frame)
        await (await session.send(frame)).wait()
        assert [*agent.prompts.values()] == [["one", "x"]]


async def test_one_turn_at_a_time_in_the_order_in_which_they_were_accepted(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        turns = [await session.send(str(number)) for number in range(50)]
        results = [(await turn.wait()).unwrap().result for turn in turns]
        assert results == [f"{number + 1}. {number}" for number in range(50)]
        assert len(agent.links) == 1


# Settings.


async def test_settings_are_applied_live_and_after_a_restart(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, manager):
        await session.set_model("first")
        await session.ask("one")
        assert agent.link.options.model == "first"
        await session.set_model("second")
        agent.refuses = {"bad"}
        with pytest.raises(AgentProtocolError):
            await session.set_permission_mode("bad")
        with pytest.raises(TurnFailed):
            await session.ask("die")
        await session.ask("two")
        assert (agent.link.options.model, agent.link.options.permission_mode) == ("second", None)
        manager.session("k", options=Options(model="third", max_turns=3))
        await wait_all_tasks_blocked()
        assert agent.link.requests(SetModel) == [SetModel(model="third")]
        await session.hibernate()
        await session.ask("three")
        assert (agent.link.options.model, agent.link.options.max_turns) == ("third", 3)


async def test_options_that_are_named_while_a_session_wakes_are_not_lost(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, manager):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.ask, "one")
            while not manager.sessions():
                await trio.lowlevel.checkpoint()
            manager.session("k", options=Options(model="m"))
        assert agent.link.options.model == "m" or agent.link.requests(SetModel) == [SetModel(model="m")]


async def test_two_settings_at_once_leave_the_one_that_was_taken(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        await session.ask("one")
        agent.refuses = {"bad"}

        async def refused() -> None:
            with pytest.raises(AgentProtocolError):
                await session.set_model("bad")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            nursery.start_soon(session.set_model, "good")
        await session.hibernate()
        await session.ask("two")
        assert agent.link.options.model == "good"


# Letting go.


async def test_close_right_after_send_lets_go(autojump_clock: MockClock) -> None:
    for _ in range(20):  # the order of tasks is random
        async with scripted() as (session, _, manager):
            turn = await session.send("one")
            await session.close()
            assert (await turn.wait()).kind == "interrupted"
            assert (session.state, manager.statistics().live) == ("new", 0)


async def test_close_cancels_what_waits_and_the_next_message_wakes_the_session(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        running, waiting = await session.send("silent"), await session.send("b")
        await wait_all_tasks_blocked()
        await session.close()
        assert running.outcome is not None
        assert running.outcome.kind == "interrupted"
        with pytest.raises(TurnCancelled):
            (await waiting.wait()).unwrap()
        assert await answer(session, "c") == "2. c"


async def test_what_is_sent_while_a_session_closes_is_answered(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        await session.ask("one")
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(session.close)
                nursery.start_soon(session.hibernate)
                nursery.start_soon(session.send, "two")
                await trio.lowlevel.checkpoint()
        await session.hibernate()
        assert session.statistics().waiting == 0


async def test_reset_begins_anew_whoever_else_closes(autojump_clock: MockClock) -> None:
    async with scripted() as (_, agent, manager):
        agent.prompts["old"] = ["before"]
        session = manager.session("k", options=Options(resume="old"))
        assert await answer(session, "one") == "2. one"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.reset)
            nursery.start_soon(session.close)
        assert (session.session_id, session.state) == (None, "new")
        assert await answer(session, "two") == "1. two"
        assert agent.prompts["old"] == ["before", "one"]
        await session.hibernate()
        await session.reset()
        assert session.session_id is None


async def test_hibernate_waits_for_what_waits(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, manager):
        turns = [await session.send("wait 1"), await session.send("wait 1")]
        await session.hibernate()
        assert [turn.state for turn in turns] == ["ended", "ended"]
        assert (session.state, manager.statistics().live) == ("hibernated", 0)


# The end.


async def test_a_drain_lets_the_running_turn_finish_and_tells_those_who_wait(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(drain=30)) as (session, _, _):
        running, waiting = await session.send("wait 20"), await session.send("b")
    assert running.outcome is not None
    assert running.outcome.kind == "answered"
    with pytest.raises(ManagerClosed):
        (await waiting.wait()).unwrap()
    with pytest.raises(ManagerClosed):
        await session.ask("c")
    assert [type(message).__name__ async for message in running] == ["InitMessage", "AssistantMessage", "ResultMessage"]


async def test_a_drain_refuses_a_prompt_or_lets_it_finish(autojump_clock: MockClock) -> None:
    answers: list[str | None] = []

    async def ask(session: Session) -> None:
        try:
            answers.append(await answer(session, "wait 1"))
        except ManagerClosed:
            answers.append("refused")

    for _ in range(20):  # the order of tasks is random
        async with trio.open_nursery() as nursery, scripted() as (session, _, _):
            await session.ask("one")
            nursery.start_soon(ask, session)
            await trio.lowlevel.checkpoint()
    assert set(answers) <= {"2. wait 1", "refused"}


@pytest.mark.parametrize("prompt", ["silent", "deaf", "unread"])
async def test_a_drain_has_an_end(prompt: str, autojump_clock: MockClock) -> None:
    begun = trio.current_time()
    async with scripted(deadlines=Deadlines(drain=3, interrupt=2)) as (session, _, _):
        turn = await session.send(prompt)
        await wait_all_tasks_blocked()
    assert turn.outcome is not None
    assert turn.outcome.kind == "interrupted"
    assert trio.current_time() - begun == (3 if prompt == "silent" else 5)


async def test_an_exception_in_the_block_waits_for_nothing_and_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    turn = None
    with pytest.raises(ZeroDivisionError):
        async with scripted() as (session, _, _):
            turn = await session.send("silent")
            await wait_all_tasks_blocked()
            raise ZeroDivisionError
    assert turn is not None
    assert (await turn.wait()).kind == "interrupted"
    assert trio.current_time() == 0
    with pytest.raises(KeyboardInterrupt):
        async with scripted() as (session, _, _):
            await session.send("silent")
            raise KeyboardInterrupt


async def test_cancelling_the_block_leaves_nobody_waiting(autojump_clock: MockClock) -> None:
    outcomes = []

    async def wait(session: Session) -> None:
        outcomes.append((await (await session.send("deaf")).wait()).kind)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            async with scripted(deadlines=Deadlines(interrupt=2)) as (session, _, _):
                nursery.start_soon(wait, session)
                await trio.sleep_forever()
    assert outcomes == ["interrupted"]


async def test_who_reads_events_is_told_that_nothing_follows(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    async def read(session: Session) -> None:
        async with session.subscribe(0) as events:
            seen.extend([type(event.message).__name__ async for event in events])

    async with trio.open_nursery() as nursery:
        async with scripted() as (session, _, _):
            await session.ask("one")
            nursery.start_soon(read, session)
    assert seen[:2] == ["TurnAccepted", "StateChanged"]
    assert seen[-1] == "StateChanged"


async def test_wrong_options_come_out_as_they_are(autojump_clock: MockClock) -> None:
    with pytest.raises(InvalidOption):
        async with scripted(options=Options(resume="x")):
            pass
    with pytest.raises(InvalidOption):
        async with scripted(limits=Limits(mailbox=0)):
            pass


# Bugs.


async def test_a_bug_in_an_agent_harms_only_its_own_session(autojump_clock: MockClock) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with scripted() as (session, agent, manager):
        other = manager.session("other")
        await other.ask("one")
        agent.connecting = bug
        turn, behind = await session.send("one"), await session.send("two")
        async with session.subscribe(0) as events:
            for broken in (turn, behind):
                with pytest.raises(TurnFailed) as caught:
                    (await broken.wait()).unwrap()
                assert isinstance(caught.value.__cause__, AgentCrashed)
                assert [message async for message in broken] == []
            ended = 0
            async for event in events:
                ended += isinstance(event.message, TurnEnded)
                if isinstance(event.message, StateChanged) and event.message.state == "hibernated":
                    break
            assert ended == 2
        agent.connecting = lambda: None
        assert await answer(other, "two") == "2. two"
        assert await answer(session, "three") == "1. three"


async def test_a_bug_where_a_prompt_goes_out_fails_its_turn(autojump_clock: MockClock) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with scripted() as (session, agent, _):
        await session.ask("one")
        agent.framing = bug
        turn = await session.send("two")
        assert (await turn.wait()).kind == "failed"
        agent.framing = lambda: None
        assert await answer(session, "three") == "2. three"


async def test_a_bug_while_the_block_is_left_is_only_told(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()

        def bug(*, eof: bool) -> None:
            raise ZeroDivisionError("a bug")

        agent.link.stop = bug  # type: ignore[method-assign]
    assert (await turn.wait()).kind in ("interrupted", "failed")


async def test_what_comes_in_while_a_session_breaks_is_refused_or_answered(autojump_clock: MockClock) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with scripted() as (session, agent, _):
        agent.connecting = bug
        kinds: list[str] = []

        async def send(number: int) -> None:
            try:
                kinds.append((await (await session.send(str(number))).wait()).kind)
            except SessionFailed:
                kinds.append("refused")

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(send, number)
                if number % 3 == 0:
                    await trio.lowlevel.checkpoint()
        assert len(kinds) == 30
        assert set(kinds) <= {"failed", "refused"}


# Many.


async def test_a_thousand_sessions_at_once(autojump_clock: MockClock) -> None:
    async with scripted() as (_, agent, manager):
        results: list[str | None] = []

        async def talk(number: int) -> None:
            session = manager.session(f"k{number}")
            await session.ask("one")
            results.append(await answer(session, "two"))

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(talk, number)
        statistics = manager.statistics()
        assert results == ["2. two"] * 1000
        assert (statistics.sessions, statistics.live, statistics.starting, statistics.timers) == (1000, 1000, 0, 0)
        assert len(agent.links) == 1000
        await manager.session("k7").close()
        assert manager.statistics().live == 999


async def test_statistics(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, manager):
        assert manager.sessions() == []
        turn = await session.send("silent")
        await session.send("b")
        await wait_all_tasks_blocked()
        (statistics,) = manager.sessions()
        assert (statistics.key, statistics.state, statistics.waiting) == ("k", "running", 1)
        assert (statistics.session_id, statistics.pid) == (session.session_id, None)
        assert "running" in repr(session)
        await turn.cancel()


async def test_a_start_that_waits_in_line_can_be_closed(autojump_clock: MockClock) -> None:
    async with scripted(limits=Limits(max_starting=1), deadlines=Deadlines(start=None)) as (session, agent, manager):
        agent.handshake = None
        first = await session.send("one")
        second = manager.session("second")
        waiting = await second.send("two")
        await wait_all_tasks_blocked()
        assert manager.statistics().starts_waiting == 1
        await second.close()
        assert (await waiting.wait()).kind == "interrupted"
        assert manager.statistics().starts_waiting == 0
        assert len(agent.links) == 1
        await session.close()
        assert (await first.wait()).kind == "interrupted"


async def test_late_words_of_an_agent_reach_no_turn(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(interrupt=1)) as (session, agent, _):
        turn = await session.send("deaf")
        await wait_all_tasks_blocked()
        old = agent.link
        await session.interrupt()
        behind = await session.send("next")
        old.revive().say(assistant("late"))
        assert [type(message).__name__ async for message in turn] == ["InitMessage"]
        assert [text(message) async for message in behind] == ["", "2. next", ""]


async def test_a_bug_in_the_middle_of_many_turns_leaves_none_behind(autojump_clock: MockClock) -> None:
    """Accepted turns of one session, whatever happens to its agent: each has one outcome, and its iteration ends."""
    words = ["one", "die", "wait 1", "fail", "silent", "flood 10"]
    async with scripted(deadlines=Deadlines(interrupt=1)) as (session, agent, _):
        turns = [await session.send(words[number % len(words)]) for number in range(60)]
        async with trio.open_nursery() as nursery:

            async def disturb() -> None:
                while True:
                    await trio.sleep(3)
                    await session.interrupt()

            nursery.start_soon(disturb)
            kinds = [(await turn.wait()).kind for turn in turns]
            nursery.cancel_scope.cancel()
        expected = {"one": "answered", "die": "failed", "wait 1": "answered", "fail": "failed", "flood 10": "answered"}
        for number, kind in enumerate(kinds):
            assert kind in (expected.get(words[number % len(words)]), "interrupted")
        for turn in turns:
            assert [type(message).__name__ async for message in turn][:1] == ["InitMessage"]
        assert len(agent.links) == 11
