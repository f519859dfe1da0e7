"""What was said, kept within a bound and in order."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import final

from msgspec import Struct

from triologue.messages import Event, Gap, Message, ResultMessage, StreamEvent, UnknownMessage
from triologue.wire import decode_line

# The garbage collector walks what keeps messages, for one of them may lead back here: see `TurnEnded`.

# What a record of ours, which has no line, is taken to weigh.
NOMINAL_BYTES = 512


class Batch(Struct, frozen=True):
    """What was published at once, of one turn."""

    turn_id: str | None
    messages: Sequence[Message]
    first: int
    """The `seq` of the first message that has one; those after it count on from there."""
    last: int = 0
    """The `seq` of the last message that has one; less than `first` where all are partials."""

    def events(self) -> list[Event]:
        """Its messages, each with its place in the log."""
        events, seq = [], self.first
        for message in self.messages:
            if type(message) in (StreamEvent, Gap):
                events.append(Event(None, self.turn_id, message))
            else:
                events.append(Event(seq, self.turn_id, message))
                seq += 1
        return events


class Run(Struct, frozen=True):
    """What was published at once, as it is kept. One object for all of it: one for each message costs more to make."""

    turn_id: str | None
    first: int
    """The `seq` of the first; those after it count on from there."""
    kept: tuple[Message | bytes, ...]
    """What the agent said is kept as the line that it came in, and decoded again for who asks late: a line takes less
    than half the memory of its message. A result is kept as it is, because its cost was worked out here."""
    size: int
    """What they weigh together."""

    @property
    def last(self) -> int:
        """The `seq` of the last."""
        return self.first + len(self.kept) - 1

    def newest(self, limit: float, limit_bytes: int) -> "Run | None":
        """So much of it as is within the limits; the oldest go first."""
        fitting = size = 0
        for item in reversed(self.kept):
            more = size + (len(item if isinstance(item, bytes) else item.line) or NOMINAL_BYTES)
            if fitting >= limit or more > limit_bytes:
                break
            fitting, size = fitting + 1, more
        if not fitting:
            return None
        begin = len(self.kept) - fitting
        return Run(self.turn_id, self.first + begin, self.kept[begin:], size)

    def since(self, seq: int) -> Batch:
        """Give back what comes from `seq` on."""
        first = max(seq, self.first)
        messages = [_message(item) for item in self.kept[first - self.first :]]
        return Batch(self.turn_id, messages, first, self.last)


def keep(first: int, turn_id: str | None, messages: Sequence[Message]) -> Run | None:
    """Messages as they are kept, numbered from `first`; None where all are partials."""
    kept: list[Message | bytes] = []
    size = 0
    for message in messages:
        kind = type(message)
        if kind is not StreamEvent:
            line = message.line
            kept.append(message if kind is ResultMessage else line or message)
            size += len(line) or NOMINAL_BYTES
    if not kept:
        return None
    # Records of ours come alone mostly, and all of them then share one number.
    return Run(turn_id, first, tuple(kept), NOMINAL_BYTES if size == NOMINAL_BYTES else size)


def complete(messages: Sequence[Message]) -> list[Message]:
    """All but the partials, which are not kept."""
    return [message for message in messages if type(message) is not StreamEvent]


def is_text(messages: Sequence[Message]) -> bool:
    """Are all of them partials?"""
    for message in messages:  # noqa: SIM110 - in half the time of `all`, for one that comes alone
        if type(message) is not StreamEvent:
            return False
    return True


def _message(item: Message | bytes) -> Message:
    return item if isinstance(item, Message) else decode_line(item) or UnknownMessage(line=item)


@final
class Records:
    """The newest of what was added.

    Args:
        limit: how many are kept at most.
        limit_bytes: what they may weigh, counted by their lines. The newest is kept whatever it weighs.

    What would still fit goes only where at least half of what is allowed is kept, by the one measure or the other.
    """

    __slots__ = ("_begin", "_bytes", "_count", "_dropped", "_limit", "_limit_bytes", "_runs")

    def __init__(self, limit: float, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        # An empty deque takes ten times as much as a list, and taking the first of a list costs little at these lengths.
        self._runs: list[Run] = []
        self._count = 0
        self._bytes = 0
        self._begin = 0
        """The `seq` of the first that was ever added; 0 before."""
        self._dropped = 0
        """The `seq` of the newest that is gone."""

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Records: {self._count} of {self._bytes} bytes>"

    def add(self, run: Run) -> None:
        """Add the next ones; what is over a bound goes."""
        self._runs.append(run)
        self._count += len(run.kept)
        self._bytes += run.size
        if not self._begin:
            self._begin = run.first
        if self._bytes > self._limit_bytes or self._count > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        """Drop the oldest runs, whole where that leaves enough: to cut one at every addition would cost more."""
        runs, gone, count, size = self._runs, 0, self._count, self._bytes
        while count > self._limit or size > self._limit_bytes:
            count -= len(runs[gone].kept)
            size -= runs[gone].size
            gone += 1
        newest_gone = runs[gone - 1]
        del runs[:gone]
        self._count, self._bytes, self._dropped = count, size, newest_gone.last
        if self._count * 2 < self._limit and self._bytes * 2 < self._limit_bytes:
            self._put_back(newest_gone)

    def _put_back(self, run: Run) -> None:
        """So much of the run that was just dropped as there is room for."""
        rest = run.newest(self._limit - self._count, self._limit_bytes - self._bytes)
        if rest is None and not self._runs:  # the newest of all stays
            rest = run.newest(1, run.size)
        if rest is not None:
            self._runs.insert(0, rest)
            self._count += len(rest.kept)
            self._bytes += rest.size
            self._dropped = rest.first - 1

    def skip_to(self, seq: int) -> None:
        """What comes up to this one is not here: it is gone, as far as these know."""
        self._runs.clear()
        self._count = self._bytes = 0
        self._begin, self._dropped = self._begin or 1, seq

    def after(self, seq: int, turn_id: str | None = None) -> list[Batch]:
        """Those after `seq`, or those of one turn, oldest first; a `Gap` stands for what is gone."""
        return [*self.unfold(seq, turn_id)]

    def unfold(self, seq: int, turn_id: str | None = None) -> Iterator[Batch]:
        """The same, of what is here now, but each decoded only when it is asked for."""
        gap = [Batch(None, [Gap(first=seq + 1, last=self._dropped)], 0)] if self._dropped > seq else []
        runs = [run for run in self._runs if run.last > seq and turn_id in (None, run.turn_id)]
        return chain(gap, (run.since(seq + 1) for run in runs))

    def page(self, seq: int, limit: int) -> list[Batch]:
        """The first of those after `seq`: so many batches as have `limit` records together, or more where the last is long."""
        batches = [Batch(None, [Gap(first=seq + 1, last=self._dropped)], 0)] if self._dropped > seq else []
        for run in self._runs:
            if run.last > seq and limit > 0:
                batches.append(run.since(seq + 1))
                limit -= len(batches[-1].messages)
        return batches

    def take(self) -> list[Batch]:
        """All of them, as `after` gives them; none is left here."""
        batches = self.after(self._begin - 1) if self._begin else []
        self._runs.clear()
        self._count = self._bytes = self._begin = self._dropped = 0
        return batches
