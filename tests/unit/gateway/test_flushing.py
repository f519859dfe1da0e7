"""One task sends for all connections: soon after somebody spoke, or when it is due."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from triologue.gateway.flushing import ROUND, SWEEP, Flusher


class Flushed:
    """A sender that remembers when it was to send."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def flush(self, now: float) -> None:
        self.at.append(now)


@asynccontextmanager
async def running() -> AsyncGenerator[Flusher]:
    flusher = Flusher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await wait_all_tasks_blocked()
        yield flusher
        nursery.cancel_scope.cancel()


async def test_who_has_much_to_say_is_flushed_once_when_it_has_said_all(autojump_clock: MockClock) -> None:
    async with running() as flusher:
        sender = Flushed()
        for _ in range(3):
            flusher.soon(sender)
        assert sender.at == []
        await wait_all_tasks_blocked()
        flusher.soon(sender)
        await wait_all_tasks_blocked()
        assert sender.at == [0, 0]


async def test_all_are_flushed_however_many_they_are(autojump_clock: MockClock) -> None:
    async with running() as flusher:
        senders = [Flushed() for _ in range(2 * ROUND + 1)]
        for sender in senders:
            flusher.soon(sender)
        await wait_all_tasks_blocked()
        assert [sender.at for sender in senders] == [[0]] * len(senders)


async def test_what_is_due_later_waits_and_one_look_finds_all_that_is_due(autojump_clock: MockClock) -> None:
    async with running() as flusher:
        late, early, close = Flushed(), Flushed(), Flushed()
        flusher.at(20, late)
        flusher.at(10, early)
        flusher.at(10 + SWEEP / 2, close)
        await trio.sleep(15)
        assert (early.at, close.at, late.at) == ([10], [10 + SWEEP], [])
        await trio.sleep(15)
        assert late.at == [20]
