"""Settings, closing, resetting, draining, and a thousand at once."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.frames import assistant
from tests.unit.manager.stage import answer, scripted
from triologue.errors import (
    AgentProtocolError,
    InvalidOption,
    ManagerClosed,
    TurnCancelled,
    TurnFailed,
)
from triologue.manager import Session
from triologue.messages import SetModel, text
from triologue.options import Deadlines, Limits, Options, RestartPolicy
from triologue.testing import ScriptedAgent, Wait, run_virtual

# Settings.


async def test_a_setting_that_comes_while_the_agent_starts_is_refused_by_the_agent(autojump_clock: MockClock) -> None:
    async with scripted() as (session, agent, _):
        agent.refuses = {"bad"}
        turn = await session.send("one")
        assert session.state == "starting"
        with pytest.raises(AgentProtocolError, match="the agent refused permission_mode='bad'"):
            await session.set_permission_mode("bad")
        assert (await turn.wait()).kind == "answered"
        await session.hibernate()
        await session.ask("two")
        assert agent.link.options.permission_mode is None


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
            assert (await turn.wait()).kind == "cancelled"
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


# Many.


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
async def test_many_sessions_at_once(count: int, autojump_clock: MockClock) -> None:
    async with scripted() as (_, agent, manager):
        results: list[str | None] = []

        async def talk(number: int) -> None:
            session = manager.session(f"k{number}")
            await session.ask("one")
            results.append(await answer(session, "two"))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(talk, number)
        statistics = manager.statistics()
        assert results == ["2. two"] * count
        assert (statistics.sessions, statistics.live, statistics.starting, statistics.timers) == (
            count,
            count,
            0,
            count,
        )
        assert len(agent.links) == count
        await manager.session("k7").close()
        assert manager.statistics().live == count - 1


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


async def test_a_start_that_waits_in_line_can_be_closed(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    options = tri.Options(cli_path=silent, cwd=tmp_path, env={"ANTHROPIC_API_KEY": "none"})  # nothing to renew
    limits, deadlines = Limits(max_starting=1), Deadlines(start=None, close=0.1)
    async with tri.open_manager(tri.ClaudeCode(), options=options, limits=limits, deadlines=deadlines) as manager:
        session, second = manager.session("first"), manager.session("second")
        first = await session.send("one")
        with trio.fail_after(10):
            while session.pid is None:
                await trio.lowlevel.checkpoint()
        waiting = await second.send("two")
        with trio.fail_after(10):
            while manager.statistics().starts_waiting != 1:
                await trio.lowlevel.checkpoint()
        await second.close()
        assert (await waiting.wait()).kind == "cancelled"
        assert manager.statistics().starts_waiting == 0
        assert second.pid is None
        await session.close()
        assert (await first.wait()).kind == "cancelled"


async def test_the_deadline_of_a_start_begins_when_it_has_its_place(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    options = tri.Options(cli_path=silent, cwd=tmp_path, env={"ANTHROPIC_API_KEY": "none"})  # nothing to renew
    limits, deadlines = Limits(max_starting=1, max_live=3), Deadlines(close=0.1)
    async with tri.open_manager(tri.ClaudeCode(), options=options, limits=limits, deadlines=deadlines) as manager:
        for key in "abc":  # at the same moment, when nobody is in line yet
            await manager.session(key).send("one")
        with trio.fail_after(10):
            while manager.statistics().starts_waiting != 2:
                await trio.lowlevel.checkpoint()
        assert sorted(str(manager.explain(key).deadline) for key in "abc") == ["None", "None", "start"]
        for key in "abc":
            await manager.session(key).close()


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
    restart = RestartPolicy(max_restarts=100, backoff=0)
    async with scripted(deadlines=Deadlines(interrupt=1), restart=restart) as (session, agent, _):
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


def test_who_closes_what_was_just_given_a_prompt_waits_until_it_is_over() -> None:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))

    async def story() -> None:
        async with tri.open_manager(agent, deadlines=tri.Deadlines(idle=None, drain=0)) as manager:
            session = manager.session("k")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.send, "long")
                while not manager.turns():  # it was submitted, and not taken in yet
                    await trio.lowlevel.checkpoint()
                await session.close()
                assert (manager.turns(), manager.statistics().live) == ([], 0)

    for seed in range(10):
        run_virtual(story, seed=seed)
