"""The pump and its pipes, without any process."""

import os
from collections.abc import AsyncGenerator
from contextlib import closing
from functools import partial

import pytest
import trio
import trio.testing

from tests.unit.agents.programs import PATIENCE, wait_until
from triologue.agents.pump import CHUNK, PipeReader, PipeWriter, Pump


@pytest.fixture
async def pump() -> AsyncGenerator[Pump]:
    with closing(Pump()) as pump:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            yield pump
            nursery.cancel_scope.cancel()


class Received:
    """What a `PipeReader` was told."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ends = 0

    def end(self) -> None:
        self.ends += 1


async def test_what_is_written_is_read_and_then_the_end(pump: Pump) -> None:
    theirs, ours = os.pipe()
    received = Received()
    reader = PipeReader(pump, theirs, received.chunks.append, received.end)
    writer = PipeWriter(pump, ours)
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


async def test_one_pipe_does_not_hold_up_the_others(pump: Pump) -> None:
    order: list[str] = []
    pipes = [os.pipe() for _ in range(2)]
    for _, ours in pipes:
        os.set_blocking(ours, False)
        os.write(ours, b"x" * 2 * CHUNK)
    loud, quiet = pipes
    os.read(quiet[0], CHUNK - 1)  # what is left there is one byte more than nothing
    readers = [
        PipeReader(pump, theirs, partial(note, order, name), nothing)
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
        os.write(fd, b"x" * CHUNK)


async def test_closing_takes_what_is_in_the_pipe_and_does_not_wait_for_its_end(pump: Pump) -> None:
    theirs, ours = os.pipe()
    received = Received()
    os.write(ours, b"x" * CHUNK)
    reader = PipeReader(pump, theirs, received.chunks.append, received.end)
    reader.close()
    reader.close()
    assert (received.chunks, received.ends) == ([b"x" * CHUNK], 1)
    os.close(ours)


async def test_what_cannot_be_read_has_ended(pump: Pump) -> None:
    theirs, ours = os.pipe()
    received = Received()
    PipeReader(pump, ours, received.chunks.append, received.end).close()
    assert (received.chunks, received.ends) == ([], 1)
    os.close(theirs)


async def test_a_pipe_that_is_exactly_full(pump: Pump) -> None:
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(ours, b"x" * 4096)
    writer = PipeWriter(pump, ours)
    writer.write(b"y")
    assert writer.waiting == 1
    writer.close()
    writer.close()
    assert writer.waiting == 0
    os.close(theirs)


async def test_a_closed_reader_ends_the_writer(pump: Pump) -> None:
    theirs, ours = os.pipe()
    writer = PipeWriter(pump, ours)
    writer.write(b"x" * 1_000_000)
    os.close(theirs)
    with trio.fail_after(PATIENCE):
        await wait_until(lambda: writer.is_closed)
    assert writer.waiting == 0
    writer.write(b"in vain")
    writer.end()


async def test_a_callback_that_raises_stops_nobody(pump: Pump, caplog: pytest.LogCaptureFixture) -> None:
    pipes = [os.pipe() for _ in range(2)]
    received = Received()

    def fail(chunk: bytes) -> None:
        raise ValueError(chunk)

    bad = PipeReader(pump, pipes[0][0], fail, nothing)
    good = PipeReader(pump, pipes[1][0], received.chunks.append, received.end)
    for _, ours in pipes:
        os.write(ours, b"x")
    await wait_until(lambda: bool(received.chunks))
    await trio.testing.wait_all_tasks_blocked()
    assert [record.message for record in caplog.records] == ["error in the service of a pipe"]
    for reader, (_, ours) in zip((bad, good), pipes, strict=True):
        reader.close()
        os.close(ours)


async def test_what_was_closed_in_this_round_is_not_served(pump: Pump) -> None:
    """Two pipes are ready, and the callback of either closes the other."""
    pipes = [os.pipe() for _ in range(2)]
    readers: list[PipeReader] = []
    closed: list[int] = []

    def close_other(index: int, chunk: bytes) -> None:
        if not readers[1 - index].is_closed:
            closed.append(1 - index)
            readers[1 - index].close()

    for index, (theirs, ours) in enumerate(pipes):
        readers.append(PipeReader(pump, theirs, partial(close_other, index), nothing))
        os.write(ours, b"x")
    await wait_until(lambda: bool(closed))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(reader.is_closed for reader in readers) == [False, True] or all(r.is_closed for r in readers)
    for reader, (_, ours) in zip(readers, pipes, strict=True):
        reader.close()
        os.close(ours)
