"""`open_manager(prewarm=n)` with a scripted agent that counts as a process."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.other_agent import OtherAgent
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import Outside, live, settled
from triologue.actors import MAX_KEY_LENGTH
from triologue.errors import AgentNotFound
from triologue.manager import SessionManager, open_manager
from triologue.messages import KeepAlive
from triologue.options import Limits, Options
from triologue.ports import Carrier, Command, Connection, Sink
from triologue.supervision.housing import Housing
from triologue.supervision.prewarming import LOOK_AGAIN, NAME_LENGTH, STARTS_FOR, Prewarming
from triologue.supervision.staggering import Staggering


@asynccontextmanager
async def prewarmed(
    count: int = 1, agent: ScriptedAgent | None = None, **limits: Any
) -> AsyncGenerator[tuple[SessionManager, ScriptedAgent]]:
    """A manager that keeps so many ready, and they are."""
    agent = agent or ScriptedAgent()
    async with open_manager(Outside(agent), limits=Limits(**{"max_live": 3, **limits}), prewarm=count) as manager:
        await settled()
        yield manager, agent
    assert agent.live == 0


async def test_a_new_session_gets_the_one_that_is_ready_and_the_next_is_started(autojump_clock: MockClock) -> None:
    async with prewarmed() as (manager, agent):
        ready = agent.link
        assert (ready.sent, live(manager)) == ([], set())
        assert (await manager.session("a").ask("hi")).result == "1. hi"
        assert any("hi" in repr(each) for each in ready.sent)
        await settled()
        assert len(agent.links) == 2
        await manager.session("a").hibernate()
        await settled()
        assert agent.live == 1


async def test_who_goes_on_or_wants_something_else_starts_its_own(autojump_clock: MockClock) -> None:
    async with prewarmed() as (manager, agent):
        ready = agent.link
        agent.prompts["known"] = ["before"]
        await manager.session("resumed", options=Options(resume="known")).ask("hi")
        await manager.session("other", options=Options(model="m")).ask("hi")
        assert ready.sent == []
        assert agent.most_live == 3


async def test_a_session_may_have_any_key(autojump_clock: MockClock) -> None:
    async with prewarmed() as (manager, _):
        for key in ("prewarmed 1", "prewarmed 2"):
            assert (await manager.session(key, options=Options(model="m")).ask("hi")).result == "1. hi"
    assert NAME_LENGTH > MAX_KEY_LENGTH


async def test_they_count_among_those_that_live_and_make_room_first(autojump_clock: MockClock) -> None:
    async with prewarmed(2, max_live=3) as (manager, agent):
        other = Options(model="m")
        for key in "ab":
            await manager.session(key, options=other).ask("hi")
        await settled()
        assert (live(manager), agent.live) == ({"a", "b"}, 3)
        await manager.session("c", options=other).ask("hi")
        assert live(manager) == {"a", "b", "c"}  # and nobody who has something to lose made room
        await trio.sleep(10 * LOOK_AGAIN)
        assert (agent.live, agent.most_live) == (3, 3)
        await manager.session("a").hibernate()
        await trio.sleep(LOOK_AGAIN + 1)
        assert agent.live == 3


async def test_they_are_in_no_group_and_a_full_group_gets_none(autojump_clock: MockClock) -> None:
    def group(key: str) -> str:
        return {"a": "x", "b": "x", "c": "y"}[key]

    async with prewarmed(1, max_live=3, max_live_per_group=1, group=group) as (manager, agent):
        running = await manager.session("a").send("wait 100")
        waiting = await manager.session("b").send("hi")
        await settled()
        assert (agent.live, waiting.outcome) == (2, None)
        assert (await manager.session("c").ask("hi")).result == "1. hi"
        assert (await running.wait()).kind == (await waiting.wait()).kind == "answered"
        assert agent.most_live <= 3


async def test_one_that_dies_is_replaced_after_a_while(autojump_clock: MockClock) -> None:
    async with prewarmed() as (manager, agent):
        agent.link.die(9)
        await trio.sleep(LOOK_AGAIN / 2)
        assert (agent.live, len(agent.links)) == (0, 1)
        assert (await manager.session("a").ask("hi")).result == "1. hi"
        await trio.sleep(LOOK_AGAIN)
        assert len(agent.links) == 3


async def test_one_that_dies_just_as_it_is_wanted_harms_nobody(autojump_clock: MockClock) -> None:
    for _ in range(20):  # the order of tasks is random
        async with prewarmed() as (manager, agent):
            agent.link.die(9)
            assert (await manager.session("a").ask("hi")).result == "1. hi"
            assert agent.most_live <= 3


async def test_one_that_does_not_start_is_told_of_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent()

    def fail() -> None:
        raise AgentNotFound("there is no such program")

    agent.connecting = fail
    async with prewarmed(1, agent) as (manager, _):
        await trio.sleep(10 * LOOK_AGAIN)
        warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert [each.getMessage() for each in warnings] == [
            "an agent that was to be started ahead did not start: there is no such program"
        ]
        agent.connecting = None
        assert (await manager.session("a").ask("hi")).result == "1. hi"


async def test_a_bug_of_the_agents_harms_nobody(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    agent = ScriptedAgent()

    def fail() -> None:
        raise RuntimeError("a bug")

    agent.connecting = fail
    async with prewarmed(1, agent) as (manager, _):
        await trio.sleep(LOOK_AGAIN / 2)
        agent.connecting = None
        assert (await manager.session("a").ask("hi")).result == "1. hi"
        assert "an agent that was to be started ahead did not start: a bug" in caplog.messages


async def test_a_turn_that_is_given_up_gives_back_what_was_ready(autojump_clock: MockClock) -> None:
    for _ in range(20):  # the order of tasks is random
        async with prewarmed(1, max_live=1) as (manager, agent):
            turn = await manager.session("a").send("hi")
            await turn.cancel()
            assert (await manager.session("b").ask("hi")).result is not None
            assert agent.most_live == 1


async def test_one_that_dies_as_it_is_wanted_keeps_its_place_until_it_is_gone(autojump_clock: MockClock) -> None:
    for steps in range(10):  # at some of these it is claimed, and not taken over yet
        agent = ScriptedAgent()
        agent.closing = 3.0
        async with prewarmed(1, agent, max_live=1) as (manager, _), trio.open_nursery() as nursery:
            nursery.start_soon(manager.session("a").send, "hi")
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            agent.link.die(9)
            await trio.sleep(1)
            await manager.session("a").close()
            assert (await manager.session("b").ask("hi")).result == "1. hi"
        assert agent.most_live == 1


class Program(OtherAgent):
    """A scripted agent that is a process to its carrier."""

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        async with carrier.spawn(Command(argv=["agent"], cwd=None, env={}), sink=sink) as connection:
            yield connection


class Carriage:
    """Starts scripted agents in the place of processes."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent
        self.begun: list[float] = []

    @asynccontextmanager
    async def spawn(self, command: Command, *, sink: Sink) -> AsyncGenerator[Connection]:
        self.begun.append(trio.current_time())
        async with self.agent.connect(Options(), sink=sink, carrier=self) as connection:
            yield connection


@pytest.mark.parametrize(("speaks", "begun"), [(False, [0, 0, 1, 1, 2]), (True, [0, 0, 0, 0, 0])])
async def test_no_more_start_at_once_than_there_may(
    autojump_clock: MockClock, speaks: bool, begun: list[float]
) -> None:
    agent = ScriptedAgent()
    if speaks:
        agent.opening = lambda link: link.say(KeepAlive())
    carriage = Carriage(agent)
    prewarming = Prewarming(
        5,
        Program(agent),
        Options(),
        housing=Housing(Limits(max_live=5)),
        carrier=carriage,
        starting=trio.CapacityLimiter(2),
        staggering=Staggering(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prewarming.run)
        await trio.sleep(60)
        prewarming.finish()
    assert carriage.begun == [STARTS_FOR * each for each in begun]


async def test_none_is_started_while_the_manager_drains_and_those_that_are_ready_go(autojump_clock: MockClock) -> None:
    async with prewarmed(2) as (manager, agent):
        running = await manager.session("a").send("wait 20")
        await trio.sleep(10)
        assert (agent.live, len(agent.links)) == (3, 3)
        manager.drain()
        await trio.sleep(1)
        assert (agent.live, len(agent.links)) == (1, 3)
        assert (await running.wait()).kind == "answered"
    assert len(agent.links) == 3


async def test_one_that_is_given_back_while_the_manager_drains_goes_too(autojump_clock: MockClock) -> None:
    async with prewarmed() as (manager, agent):
        turn = await manager.session("a").send("hi")
        manager.drain()
        assert (await turn.wait()).kind in ("cancelled", "answered")
    assert agent.live == 0


async def test_an_agent_inside_the_program_needs_none(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    async with open_manager(agent, prewarm=3) as manager:
        await settled()
        assert agent.links == []
        assert (await manager.session("a").ask("hi")).result == "1. hi"
