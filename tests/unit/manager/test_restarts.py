"""Agents that die: restarts under a budget, and sessions that give up, each for itself."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.manager.stage import answer, scripted
from triologue.messages import StateChanged, TurnEnded
from triologue.options import RestartPolicy
from triologue.session import inputs as on


async def die(session: tri.Session) -> BaseException | None:
    with pytest.raises(tri.TurnFailed) as caught:
        await session.ask("die")
    return caught.value.__cause__


async def test_a_session_whose_agents_die_too_often_fails_and_opens_again(autojump_clock: MockClock) -> None:
    policy = RestartPolicy(max_restarts=1, within=60, backoff=0, max_backoff=0)
    async with scripted(restart=policy) as (session, _, manager):
        assert isinstance(await die(session), tri.AgentCrashed)
        assert await answer(session, "b") == "2. b"
        async with session.subscribe() as events:
            running, waiting = await session.send("die"), await session.send("c")
            assert isinstance((await running.wait()).error, tri.TurnFailed)
            failed = (await waiting.wait()).error
            assert isinstance(failed, tri.TurnFailed)
            assert isinstance(failed.__cause__, tri.SessionFailed)
            async for event in events:
                if isinstance(event.message, StateChanged) and event.message.state == "failed":
                    break
        states = [session.state]
        with pytest.raises(tri.SessionFailed) as caught:
            await session.ask("d")
        assert caught.value.retry_at == 60
        assert await answer(manager.session("other"), "hello") == "1. hello"
        await trio.sleep(60)
        states.append(session.state)
        assert states == ["failed", "hibernated"]
        assert await answer(session, "d") == "4. d"


async def test_what_is_meant_for_an_agent_from_before_a_sleep_does_not_reach_the_next_one(
    autojump_clock: MockClock,
) -> None:
    async with scripted() as (session, agent, manager):
        for number in (1, 2, 3):
            await session.ask("hi")
            actor = manager._directory.registry.awake("k")
            assert actor is not None
            assert actor.session.link.generation == number
            for earlier in range(number):
                actor.post(on.Evict(earlier))
                actor.post(on.Unlinked(earlier, tri.AgentCrashed("long ago")))
            await trio.sleep(1)
            assert (session.state, len(agent.links)) == ("idle", number)
            await session.hibernate()


async def test_restarts_are_put_off_also_where_the_session_slept_between(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    starts: list[float] = []
    agent.connecting = lambda: starts.append(trio.current_time())
    async with scripted(agent, restart=RestartPolicy(max_restarts=9, within=600, backoff=10, max_backoff=40)) as (
        session,
        _,
        _,
    ):
        for _ in range(5):
            await die(session)
    waited = [later - earlier for earlier, later in pairwise(starts)]
    assert waited[0] == 0  # the first restart comes at once
    assert all(low <= each <= 2 * low for low, each in zip([5, 10, 20], waited[1:], strict=True)), waited


async def test_a_turn_is_run_again_where_the_policy_says_so(autojump_clock: MockClock) -> None:
    policy = RestartPolicy(max_restarts=2, retry_turn=True)
    async with scripted(restart=policy) as (session, agent, _):
        async with session.subscribe() as events:
            assert isinstance(await die(session), tri.AgentCrashed)
            ends = 0
            async for event in events:
                if isinstance(event.message, TurnEnded):
                    ends += 1
                    break
        assert (ends, len(agent.links)) == (1, 3)
        uuids = [message.uuid for link in agent.links for message in link.sent if isinstance(message, tri.UserMessage)]
        assert len(set(uuids)) == 3


async def test_so_is_one_whose_agent_stalls_and_has_to_be_killed(autojump_clock: MockClock) -> None:
    stalls = tri.Deadlines(first_event=60, interrupt=5)
    async with scripted(restart=RestartPolicy(max_restarts=2, retry_turn=True), deadlines=stalls) as (
        session,
        agent,
        _,
    ):
        with pytest.raises(tri.TurnFailed) as caught:
            await session.ask("deaf")
        assert isinstance(caught.value.__cause__, tri.TurnTimeout)
        assert len(agent.links) == 3
        assert trio.current_time() == 3 * (60 + 5)
        assert (await session.ask("b")).result == "4. b"


async def test_a_slash_command_that_is_run_again_is_still_one(autojump_clock: MockClock) -> None:
    async with scripted(restart=RestartPolicy(retry_turn=True)) as (session, agent, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.command, "/compact")
            agent.opening = lambda link: link.die(1) if len(agent.links) == 1 else None
        sent = [message for link in agent.links for message in link.sent if isinstance(message, tri.UserMessage)]
        assert [message.client_composed for message in sent] == [False]


async def test_the_log_tells_why_agents_go_away_and_sessions_fail(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    policy = RestartPolicy(max_restarts=1, within=60, backoff=0, max_backoff=0)
    async with scripted(restart=policy, deadlines=tri.Deadlines(first_event=5)) as (session, _, _):
        for prompt, id in (("die", "1"), ("hi", "2"), ("silent", "3"), ("die", "4")):
            await (await session.send(prompt, id=id)).wait()
        with pytest.raises(tri.SessionFailed) as caught:
            await session.ask("hi")
        failed = caught.value
    assert [(record.message, vars(record)["turn_id"]) for record in caplog.records] == [
        ("the session 'k': the agent went away: the scripted agent died", "1"),
        ("the session 'k': the turn is stopped: Deadlines.first_event passed: 5 s", "3"),
        ("the session 'k': the agent went away: the scripted agent died", "4"),
        (f"the session 'k': {failed}", "4"),
    ]


async def test_the_log_tells_once_of_an_agent_that_does_not_start(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent()
    agent.handshake = "dies"
    async with scripted(agent) as (session, _, _):
        for id in ("1", "2", "3"):
            await (await session.send("hi", id=id)).wait()
    assert [record.message for record in caplog.records] == [
        "the session 'k': the agent did not start: the scripted agent died"
    ]
