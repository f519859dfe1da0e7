"""Starts that may renew the same log-in begin one after the other, and nothing holds them up for long."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.other_agent import OtherAgent
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import settled
from triologue.actors import Place
from triologue.errors import AgentStartError, TurnFailed
from triologue.options import Limits, Options
from triologue.ports import Carrier, Command, Connection, Sink
from triologue.supervision.prewarming import STARTS_FOR
from triologue.supervision.staggering import SPACING, Staggering


class Starting(OtherAgent):
    """A scripted agent that starts as a process does, and takes its time. It keeps a log-in, unless it has a token.

    Args:
        takes: seconds; negative: it fails then.
    """

    def __init__(self, takes: float) -> None:
        self._scripted = ScriptedAgent()
        super().__init__(self._scripted)
        self._takes = takes
        self.begun: list[float] = []

    def kept_login(self, options: Options) -> str | None:
        return None if "TOKEN" in options.env else options.env.get("FOLDER") or "the usual one"

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        assert isinstance(carrier, Place)
        carrier._carrier = self  # what it carries is no process
        async with carrier.spawn(Command(argv=[], env={}), sink=sink) as connection:
            yield connection

    @asynccontextmanager
    async def spawn(self, command: Command, *, sink: Sink) -> AsyncGenerator[Connection]:
        self.begun.append(round(trio.current_time(), 3))
        await trio.sleep(abs(self._takes))
        if self._takes < 0:
            raise AgentStartError("it does not start")
        async with self._scripted.connect(Options(), sink=sink, carrier=self) as connection:
            yield connection


@pytest.mark.parametrize(
    ("takes", "begun"),
    [
        pytest.param(0.25, [0.0, 0.25, 0.5], id="each when the one before has come up"),
        pytest.param(-0.25, [0.0, 0.25, 0.5], id="or has failed"),
        pytest.param(30.0, [0.0, SPACING, 2 * SPACING], id="but never later than so"),
    ],
)
async def test_one_begins_after_the_other(takes: float, begun: list[float], autojump_clock: MockClock) -> None:
    agent = Starting(takes)
    async with (
        tri.open_manager(agent, limits=Limits(max_live=10, max_starting=10)) as manager,
        trio.open_nursery() as nursery,
    ):

        async def ask(key: str) -> None:
            try:
                await manager.session(key).ask("hi")
            except TurnFailed:
                assert takes < 0

        for key in "abc":
            nursery.start_soon(ask, key)
    assert agent.begun == begun


@pytest.mark.parametrize(
    ("variable", "begun"),
    [
        pytest.param("FOLDER", [0.0, 0.0, 0.25], id="who has another log-in does not wait"),
        pytest.param("TOKEN", [0.0, 0.0, 0.0], id="nor who keeps none"),
    ],
)
async def test_nobody_else_waits(variable: str, begun: list[float], autojump_clock: MockClock) -> None:
    agent = Starting(0.25)
    async with (
        tri.open_manager(agent, limits=Limits(max_live=10, max_starting=10)) as manager,
        trio.open_nursery() as nursery,
    ):
        for key, value in (("a", "1"), ("b", "2"), ("c", "1")):
            nursery.start_soon(manager.session(key, options=Options(env={variable: value})).ask, "hi")
    assert agent.begun == begun


async def test_two_agents_with_one_log_in_wait_for_each_other(autojump_clock: MockClock) -> None:
    agents = [Starting(0.25), Starting(0.25)]
    async with (
        tri.open_manager(agents[0], limits=Limits(max_live=10, max_starting=10)) as manager,
        trio.open_nursery() as nursery,
    ):
        for number, agent in enumerate(agents):
            nursery.start_soon(manager.session(str(number), agent=agent).ask, "hi")
    assert sorted(each for agent in agents for each in agent.begun) == [0.0, 0.25]


async def test_those_that_are_started_ahead_stand_in_the_same_line(autojump_clock: MockClock) -> None:
    agent = Starting(0.25)
    async with tri.open_manager(agent, limits=Limits(max_live=4, max_starting=4), prewarm=2) as manager:
        await settled()
        assert agent.begun == [0.0]  # it says nothing, and so its start is over only after a while
        await manager.session("a", options=Options(model="other")).ask("hi")
        await trio.sleep(10)
    assert agent.begun == [0.0, SPACING, SPACING + 0.25]
    assert STARTS_FOR == SPACING


async def test_one_that_is_ready_is_taken_at_once(autojump_clock: MockClock) -> None:
    agent = Starting(0.25)
    async with tri.open_manager(agent, limits=Limits(max_live=4, max_starting=4), prewarm=1) as manager:
        await trio.sleep(5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(manager.session("other", options=Options(model="other")).ask, "hi")
            await settled()
            await manager.session("a").ask("hi")
            assert trio.current_time() == 5


async def test_the_spacing_is_counted_from_where_nothing_else_holds_a_start_up(autojump_clock: MockClock) -> None:
    agent = Starting(30)
    limits = Limits(max_live=10, max_starting=2)
    async with tri.open_manager(agent, limits=limits) as manager, trio.open_nursery() as nursery:
        for key in "xy":
            nursery.start_soon(manager.session(key, options=Options(env={"TOKEN": key})).ask, "hi")
        await settled()
        for key in "ab":
            nursery.start_soon(manager.session(key).ask, "hi")
    assert agent.begun == [0.0, 0.0, 30.0, 30.0 + SPACING]


async def test_it_can_be_seen_and_who_gives_up_holds_up_nobody(autojump_clock: MockClock) -> None:
    agent = Starting(0.5)
    async with tri.open_manager(agent, limits=Limits(max_live=10, max_starting=10)) as manager:
        for key in "abc":
            await manager.session(key).send("hi")
            await settled()
        assert manager.explain("b").waits_for == "its turn to start, after others that have the same log-in"
        await manager.session("b").close()
        await manager.session("c").ask("hi")
    assert agent.begun == [0.0, 0.5]


async def test_nothing_is_kept_of_those_that_are_over(autojump_clock: MockClock) -> None:
    staggering = Staggering()
    for number in range(3):
        await staggering.enter(("a", number), "one")
        staggering.over(("a", number))
        staggering.over(("a", number))
    assert trio.current_time() == 0.0
    with trio.move_on_after(0.5):
        await staggering.enter(("a", 4), "two")
        staggering.begins(("a", 4))
        await staggering.enter(("b", 1), "two")
    assert not staggering.is_waiting("b")
    staggering.over(("a", 4))
    await staggering.enter(("c", 1), "two")
    assert trio.current_time() == 0.5
