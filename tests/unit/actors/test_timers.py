"""One heap of deadlines."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from triologue.actors import Timers


@asynccontextmanager
async def running() -> AsyncGenerator[Timers]:
    timers = Timers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        yield timers
        nursery.cancel_scope.cancel()


async def test_timers_fire_in_order_at_their_time(autojump_clock: MockClock) -> None:
    fired: list[tuple[str, float]] = []

    def fire(name: str) -> None:
        fired.append((name, trio.current_time()))

    async with running() as timers:
        timers.set("b", 2, lambda: fire("b"))
        timers.set("a", 1, lambda: fire("a"))
        timers.set("now", 0, lambda: fire("now"))
        await trio.sleep(1.5)
        timers.set("sooner", 0.1, lambda: fire("sooner"))
        assert len(timers) == 2
        await trio.sleep(10)
        assert len(timers) == 0
    assert fired == [("now", 0.0), ("a", 1.0), ("sooner", 1.6), ("b", 2.0)]


async def test_a_timer_is_replaced_and_cleared(autojump_clock: MockClock) -> None:
    fired: list[str] = []
    async with running() as timers:
        timers.set("a", 1, lambda: fired.append("first"))
        timers.set("a", 5, lambda: fired.append("second"))
        timers.set("b", 1, lambda: fired.append("never"))
        timers.clear("b")
        timers.clear("b")
        await trio.sleep(2)
        assert fired == []
        await trio.sleep(5)
    assert fired == ["second"]


async def test_many_that_pass_together_do_not_stall_the_rest(autojump_clock: MockClock) -> None:
    fired = 0
    seen: set[int] = set()

    def fire() -> None:
        nonlocal fired
        fired += 1

    async def look() -> None:
        await trio.sleep(1)
        while fired < 1000:
            seen.add(fired)
            await trio.lowlevel.checkpoint()

    async with running() as timers:
        for number in range(1000):
            timers.set(number, 1, fire)
        await look()
    assert len(seen - {0}) >= 5


async def test_a_timer_may_set_another(autojump_clock: MockClock) -> None:
    fired: list[float] = []
    async with running() as timers:

        def again() -> None:
            fired.append(trio.current_time())
            if len(fired) < 3:
                timers.set("again", 1, again)

        timers.set("again", 1, again)
        await trio.sleep(10)
    assert fired == [1.0, 2.0, 3.0]


async def test_ten_thousand_that_fall_together_let_others_run_in_between(autojump_clock: MockClock) -> None:
    timers, rung, seen = Timers(), [0], set[int]()

    def ring() -> None:
        rung[0] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for n in range(10_000):
            timers.set(n, 5, ring)
        await trio.sleep(5)
        while rung[0] < 10_000:
            seen.add(rung[0])
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert len(seen) > 50  # a slice is a hundred
    assert len(timers) == 0
