"""The pipes, and who watches them: the pump, or a task for each. Without any process."""

import os
from collections.abc import AsyncGenerator
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.unit.agents.programs import PATIENCE, wait_until
from triologue.agents.pipes import PipeReader, PipeWriter, Watcher
from triologue.agents.pump import CROWD, HAS_PUMP, PAUSE, Crowd, start_watcher

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


@pytest.mark.skipif(not HAS_PUMP, reason="needs an epoll")
@pytest.mark.parametrize(("agents", "waits"), [(CROWD - 1, False), (CROWD, True)], ids=["a few", "many"])
async def test_where_many_speak_they_are_heard_together(mock_clock: MockClock, agents: int, waits: bool) -> None:
    """A round begins no sooner than a pause after the last one; where a few speak it begins at once."""
    pipes = [os.pipe() for _ in range(agents)]
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        watcher = start_watcher(nursery, is_shared=True)
        readers = [PipeReader(watcher, theirs, heard.append, nothing) for theirs, _ in pipes]
        for said in (b"1", b"2"):
            mock_clock.jump(PAUSE)
            for _, ours in pipes:
                os.write(ours, said)
            await trio.testing.wait_all_tasks_blocked(0.01)
        os.write(pipes[0][1], b"3")
        await trio.testing.wait_all_tasks_blocked(0.01)
        at_once = heard.count(b"3")
        mock_clock.jump(PAUSE)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (at_once, heard.count(b"3")) == (0 if waits else 1, 1)
        for reader, (_, ours) in zip(readers, pipes, strict=True):
            reader.close()
            os.close(ours)
        nursery.cancel_scope.cancel()


def test_a_few_that_speak_all_the_time_are_no_crowd() -> None:
    crowd = Crowd()
    story = [(0, CROWD - 1), (0.5, CROWD - 1), (2, CROWD), (4, 1), (4.5, 1), (6, 0)]
    shown = []
    for pauses, ready in story:
        crowd.add(pauses * PAUSE, list(range(ready)))
        shown.append(crowd.is_here)
    assert shown == [False, False, False, True, True, False]
