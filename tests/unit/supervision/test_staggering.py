"""Starts with the same credentials begin one after the other, and nothing holds them up for long."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.other_agent import OtherAgent
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import settled
from triologue.errors import AgentStartError, TurnFailed
from triologue.options import Limits, Options
from triologue.ports import Carrier, Connection, Sink
from triologue.supervision.staggering import SPACING, Staggering


class Starting(OtherAgent):
    """A scripted agent that counts as a process, and takes its time to start.

    Args:
        takes: seconds; negative: it fails then.
    """

    def __init__(self, takes: float) -> None:
        self._scripted = ScriptedAgent()
        super().__init__(self._scripted)
        self._takes = takes
        self.begun: list[float] = []

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        self.begun.append(round(trio.current_time(), 3))
        await trio.sleep(abs(self._takes))
        if self._takes < 0:
            raise AgentStartError("it does not start")
        async with self._scripted.connect(options, sink=sink, carrier=carrier) as connection:
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
    async with tri.open_manager(agent, limits=Limits(max_live=10)) as manager, trio.open_nursery() as nursery:

        async def ask(key: str) -> None:
            try:
                await manager.session(key).ask("hi")
            except TurnFailed:
                assert takes < 0

        for key in "abc":
            nursery.start_soon(ask, key)
    assert agent.begun == begun


async def test_other_credentials_do_not_wait(autojump_clock: MockClock) -> None:
    agent = Starting(0.25)
    async with tri.open_manager(agent, limits=Limits(max_live=10)) as manager, trio.open_nursery() as nursery:
        for key, token in (("a", "1"), ("b", "2"), ("c", "1")):
            nursery.start_soon(manager.session(key, options=Options(env={"TOKEN": token})).ask, "hi")
    assert agent.begun == [0.0, 0.0, 0.25]


async def test_it_can_be_seen_and_who_gives_up_holds_up_nobody(autojump_clock: MockClock) -> None:
    agent = Starting(0.5)
    async with tri.open_manager(agent, limits=Limits(max_live=10)) as manager:
        for key in "abc":
            await manager.session(key).send("hi")
            await settled()
        assert manager.explain("b").waits_for == "its turn to start, after others that have the same credentials"
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
        await staggering.enter(("b", 1), "two")
    assert not staggering.is_waiting("b")
    staggering.over(("a", 4))
    await staggering.enter(("c", 1), "two")
    assert trio.current_time() == 0.5
