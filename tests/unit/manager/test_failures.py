"""Agents that die, stay silent or have bugs: every turn has its outcome, and nobody waits for ever."""

import gc
import logging
import weakref
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.broken_log import BrokenHandler
from tests.unit.manager.stage import answer, scripted
from triologue.errors import (
    AgentCrashed,
    AgentStartError,
    SessionFailed,
    SessionNotFound,
    TurnFailed,
)
from triologue.manager import SessionManager
from triologue.messages import StateChanged, TurnEnded
from triologue.options import Deadlines, Options
from triologue.testing import CrashTask, InjectedCrash, run_virtual

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


@pytest.mark.parametrize("handshake", ["refuses", "dies"])
async def test_an_agent_that_does_not_come_up_fails_the_turn(handshake: Any, autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(start=5)) as (session, agent, manager):
        agent.handshake = handshake
        with pytest.raises(TurnFailed) as caught:
            await session.ask("one")
        assert isinstance(caught.value.__cause__, AgentStartError | AgentCrashed)
        assert caught.value.__cause__.__traceback__ is None  # it is kept as long as the outcome
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
                assert str(caught.value) == "the session 'k' broke: ZeroDivisionError('a bug')"
                assert [message async for message in broken] == []
            ended = 0
            async for event in events:
                ended += isinstance(event.message, TurnEnded)
                if isinstance(event.message, StateChanged) and event.message.state == "hibernated":
                    break
            assert ended == 2
        agent.connecting = None
        assert await answer(other, "two") == "2. two"
        assert await answer(session, "three") == "1. three"


async def test_a_log_handler_that_raises_harms_no_other_session(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = BrokenHandler()
    logging.getLogger("triologue").addHandler(handler)
    try:
        async with scripted(deadlines=Deadlines(turn=5)) as (session, _, manager):
            with pytest.raises(TurnFailed, match="broke: RuntimeError"):  # where the log is told of the deadline
                await session.ask("silent")
            assert await answer(manager.session("other"), "one") == "1. one"
            assert await answer(session, "one") == "2. one"
    finally:
        logging.getLogger("triologue").removeHandler(handler)
    assert "RuntimeError: nobody can be told" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["Timers.run", "Draining.run"])
def test_a_service_of_the_manager_that_breaks_hides_nothing_of_its_block(name: str) -> None:
    async def main() -> None:
        async with scripted():
            try:
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt("in the block")

    with pytest.RaisesGroup(InjectedCrash, KeyboardInterrupt, flatten_subgroups=True):
        run_virtual(main, instruments=[CrashTask(name)])


# What is left of it.


def test_an_error_that_was_raised_keeps_nothing_of_a_manager_that_is_gone() -> None:
    managers: list[weakref.ref[SessionManager]] = []

    async def main() -> None:
        async with scripted() as (session, _, manager), session.subscribe() as events:
            managers.append(weakref.ref(manager))
            with suppress(TurnFailed):
                await session.ask("die")
            async for event in events:
                if isinstance(event.message, TurnEnded):
                    with suppress(TurnFailed):
                        event.message.outcome.unwrap()
                    break
            assert manager in [each() for each in managers]

    run_virtual(main)
    gc.collect()
    assert [each() for each in managers] == [None]


async def test_a_session_is_shown_outside_of_trio_too(autojump_clock: MockClock) -> None:
    async with scripted() as (session, _, _):
        await session.ask("one")
        await session.hibernate()
        assert await trio.to_thread.run_sync(repr, session) == "<Session 'k': hibernated>"
