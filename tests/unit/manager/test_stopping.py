"""Interrupting and cancelling, and what is accepted at all."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.unit.manager.stage import answer, scripted
from triologue.errors import (
    InvalidOption,
    MailboxFull,
    TurnInterrupted,
)
from triologue.messages import Interrupt, SetModel
from triologue.options import Deadlines, Limits, Options

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
        await wait_all_tasks_blocked()
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
