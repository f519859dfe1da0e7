"""The pipes, and who watches them: the pump, or a task for each. Without any process."""

import fcntl
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf, nan
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.unit.agents.programs import PATIENCE, wait_until
from triologue.agents import pump
from triologue.agents.pipes import CHUNK, READS, PipeReader, PipeWriter, Watcher
from triologue.agents.pump import (
    HAS_PUMP,
    LATELY,
    LITTLE,
    LONGEST_GATHERING,
    LONGEST_REST,
    LOOKS,
    READS_A_SECOND,
    ROUND,
    Speakers,
    start_watcher,
)

PIPE = 64 * 1024
"""Bytes that a pipe holds, where it was not made larger."""


@pytest.fixture(
    params=[
        pytest.param(True, id="pump", marks=pytest.mark.skipif(not HAS_PUMP, reason="needs an epoll")),
        pytest.param(False, id="task per pipe"),
    ]
)
async def watcher(request: pytest.FixtureRequest) -> AsyncGenerator[Watcher]:
    async with trio.open_nursery() as nursery:
        yield start_watcher(nursery, is_shared=request.param)
        nursery.cancel_scope.cancel()


class Received:
    """What a `PipeReader` was told."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ends = 0
        self.then: Callable[[], None] = nothing
        """What is done about it."""
        self.patience: Any = None
        """Seconds that more may wait."""

    def hear(self, chunk: bytes) -> float | None:
        self.chunks.append(chunk)
        self.then()
        patience: float | None = self.patience
        return patience

    def end(self) -> None:
        self.ends += 1


async def test_what_is_written_is_read_and_then_the_end(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    received = Received()
    reader = PipeReader(watcher, theirs, received.chunks.append, received.end)
    writer = PipeWriter(watcher, ours)
    data = os.urandom(1_000_000)
    writer.write(data[:10])
    writer.write(data[10:])
    assert writer.waiting > 0
    writer.write(b"last")
    writer.end()
    writer.write(b"too late")
    await wait_until(lambda: reader.is_closed)
    assert (b"".join(received.chunks), received.ends) == (data + b"last", 1)
    assert writer.is_closed
    assert writer.waiting == 0


async def test_one_pipe_does_not_hold_up_the_others(watcher: Watcher) -> None:
    order: list[str] = []
    pipes = [os.pipe() for _ in range(2)]
    for _, ours in pipes:
        os.set_blocking(ours, False)
        os.write(ours, b"x" * PIPE)
    loud, quiet = pipes
    os.read(quiet[0], PIPE - 1)  # what is left there is one byte more than nothing
    readers = [
        PipeReader(watcher, theirs, partial(note, order, name), nothing)
        for (theirs, _), name in zip(pipes, ("loud", "quiet"), strict=True)
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_full, loud[1])
        await wait_until(lambda: order.count("loud") >= 3)
        nursery.cancel_scope.cancel()
    assert "quiet" in order[:2]
    for reader, (_, ours) in zip(readers, pipes, strict=True):
        reader.close()
        os.close(ours)


def note(order: list[str], name: str, chunk: bytes) -> None:
    order.append(name)


def nothing() -> None:
    pass


async def keep_full(fd: int) -> None:
    while True:
        await trio.lowlevel.wait_writable(fd)
        os.write(fd, b"x" * PIPE)


@pytest.mark.skipif(not HAS_PUMP, reason="the size of a pipe can be set on Linux only")
async def test_what_one_round_reads_is_one_batch(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4 * CHUNK)
    os.write(ours, b"x" * (READS * CHUNK + 1))
    rounds: list[list[int]] = []
    reader = PipeReader(watcher, theirs, lambda *chunks: rounds.append(list(map(len, chunks))), nothing)
    await wait_until(lambda: len(rounds) == 2)
    reader.close()
    assert rounds == [[CHUNK] * READS, [1]]
    os.close(ours)


async def test_closing_takes_what_is_in_the_pipe_and_does_not_wait_for_its_end(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    received = Received()
    os.write(ours, b"x" * PIPE)
    reader = PipeReader(watcher, theirs, received.chunks.append, received.end)
    reader.close()
    reader.close()
    assert (received.chunks, received.ends) == ([b"x" * PIPE], 1)
    os.close(ours)


async def test_what_cannot_be_read_has_ended(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    received = Received()
    PipeReader(watcher, ours, received.chunks.append, received.end).close()
    assert (received.chunks, received.ends) == ([], 1)
    os.close(theirs)


async def test_a_pipe_that_is_exactly_full(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(ours, b"x" * 4096)
    writer = PipeWriter(watcher, ours)
    writer.write(b"y")
    assert writer.waiting == 1
    writer.close()
    writer.close()
    assert writer.waiting == 0
    os.close(theirs)


async def test_a_closed_reader_ends_the_writer(watcher: Watcher) -> None:
    theirs, ours = os.pipe()
    writer = PipeWriter(watcher, ours)
    writer.write(b"x" * 1_000_000)
    os.close(theirs)
    with trio.fail_after(PATIENCE):
        await wait_until(lambda: writer.is_closed)
    assert writer.waiting == 0
    writer.write(b"in vain")
    writer.end()


async def test_a_callback_that_raises_stops_nobody(watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    pipes = [os.pipe() for _ in range(2)]
    received = Received()

    def fail(chunk: bytes) -> None:
        raise ValueError(chunk)

    bad = PipeReader(watcher, pipes[0][0], fail, nothing)
    good = PipeReader(watcher, pipes[1][0], received.chunks.append, received.end)
    for _, ours in pipes:
        os.write(ours, b"x")
    await wait_until(lambda: bool(received.chunks))
    await trio.testing.wait_all_tasks_blocked()
    assert [record.message for record in caplog.records] == ["error in the service of a pipe"]
    for reader, (_, ours) in zip((bad, good), pipes, strict=True):
        reader.close()
        os.close(ours)


async def test_what_was_closed_in_this_round_is_not_served(watcher: Watcher) -> None:
    """Two pipes are ready, and the callback of either closes the other."""
    pipes = [os.pipe() for _ in range(2)]
    readers: list[PipeReader] = []
    closed: list[int] = []

    def close_other(index: int, chunk: bytes) -> None:
        if not readers[1 - index].is_closed:
            closed.append(1 - index)
            readers[1 - index].close()

    for index, (theirs, ours) in enumerate(pipes):
        readers.append(PipeReader(watcher, theirs, partial(close_other, index), nothing))
        os.write(ours, b"x")
    await wait_until(lambda: bool(closed))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(reader.is_closed for reader in readers) == [False, True] or all(r.is_closed for r in readers)
    for reader, (_, ours) in zip(readers, pipes, strict=True):
        reader.close()
        os.close(ours)


async def test_the_number_of_a_closed_pipe_may_be_the_next_ones_at_once(watcher: Watcher) -> None:
    """The callback closes its own pipe and opens another, which gets the same descriptors."""
    pipe = os.pipe()
    received = Received()
    readers: list[PipeReader] = []

    def begin_anew(chunk: bytes) -> None:
        readers[0].close()
        os.close(pipe[1])
        assert os.pipe() == pipe
        readers.append(PipeReader(watcher, pipe[0], received.chunks.append, received.end))
        os.write(pipe[1], b"new")

    readers.append(PipeReader(watcher, pipe[0], begin_anew, nothing))
    os.write(pipe[1], b"old")
    await wait_until(lambda: bool(received.chunks))
    os.write(pipe[1], b"more")
    os.close(pipe[1])
    await wait_until(lambda: readers[1].is_closed)
    assert (b"".join(received.chunks), received.ends) == (b"newmore", 1)


needs_pump = pytest.mark.skipif(not HAS_PUMP, reason="needs an epoll")

MANY = 40
"""Pipes that speak at a time, so that each of them rests for as long as two rounds."""
REST = MANY / READS_A_SECOND


class Agents:
    """The agents' ends of many pipes, and what was read of each."""

    def __init__(self, watcher: Watcher, number: int, patience: dict[int, Any] | None = None) -> None:
        pipes = [os.pipe() for _ in range(number)]
        self.ours = [ours for _, ours in pipes]
        self.received = [Received() for _ in pipes]
        for who, seconds in (patience or {}).items():
            self.received[who].patience = seconds
        self.readers = [
            PipeReader(watcher, theirs, received.hear, received.end)
            for (theirs, _), received in zip(pipes, self.received, strict=True)
        ]

    async def say(self, data: bytes, *, who: Sequence[int] | None = None) -> None:
        """Let these say it, or all, and wait until nobody reads any more."""
        for ours in self.ours if who is None else [self.ours[each] for each in who]:
            os.write(ours, data)
        await settled()

    def heard(self) -> list[list[bytes]]:
        """What was read since the last call."""
        heard = [received.chunks.copy() for received in self.received]
        for received in self.received:
            received.chunks.clear()
        return heard

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        for ours in self.ours:
            os.close(ours)


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def agents_that_spoke(number: int, patience: dict[int, Any] | None = None) -> AsyncGenerator[Agents]:
    """So many have just said something, and were heard; who hears some of them lets more of it wait for so long."""
    async with trio.open_nursery() as nursery:
        agents = Agents(start_watcher(nursery, is_shared=True), number, patience)
        await agents.say(b"first")
        assert agents.heard() == [[b"first"]] * number
        yield agents
        agents.close()
        nursery.cancel_scope.cancel()


@needs_pump
async def test_where_a_few_speak_each_is_heard_at_once(mock_clock: MockClock) -> None:
    few = int(READS_A_SECOND * ROUND)
    async with agents_that_spoke(few) as agents:
        await agents.say(b"second")
        assert agents.heard() == [[b"second"]] * few


@needs_pump
async def test_where_many_speak_each_rests_and_then_gives_all_that_it_said_meanwhile(mock_clock: MockClock) -> None:
    async with agents_that_spoke(MANY) as agents:
        await agents.say(b"second")
        mock_clock.jump(REST - ROUND)
        await settled()
        await agents.say(b"third")
        assert agents.heard() == [[]] * MANY
        mock_clock.jump(ROUND)
        await settled()
        assert agents.heard() == [[b"secondthird"]] * MANY


@needs_pump
async def test_who_was_silent_is_heard_at_once_while_many_speak(mock_clock: MockClock) -> None:
    async with agents_that_spoke(MANY) as agents:
        mock_clock.jump(REST)
        await settled()  # none of them has said more
        await agents.say(b"again", who=range(1, MANY))
        await agents.say(b"now I", who=[0])
        mock_clock.jump(ROUND)
        await settled()
        assert agents.heard() == [[b"now I"]] + [[b"again"]] * (MANY - 1)


@needs_pump
async def test_who_may_wait_rests_longer_and_holds_up_nobody(mock_clock: MockClock) -> None:
    patience = {0: LONGEST_GATHERING / 2, 1: LONGEST_GATHERING * 20}
    async with agents_that_spoke(MANY, patience) as agents:
        await agents.say(b"second")
        mock_clock.jump(REST)
        await settled()
        assert agents.heard() == [[], []] + [[b"second"]] * (MANY - 2)
        mock_clock.jump(LONGEST_GATHERING / 2)
        await settled()
        assert agents.heard() == [[b"second"]] + [[]] * (MANY - 1)
        mock_clock.jump(LONGEST_GATHERING / 2)
        await settled()
        assert agents.heard() == [[], [b"second"]] + [[]] * (MANY - 2)


@needs_pump
async def test_what_is_no_time_to_wait_for_is_as_none(mock_clock: MockClock) -> None:
    odd = ["soon", (None, 0.05), [], nan, -1.0, -inf, object()]
    async with agents_that_spoke(MANY, dict(enumerate(odd))) as agents:
        await agents.say(b"second")
        mock_clock.jump(REST)
        await settled()
        assert agents.heard() == [[b"second"]] * MANY


@needs_pump
async def test_where_a_few_speak_none_rests_though_more_may_wait(mock_clock: MockClock) -> None:
    async with agents_that_spoke(2, {0: 1.0, 1: 1.0}) as agents:
        await agents.say(b"second")
        assert agents.heard() == [[b"second"]] * 2


@needs_pump
async def test_where_all_rest_for_long_there_are_few_looks(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "READS_A_SECOND", MANY / LONGEST_REST)
    async with agents_that_spoke(MANY) as agents:
        mock_clock.jump(LONGEST_REST)
        await settled()
        await agents.say(b"again", who=range(1, MANY))
        await agents.say(b"now I", who=[0])
        mock_clock.jump(LONGEST_REST / LOOKS - ROUND / 2)
        await settled()
        assert agents.heard() == [[]] + [[b"again"]] * (MANY - 1)
        mock_clock.jump(ROUND / 2)
        await settled()
        assert agents.heard() == [[b"now I"]] + [[]] * (MANY - 1)


@needs_pump
async def test_who_gives_much_does_not_rest(mock_clock: MockClock) -> None:
    async with agents_that_spoke(MANY) as agents:
        much = b"x" * LITTLE
        mock_clock.jump(REST)
        await settled()
        for _ in range(3):  # nothing waits for a time, so that no time passes
            await agents.say(much, who=[0])
            assert agents.heard() == [[much]] + [[]] * (MANY - 1)


@needs_pump
async def test_who_gives_or_takes_much_is_served_each_round_though_all_others_rest_for_long(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "READS_A_SECOND", MANY / LONGEST_REST)
    async with trio.open_nursery() as nursery:
        watcher = start_watcher(nursery, is_shared=True)
        agents = Agents(watcher, MANY)
        theirs, ours = os.pipe()
        writer = PipeWriter(watcher, ours)
        writer.write(b"x" * (4 * PIPE))
        await agents.say(b"first")
        mock_clock.jump(LONGEST_REST)
        await settled()
        await agents.say(b"again", who=range(1, MANY))
        agents.heard()
        much = b"x" * LITTLE
        for rounds, pause in enumerate((LONGEST_REST / LOOKS, ROUND, ROUND), 1):
            await agents.say(much, who=[0])
            os.read(theirs, PIPE)
            assert agents.heard() == [[]] * MANY
            mock_clock.jump(pause)
            await settled()
            assert agents.heard() == [[much]] + [[]] * (MANY - 1)
            assert writer.waiting == (3 - rounds) * PIPE
        writer.close()
        os.close(theirs)
        agents.close()
        nursery.cancel_scope.cancel()


@needs_pump
async def test_who_rests_and_ends_is_heard_in_the_next_round(mock_clock: MockClock) -> None:
    async with agents_that_spoke(MANY) as agents:
        os.write(agents.ours[0], b"last")
        os.close(agents.ours[0])
        mock_clock.jump(ROUND)
        await settled()
        mock_clock.jump(ROUND)
        await settled()
        assert (agents.heard()[0], agents.received[0].ends) == ([b"last"], 1)
        agents.ours[0] = os.open(os.devnull, os.O_WRONLY)


@needs_pump
async def test_who_rests_can_be_closed_and_its_number_used_again(mock_clock: MockClock) -> None:
    async with agents_that_spoke(MANY) as agents:
        os.write(agents.ours[0], b"last")
        agents.readers[0].close()
        assert (agents.heard()[0], agents.received[0].ends) == ([b"last"], 1)
        mock_clock.jump(REST)
        await settled()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")  # nobody rests for ever
        await agents.say(b"second", who=range(1, MANY))
        assert agents.heard() == [[]] + [[b"second"]] * (MANY - 1)


@needs_pump
async def test_who_is_closed_because_of_what_it_said_while_many_speak(mock_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        agents = Agents(start_watcher(nursery, is_shared=True), MANY)
        for received, reader in zip(agents.received, agents.readers, strict=True):
            received.then = reader.close
        await agents.say(b"the last word")
        assert agents.heard() == [[b"the last word"]] * MANY
        assert [received.ends for received in agents.received] == [1] * MANY
        agents.close()
        nursery.cancel_scope.cancel()


def test_who_spoke_within_the_longest_rest_or_in_the_one_before_it_speaks() -> None:
    speakers, crowd = Speakers(), int(READS_A_SECOND * LONGEST_REST)
    story = [(0, crowd), (0.5, 1), (1, 3), (1.5, 5), (2, 2), (4, 7), (4.5, 10 * crowd), (9, 0)]
    rests = []
    for times, pipes in story:
        speakers.note(times * LATELY, list(range(pipes)))
        rests.append(speakers.rest)
    assert rests == [
        LONGEST_REST,
        LONGEST_REST,
        LONGEST_REST,
        LONGEST_REST,
        5 / READS_A_SECOND,
        7 / READS_A_SECOND,
        LONGEST_REST,
        0,
    ]
