"""Deadlines, as callers meet them: a time-out says which, a stall is no wall clock, and the conversation goes on."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.frames import assistant, partial
from tests.unit.manager.stage import answer, scripted
from triologue.messages import CanUseTool, KeepAlive, McpStatus, StateChanged
from triologue.options import Deadlines


async def phase_of(turn: object) -> str:
    """The deadline that a turn failed for."""
    outcome = await turn.wait()  # type: ignore[attr-defined]
    assert outcome.kind == "failed"
    with pytest.raises(tri.TurnFailed) as caught:
        outcome.unwrap()
    assert isinstance(caught.value.__cause__, tri.TurnTimeout)
    assert outcome.reason == caught.value.__cause__.phase
    assert f"{caught.value.__cause__.seconds:g} s" in str(caught.value)
    return str(outcome.reason)


async def keep_looking(session: tri.Session) -> None:
    """As a dashboard does."""
    while True:
        await session.get_mcp_status()
        await trio.sleep(3)


@pytest.mark.parametrize(
    ("deadlines", "phase"), [(Deadlines(first_event=60), "first_event"), (Deadlines(turn=60), "turn")]
)
async def test_an_agent_that_says_nothing_fails_its_turn_and_serves_the_next(
    autojump_clock: MockClock, deadlines: Deadlines, phase: str
) -> None:
    async with scripted(deadlines=deadlines) as (session, agent, _):
        turn = await session.send("silent")
        assert (await phase_of(turn), trio.current_time()) == (phase, 60)
        assert await answer(session, "b") == "2. b"
        assert len(agent.links) == 1


async def test_one_that_does_not_come_up_fails_its_turn_for_that_and_another_is_started(
    autojump_clock: MockClock,
) -> None:
    async with scripted(deadlines=Deadlines(start=5)) as (session, agent, manager):
        agent.handshake = None
        turn = await session.send("a")
        assert (await phase_of(turn), trio.current_time()) == ("start", 5)
        assert turn.outcome is not None
        assert turn.outcome.error is not None
        timeout = turn.outcome.error.__cause__
        assert timeout is not None
        assert isinstance(timeout.__cause__, tri.AgentStartError)
        await wait_all_tasks_blocked()
        assert (session.state, manager.statistics().live, manager.statistics().timers) == ("new", 0, 0)
        agent.handshake = "answers"
        assert await answer(session, "b") == "1. b"


async def test_one_that_does_not_stop_is_killed_and_another_goes_on(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(turn=60, interrupt=5)) as (session, agent, _):
        turn = await session.send("deaf")
        assert (await phase_of(turn), trio.current_time()) == ("turn", 65)
        assert await answer(session, "b") == "2. b"
        assert len(agent.links) == 2


async def test_a_trickle_keeps_a_turn_alive_and_sets_no_timers(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(silence=10)) as (session, agent, manager):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(assistant("ha"))
        timers = manager.statistics().timers
        for _ in range(20):
            await trio.sleep(9)
            agent.link.say(partial("ha"))
            assert manager.statistics().timers == timers
        assert turn.outcome is None
        assert (await phase_of(turn), trio.current_time()) == ("silence", 190)


async def test_what_we_say_and_a_keep_alive_are_no_sign_of_life(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(silence=10)) as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(assistant("ha"))
        agent.ignores = {McpStatus}
        await trio.sleep(6)
        agent.link.say(KeepAlive())
        with trio.move_on_after(1):
            await session.control(McpStatus())
        assert (await phase_of(turn), trio.current_time()) == ("silence", 10)


async def test_what_an_agent_answers_us_is_no_sign_of_life_of_its_turn(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(silence=10)) as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(assistant("ha"))
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_looking, session)
                assert (await phase_of(turn), trio.current_time()) == ("silence", 10)
                nursery.cancel_scope.cancel()


async def test_words_behind_a_keep_alive_are_a_sign_of_life(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(silence=10)) as (session, agent, _):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(assistant("ha"))
        await trio.sleep(6)
        agent.link.say(KeepAlive(), partial("ha"))
        assert (await phase_of(turn), trio.current_time()) == ("silence", 16)


async def test_a_permission_that_waits_stops_the_turns_clock(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(turn=60, silence=20), on_permission=lambda request: None) as (
        session,
        agent,
        manager,
    ):
        turn = await session.send("silent")
        await wait_all_tasks_blocked()
        agent.link.say(assistant("ha"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.link.ask, CanUseTool(tool_name="Bash", input={}))
            await trio.sleep(1000)
            assert turn.outcome is None
            await manager.permissions()[0].allow()
        assert (await phase_of(turn), trio.current_time()) == ("silence", 1020)


async def test_an_idle_agent_hibernates_and_the_next_message_wakes_it(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(idle=600)) as (session, agent, manager):
        await session.ask("a")
        await trio.sleep(599)
        assert session.state == "idle"
        await trio.sleep(2)
        assert (session.state, manager.statistics().live) == ("hibernated", 0)
        assert await answer(session, "b") == "2. b"
        assert len(agent.links) == 2


async def reasons(session: tri.Session) -> list[tuple[str, str]]:
    """The changes of its state that have a reason."""
    async with session.subscribe(after=0) as events:
        batch = await events.batch()
    changes = [event.message for event in batch if isinstance(event.message, StateChanged)]
    return [(change.state, change.reason) for change in changes if change.reason is not None]


async def test_one_that_is_let_go_for_a_deadline_goes_with_its_name_as_the_reason(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(idle=600)) as (session, _, _):
        await session.ask("a")
        await trio.sleep(601)
        assert await reasons(session) == [("hibernated", "idle")]
        await session.ask("b")
        await session.hibernate()
        assert await reasons(session) == [("hibernated", "idle")]
    async with scripted(deadlines=Deadlines(max_age=100, idle=None)) as (session, _, _):
        await (await session.send("wait 150")).wait()
        await session.ask("b")
        await trio.sleep(101)
        assert await reasons(session) == [
            ("hibernated", "max_age"),
            ("restarting", "max_age"),  # while the old one leaves
            ("hibernated", "max_age"),
        ]


async def test_an_old_agent_is_replaced_between_two_turns(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=Deadlines(max_age=100)) as (session, agent, _):
        turn, after = await session.send("wait 150"), await session.send("b")
        assert (await turn.wait()).kind == "answered"
        assert (await after.wait()).unwrap().result == "2. b"
        assert len(agent.links) == 2
