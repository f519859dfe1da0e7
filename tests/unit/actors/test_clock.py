"""The deadlines of one session."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias, final

import trio
from trio.testing import MockClock

from triologue.actors import Timers
from triologue.actors.clock import Clock
from triologue.options import Deadlines
from triologue.session import effects as do, inputs as on

DEADLINES = Deadlines(first_event=5, silence=10, turn=30, tool=5, idle=60)


Rung: TypeAlias = list[tuple[str, str, float]]


@final
class Session:
    """Writes down what has passed; the end of a turn is the end of its tools."""

    def __init__(self, timers: Timers) -> None:
        self.rung: Rung = []
        self.clock = Clock(timers, DEADLINES, self)

    def ring(self, expired: on.Expired) -> None:
        self.rung.append((expired.timer, expired.about, trio.current_time()))
        if expired.timer == "turn":
            self.clock.clear("tool", "1")


@asynccontextmanager
async def ticking() -> AsyncGenerator[tuple[Clock, Timers, Rung]]:
    timers = Timers()
    session = Session(timers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        yield session.clock, timers, session.rung
        nursery.cancel_scope.cancel()


async def test_each_deadline_passes_at_its_time_and_all_of_a_session_are_one_in_the_heap(
    autojump_clock: MockClock,
) -> None:
    async with ticking() as (clock, timers, rung):
        for timer in ("idle", "turn", "first_event"):
            clock.set(do.SetTimer(timer, 1))
        assert (len(clock), len(timers), clock.next()) == (3, 1, ("first_event", "", 5.0))
        await trio.sleep(100)
        assert (len(clock), clock.next()) == (0, None)
    assert rung == [("first_event", "", 5.0), ("turn", "", 30.0), ("idle", "", 60.0)]


async def test_what_is_cleared_or_set_again_does_not_pass_at_the_old_time(autojump_clock: MockClock) -> None:
    async with ticking() as (clock, _, rung):
        clock.set(do.SetTimer("first_event", 1))
        clock.clear("first_event")
        clock.set(do.SetTimer("tool", 1, "1"))
        await trio.sleep(4)
        clock.set(do.SetTimer("tool", 1, "1"))
        await trio.sleep(100)
    assert rung == [("tool", "1", 9.0)]


async def test_of_two_that_pass_together_the_first_may_clear_the_second(autojump_clock: MockClock) -> None:
    async with ticking() as (clock, _, rung):
        clock.set(do.SetTimer("turn", 1))
        await trio.sleep(25)
        clock.set(do.SetTimer("tool", 1, "1"))
        clock.set(do.SetTimer("tool", 1, "2"))
        await trio.sleep(100)
    assert rung == [("turn", "", 30.0), ("tool", "2", 30.0)]


async def test_a_deadline_stands_still_and_goes_on_with_what_was_left(autojump_clock: MockClock) -> None:
    async with ticking() as (clock, _, rung):
        clock.set(do.SetTimer("turn", 1))
        await trio.sleep(10)
        clock.pause("turn")
        await trio.sleep(100)
        assert (rung, clock.next()) == ([], None)
        clock.resume("turn")
        await trio.sleep(100)
    assert rung == [("turn", "", 130.0)]


async def test_silence_counts_from_the_last_word(autojump_clock: MockClock) -> None:
    async with ticking() as (clock, _, rung):
        clock.set(do.SetTimer("silence", 1))
        await trio.sleep(9)
        clock.heard_at = trio.current_time()
        assert clock.next() == ("silence", "", 10.0)
        await trio.sleep(100)
    assert rung == [("silence", "", 19.0)]


async def test_a_clock_that_is_closed_tells_nothing(autojump_clock: MockClock) -> None:
    async with ticking() as (clock, timers, rung):
        clock.set(do.SetTimer("turn", 1))
        clock.close()
        assert (len(clock), len(timers)) == (0, 0)
        await trio.sleep(100)
    assert rung == []
