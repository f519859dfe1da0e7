"""The log: gapless for those who keep up, honest to those who do not, and slowed by nobody."""

import contextlib

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.frames import assistant, partial, prompt, result
from triologue.actors import Batch, Log
from triologue.actors.log import CURSOR_BATCHES
from triologue.actors.records import NOMINAL_BYTES
from triologue.messages import Event, Gap, Message, Outcome, StreamEvent, TurnAccepted, TurnEnded, text
from triologue.wire import decode_line

A, B, C = assistant("a"), assistant("b"), assistant("c")


def log(limit: int = 100, limit_bytes: int = 10_000_000, held_bytes: int = 10_000_000) -> Log:
    return Log(limit, limit_bytes, held_bytes)


async def read(cursor: object, count: int) -> list[Event]:
    events: list[Event] = []
    while len(events) < count:
        for batch in await cursor.receive():  # type: ignore[attr-defined]
            events += batch.events()
    return events


async def test_records_have_a_gapless_seq_and_partials_have_none() -> None:
    records = log()
    cursor = records.open(0)
    records.publish("t", [A, partial("x"), B])
    records.publish(None, [C])
    assert await read(cursor, 4) == [
        Event(1, "t", A),
        Event(None, "t", partial("x")),
        Event(2, "t", B),
        Event(3, None, C),
    ]
    assert records.last == 3


async def test_late_readers_get_what_is_kept_and_a_gap_for_the_rest() -> None:
    records = log(limit=2)
    records.publish("t", [A, partial("x"), B])
    assert await read(records.open(0), 2) == [Event(1, "t", A), Event(2, "t", B)]
    assert await read(records.open(1), 1) == [Event(2, "t", B)]
    records.publish("u", [C, A, B])
    assert await read(records.open(0), 3) == [
        Event(None, None, Gap(first=1, last=3)),
        Event(4, "u", A),
        Event(5, "u", B),
    ]


async def test_what_is_kept_is_bounded_in_bytes_too() -> None:
    records = log(limit_bytes=2_000)
    for _ in range(100):
        records.publish("t", [A])
    gap, *kept = await read(records.open(0), 2)
    assert gap.message == Gap(first=1, last=100 - len(kept))
    assert len(kept) < 10
    assert "up to 100" in repr(records)


async def test_of_one_large_batch_the_newest_are_kept() -> None:
    lines = [b'{"type":"keep_alive","n":"%s"}' % (b"x" * size) for size in (10, 400, 20, 30)]
    messages = [message for line in lines if (message := decode_line(line)) is not None]
    for bounds in ({"limit": 2}, {"limit_bytes": sum(map(len, lines[2:]))}, {"limit_bytes": len(lines[1])}):
        records = log(**bounds)
        records.publish("t", messages)
        gap, *kept = await read(records.open(0), 3)
        assert gap.message == Gap(first=1, last=2)
        assert [(event.seq, event.message.line) for event in kept] == [(3, lines[2]), (4, lines[3])]
        assert await read(records.open(3), 1) == kept[1:]


async def test_the_newest_is_kept_whatever_it_weighs() -> None:
    records = log(limit_bytes=1)
    for seq in (1, 3):
        records.publish("t", [A, B])
        assert await read(records.open(seq), 1) == [Event(seq + 1, "t", B)]


async def test_small_news_do_not_drop_what_still_fits() -> None:
    records = log(limit_bytes=5 * NOMINAL_BYTES)
    records.publish("t", [A, B, C, A, B])
    records.publish("t", [C])
    assert await read(records.open(0), 6) == [
        Event(None, None, Gap(first=1, last=1)),
        *[Event(seq, "t", said) for seq, said in enumerate((B, C, A, B, C), 2)],
    ]


async def test_a_reader_that_keeps_up_and_one_that_never_reads() -> None:
    records = log(limit=1000)
    quick, never = records.open(0), records.open(0)
    for _ in range(500):
        records.publish("t", [A])
        assert len(await read(quick, 1)) == 1
    assert [event.seq for event in await read(never, 500)] == list(range(1, 501))


async def test_a_slow_reader_gets_records_from_the_log_and_partials_added_up() -> None:
    records = log()
    cursor = records.open(0)
    for _ in range(CURSOR_BATCHES):
        records.publish("t", [A])
    for word in ("one ", "two ", "three"):
        records.publish("t", [partial(word)])
    records.publish("t", [partial("other", index=1)])
    events = await read(cursor, CURSOR_BATCHES + 2)
    assert [event.seq for event in events[:-2]] == list(range(1, CURSOR_BATCHES + 1))
    assert [(event.turn_id, text(event.message)) for event in events[-2:]] == [("t", "one two three"), ("t", "other")]
    records.publish("t", [partial("live")])
    assert [text(event.message) for event in await read(cursor, 1)] == ["live"]


async def test_partials_of_what_is_complete_or_over_are_not_told_late() -> None:
    records = log()
    cursor = records.open(0)
    for _ in range(CURSOR_BATCHES):
        records.publish("t", [A])
    records.publish("t", [partial("b")])
    records.publish("t", [B])
    records.publish("t", [partial("half")])
    records.publish("t", [TurnEnded(outcome=Outcome(kind="interrupted"))])
    records.publish(None, [partial("of nobody")])
    late = (await read(cursor, CURSOR_BATCHES + 3))[CURSOR_BATCHES:]
    assert [(type(event.message), event.turn_id) for event in late] == [
        (type(B), "t"),
        (TurnEnded, "t"),
        (StreamEvent, None),
    ]


async def test_a_slow_reader_that_lost_records_is_told_which() -> None:
    records = log(held_bytes=10 * NOMINAL_BYTES)
    cursor = records.open(0)
    for _ in range(CURSOR_BATCHES + 50):
        records.publish("t", [A])
    events = await read(cursor, CURSOR_BATCHES + 11)
    assert events[CURSOR_BATCHES].message == Gap(first=CURSOR_BATCHES + 1, last=CURSOR_BATCHES + 40)
    assert [event.seq for event in events[CURSOR_BATCHES + 1 :]] == list(
        range(CURSOR_BATCHES + 41, CURSOR_BATCHES + 51)
    )
    records.publish("t", [B])
    assert await read(cursor, 1) == [Event(CURSOR_BATCHES + 51, "t", B)]


async def test_a_held_turn_is_kept_when_the_tail_is_gone() -> None:
    records = log(limit=2)
    held = records.new_records()
    records.publish("t", [A, B], held)
    for _ in range(10):
        records.publish("u", [C])
    records.publish("t", [C], held)
    cursor = records.open(0, turn_id="t", held=held)
    assert await read(cursor, 3) == [Event(1, "t", A), Event(2, "t", B), Event(13, "t", C)]
    del held
    assert (await read(records.open(0, turn_id="t"), 1))[0].message == Gap(first=1, last=11)


async def test_what_is_kept_as_a_line_comes_back_as_it_was() -> None:
    line = b'{"type":"assistant","message":{"model":"m","content":[{"type":"text","text":"a"}],"new":1}}'
    message = decode_line(line)
    assert message is not None
    records = log()
    records.publish("t", [message])
    (event,) = await read(records.open(0), 1)
    assert (event.message, event.message.line) == (message, line)


async def test_a_reader_of_one_turn_gets_nothing_of_others() -> None:
    records = log()
    records.publish("t", [TurnAccepted(prompt=prompt("t"), meta={})])
    records.publish("u", [A])
    cursor = records.open(0, turn_id="t")
    records.publish("u", [B])
    records.publish("t", [C, result("t")])
    assert [event.seq for event in await read(cursor, 3)] == [1, 4, 5]


async def test_cancelling_a_reader_loses_nothing() -> None:
    records = log()
    cursor = records.open(0)
    records.publish("t", [A])
    records.publish("t", [B])
    with trio.CancelScope() as scope:
        scope.cancel()
        await cursor.receive()
    assert scope.cancelled_caught
    assert await read(cursor, 2) == [Event(1, "t", A), Event(2, "t", B)]
    behind = records.open(0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await behind.receive()
    assert len(await read(behind, 2)) == 2


async def test_a_finished_log_gives_what_it_has_and_ends() -> None:
    records = log()
    early = records.open(0)
    records.publish("t", [A])
    records.finish()
    for cursor in (early, records.open(0)):
        assert await read(cursor, 1) == [Event(1, "t", A)]
        with pytest.raises(trio.EndOfChannel):
            await cursor.receive()
    records.wake()
    with pytest.raises(trio.EndOfChannel):
        await records.open(records.last).receive()


async def test_a_reader_that_is_woken_looks_again() -> None:
    records = log()
    cursor = records.open(0)
    records.wake()
    assert [batch.events() for batch in await cursor.receive()] == [[]]
    records.publish("t", [A])
    assert await read(cursor, 1) == [Event(1, "t", A)]


async def test_a_finished_reader_is_not_woken_again() -> None:
    records = log()
    cursor = records.open(0)
    records.finish()
    cursor.wake()
    with pytest.raises(trio.EndOfChannel):
        await cursor.receive()


async def test_two_tasks_may_share_a_reader() -> None:
    records = log()
    cursor = records.open(0)
    seen: list[Event] = []

    async def take_all() -> None:
        with contextlib.suppress(trio.EndOfChannel):
            while True:
                seen.extend(await read(cursor, 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_all)
        nursery.start_soon(take_all)
        for _ in range(10):
            records.publish("t", [A])
            await wait_all_tasks_blocked()
        records.finish()
    assert [event.seq for event in seen] == list(range(1, 11))


async def test_a_closed_reader_is_forgotten() -> None:
    records = log()
    cursor = records.open(0)
    cursor.close()
    records.publish("t", [A])
    assert "0 readers" in repr(records)


def test_a_batch_numbers_only_what_is_recorded() -> None:
    messages: list[Message] = [partial("x"), A, Gap(first=1, last=2), B]
    assert [event.seq for event in Batch("t", messages, 7, 8).events()] == [None, 7, None, 8]


class Listening:
    def __init__(self, patience: float = 0.0) -> None:
        self.heard: list[Event | str] = []
        self.patience = patience

    def offer(self, batch: Batch) -> None:
        self.heard += batch.events()

    def wake(self) -> None:
        self.heard.append("wake")

    def finish(self) -> None:
        self.heard.append("finish")


def test_who_listens_is_told_as_it_is_published() -> None:
    records, listening, late = log(), Listening(), Listening()
    records.publish("t", [A])
    records.listen(listening)
    records.publish("t", [partial("x"), B])
    records.wake()
    records.skip_to(5)
    records.close(listening)
    records.publish("t", [C])
    assert listening.heard == [
        Event(None, "t", partial("x")),
        Event(2, "t", B),
        "wake",
        Event(None, None, Gap(first=3, last=5)),
    ]
    records.finish()
    records.listen(late)
    assert late.heard == ["finish"]


def test_text_may_wait_as_long_as_all_who_listen_let_it() -> None:
    records, patient, impatient = log(), Listening(0.5), Listening(0.1)
    patience = [records.patience]
    for listener in (patient, impatient):
        records.listen(listener)
        patience.append(records.patience)
    cursor = records.open(0)
    patience.append(records.patience)
    cursor.close()
    records.close(impatient)
    patience.append(records.patience)
    assert patience == [0.0, 0.5, 0.1, 0.0, 0.5]
