"""What was said, kept within a bound and in order."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, compress, repeat
from operator import attrgetter, is_not
from typing import final

from msgspec import Struct

from triologue.messages import Event, Gap, Message, ResultMessage, StreamEvent, UnknownMessage
from triologue.wire import decode_line

# The garbage collector walks what keeps messages, for one of them may lead back here: see `TurnEnded`.

# What a record of ours, which has no line, is taken to weigh.
NOMINAL_BYTES = 512

_line_of = attrgetter("line")


class Batch(Struct, frozen=True):
    """What was published at once, of one turn."""

    turn_id: str | None
    messages: Sequence[Message]
    first: int
    """The `seq` of the first message that has one; those after it count on from there."""
    last: int = 0
    """The `seq` of the last message that has one."""

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
        sizes = list(accumulate(map(_weight, reversed(self.kept))))
        fitting = bisect_right(sizes, limit_bytes)
        if fitting > limit:
            fitting = int(limit)
        if fitting <= 0:
            return None
        begin = len(sizes) - fitting
        return Run(self.turn_id, self.first + begin, self.kept[begin:], sizes[fitting - 1])

    def since(self, seq: int) -> Batch:
        """Give back what comes from `seq` on."""
        first = max(seq, self.first)
        messages = [_message(item) for item in self.kept[first - self.first :]]
        return Batch(self.turn_id, messages, first, self.last)


def keep(first: int, turn_id: str | None, messages: Sequence[Message]) -> Run:
    """Complete messages as they are kept, numbered from `first`."""
    lines = tuple(map(_line_of, messages))
    if all(lines) and ResultMessage not in set(map(type, messages)):
        return Run(turn_id, first, lines, sum(map(len, lines)))
    kept = [message if type(message) is ResultMessage else message.line or message for message in messages]
    return Run(turn_id, first, tuple(kept), sum(map(len, lines)) + NOMINAL_BYTES * lines.count(b""))


def complete(messages: Sequence[Message]) -> Sequence[Message]:
    """All but the partials, which are not kept."""
    return list(compress(messages, map(is_not, map(type, messages), repeat(StreamEvent))))


def _weight(item: Message | bytes) -> int:
    return len(item if isinstance(item, bytes) else item.line) or NOMINAL_BYTES


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
        self._begin = self._begin or run.first
        if self._bytes > self._limit_bytes or self._count > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        """Drop the oldest runs, whole where that leaves enough: to cut one at every addition would cost more."""
        oldest = self._drop_oldest()
        while self._count > self._limit or self._bytes > self._limit_bytes:
            oldest = self._drop_oldest()
        if self._count * 2 < self._limit and self._bytes * 2 < self._limit_bytes:
            self._put_back(oldest)

    def _drop_oldest(self) -> Run:
        oldest = self._runs.pop(0)
        self._count -= len(oldest.kept)
        self._bytes -= oldest.size
        self._dropped = oldest.last
        return oldest

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
        batches = [Batch(None, [Gap(first=seq + 1, last=self._dropped)], 0)] if self._dropped > seq else []
        return batches + [run.since(seq + 1) for run in self._runs if run.last > seq and turn_id in (None, run.turn_id)]

    def take(self) -> list[Batch]:
        """All of them, as `after` gives them; none is left here."""
        batches = self.after(self._begin - 1) if self._begin else []
        self._runs.clear()
        self._count = self._bytes = self._begin = self._dropped = 0
        return batches
