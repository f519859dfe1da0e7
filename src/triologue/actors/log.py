"""A session's log, and the cursors that read it: one writer, many readers, and none of them slows another."""

from collections.abc import Awaitable, Iterator, Sequence
from math import inf
from typing import Any, Protocol, final

import trio

from triologue.actors.late import Late
from triologue.actors.records import Batch, Records, keep
from triologue.messages import Gap, Message, TurnAccepted, TurnStarted

# Batches that a reader may be behind before it is treated as slow. One read of an agent's output is one batch.
CURSOR_BATCHES = 64

# What tells a subscriber that a turn begins; who reads the turn itself need not be woken for it.
_BEGINNINGS = frozenset({TurnAccepted, TurnStarted})

# One for all logs that nobody reads.
_NOBODY: "frozenset[Listener]" = frozenset()


class Listener(Protocol):
    """Who is told of everything as it is published. It never waits, and never raises."""

    @property
    def patience(self) -> float:
        """Seconds that it lets text wait for more."""
        ...

    def offer(self, batch: Batch) -> None:
        """The log has something new."""
        ...

    def wake(self) -> None:
        """Look again at what is waited for."""
        ...

    def finish(self) -> None:
        """Nothing follows."""
        ...


@final
class Log:
    """Records in order, with a gapless `seq` from 1.

    A tail of them is kept for who comes late, and a turn's own beside it, for who holds that turn. Partial text is not
    recorded: it passes by the cursors that are open.

    Args:
        limit: records that the tail keeps at most.
        limit_bytes: what these may weigh.
        held_bytes: what a held turn, or a reader that is behind, may keep.
    """

    __slots__ = ("_held_bytes", "_is_finished", "_listeners", "_tail", "last")

    def __init__(self, limit: int, limit_bytes: int, held_bytes: int) -> None:
        self._tail = Records(limit, limit_bytes)
        self._held_bytes = held_bytes
        self.last = 0
        """The `seq` of the newest record."""
        # Replaced and never changed, because a reader may be closed by the garbage collector while it is gone through.
        self._listeners: frozenset[Listener] = _NOBODY
        self._is_finished = False

    def __repr__(self) -> str:
        return f"<Log: {self._tail!r} up to {self.last}, {len(self._listeners)} readers>"

    def publish(self, turn_id: str | None, messages: Sequence[Message], held: Records | None = None) -> None:
        """Record all but the partials, in `held` too if that is given; hand everything to who listens. Never waits."""
        first = self.last + 1
        run = keep(first, turn_id, messages)
        if run is not None:
            self.last += len(run.kept)
            self._tail.add(run)
            if held is not None:
                held.add(run)
        if self._listeners:
            batch = Batch(turn_id, messages, first, self.last)
            for listener in self._listeners:
                listener.offer(batch)

    def pass_on(self, turn_id: str | None, partials: Sequence[Message]) -> None:
        """The same for what is not recorded."""
        if self._listeners:
            batch = Batch(turn_id, partials, self.last + 1, self.last)
            for listener in self._listeners:
                listener.offer(batch)

    def skip_to(self, seq: int) -> None:
        """Records up to this one were written elsewhere; they are not kept here."""
        if seq > self.last:
            missed = Batch(None, [Gap(first=self.last + 1, last=seq)], 0)
            self.last = seq
            self._tail.skip_to(seq)
            for listener in self._listeners:
                listener.offer(missed)

    def new_records(self) -> Records:
        """Room for what one reader, or the holder of one turn, keeps."""
        return Records(float("inf"), self._held_bytes)

    def open(self, after: int, *, turn_id: str | None = None, held: Records | None = None) -> "Cursor":
        """A new reader, of everything after `after`, or of one turn only. Close it.

        Args:
            after: a `seq`.
            turn_id: of the only turn that is read.
            held: where its records are kept, if not in the tail.
        """
        after = max(after, 0)
        cursor = Cursor(self, turn_id, [*self.recorded(after, turn_id, held)])
        self.listen(cursor)
        return cursor

    def recorded(self, after: int, turn_id: str | None, held: Records | None) -> Iterator[Batch]:
        """What such a reader has missed, decoded when it is asked for; a `Gap` stands for what is gone."""
        return (held or self._tail).unfold(after, turn_id) if after < self.last else iter(())

    def listen(self, listener: Listener) -> None:
        """Tell it of everything from now on. Close it."""
        if self._is_finished:
            listener.finish()
        else:
            self._listeners |= {listener}

    def page(self, after: int, limit: int) -> list[Batch]:
        """The first of what the tail has after this `seq`; a `Gap` stands for what is gone."""
        return self._tail.page(after, limit)

    def finish(self) -> None:
        """Nothing follows: who waits for more is told so."""
        self._is_finished = True
        listeners, self._listeners = self._listeners, _NOBODY
        for listener in listeners:
            listener.finish()

    @property
    def patience(self) -> float:
        """Seconds that all who listen let text wait for more; 0 where nobody listens."""
        least = inf
        for listener in self._listeners:
            if listener.patience < least:
                least = listener.patience
        return least if least < inf else 0.0

    @property
    def is_read(self) -> bool:
        """Does anybody?"""
        return bool(self._listeners)

    def wake(self) -> None:
        """Let every reader look again at what it waits for."""
        for listener in self._listeners:
            listener.wake()

    def wake_readers_of(self, turn_id: str) -> None:
        """The same for those who read this turn and nothing else."""
        for listener in self._listeners:
            if isinstance(listener, Cursor) and listener.turn_id == turn_id:
                listener.wake()

    def close(self, listener: Listener) -> None:
        """Forget a reader."""
        self._listeners = (self._listeners - {listener}) or _NOBODY


@final
class Cursor:
    """One reader's place in a log.

    Some batches wait for their reader. When there are too many it is slow: from then on its records are put aside for
    it within a bound, as the lines they came in, and of the partials since the newest record only their sum.
    """

    __slots__ = (
        "__weakref__",
        "_aside",
        "_came",
        "_is_finished",
        "_late",
        "_log",
        "_missed",
        "_news",
        "_reader",
        "turn_id",
    )

    patience = 0.0
    """See `Listener`."""

    def __init__(self, log: Log, turn_id: str | None, missed: list[Batch]) -> None:
        self._log = log
        self.turn_id = turn_id
        """Which turn it reads; None: all of them."""
        self._missed = missed
        self._came: list[Batch] = []
        # A memory channel or an event has a task found by way of objects that are in no cache, where many trickle.
        self._reader: trio.lowlevel.Task | None = None
        """Who waits for news."""
        self._news: trio.Event | None = None
        """What others wait for who read here at the same time; None while nobody does."""
        self._is_finished = False
        self._aside: Records | None = None
        """What came while `CURSOR_BATCHES` waited; None while fewer do."""
        self._late: Late | None = None
        """The partials among it; None as long."""

    def offer(self, batch: Batch) -> None:
        """The log has something new. Never waits."""
        if self.turn_id is not None and (batch.turn_id != self.turn_id or type(batch.messages[-1]) in _BEGINNINGS):
            return
        if self._aside is None or self._late is None:
            if len(self._came) < CURSOR_BATCHES:
                self._came.append(batch)
                self._tell()
                return
            self._aside, self._late = self._log.new_records(), Late()
        self._late.add(batch.turn_id, batch.messages)
        run = keep(batch.first, batch.turn_id, batch.messages)
        if run is not None:
            self._aside.add(run)

    def wake(self) -> None:
        """Let the reader look again at what it waits for: it receives an empty batch."""
        if not self._came and not self._is_finished:  # what came wakes it too
            self._came.append(Batch(self.turn_id, [], 0))
            self._tell()

    def _tell(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            trio.lowlevel.reschedule(reader)
        if self._news is not None:
            self._news.set()
            self._news = None

    @property
    def is_drained(self) -> bool:
        """Is there nothing to take?"""
        return not self._missed and not self._came and self._aside is None

    @property
    def must_wait(self) -> bool:
        """Would `receive` have to wait?"""
        return not self._came and not self._missed and self._aside is None and not self._is_finished

    def finish(self) -> None:
        """Nothing follows."""
        self._is_finished = True
        self._tell()

    def is_of(self, log: Log) -> bool:
        """Does it read this one?"""
        return self._log is log

    def close(self) -> None:
        """Nobody reads here any more."""
        self._log.close(self)

    async def receive(self) -> list[Batch]:
        """Wait for something new; one checkpoint for all of it. May be empty when only other turns went on.

        Cancelling it loses nothing.

        Raises:
            trio.EndOfChannel: nothing follows.
        """
        had_to_wait = self.is_drained
        while self.is_drained:  # once more where another reader of it was quicker
            if self._is_finished:
                await trio.lowlevel.checkpoint_if_cancelled()
                raise trio.EndOfChannel
            await self.wait_news()
        if had_to_wait:
            return self.take_all()
        await trio.lowlevel.checkpoint_if_cancelled()
        batches = self.take_all()
        # After the taking, so that what comes meanwhile does not find it full.
        await trio.lowlevel.cancel_shielded_checkpoint()
        return batches

    def wait_news(self) -> Awaitable[Any]:
        """Wait until something came, or nothing follows; another reader may have taken it. To be awaited at once.

        No coroutine of its own: each that waits is one more object that is in no cache when it is woken.
        """
        if self._reader is None:
            self._reader = trio.lowlevel.current_task()
            return trio.lowlevel.wait_task_rescheduled(self._give_up)  # noqa: ASYNC105 - our caller does it
        if self._news is None:
            self._news = trio.Event()
        return self._news.wait()

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def take_all(self) -> list[Batch]:
        """What was missed before it was opened; what came since; what was put aside. In this order it was said."""
        batches, self._came = self._came, []
        if self._missed:
            batches, self._missed = self._missed + batches, []
        if self._aside is not None and self._late is not None:
            batches += self._aside.take()
            batches += [Batch(turn_id, [partial], 0) for turn_id, partial in self._late.take()]
            self._aside = self._late = None
        return batches
