"""What was said, kept within a bound and in order."""

from collections import deque
from collections.abc import Sequence
from typing import final

from msgspec import Struct

from triologue.messages import Event, Gap, Message, ResultMessage, StreamEvent, UnknownMessage
from triologue.wire import decode_line

# What a record of ours, which has no line, is taken to weigh.
NOMINAL_BYTES = 512


class Batch(Struct, frozen=True, gc=False):
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


class Run(Struct, frozen=True, gc=False):
    """What was published at once, as it is kept. One object for all of it: one for each message costs more to make."""

    turn_id: str | None
    first: int
    """The `seq` of the first; those after it count on from there."""
    kept: Sequence[Message | bytes]
    """What the agent said is kept as the line that it came in, and decoded again for who asks late: a line takes less
    than half the memory of its message. A result is kept as it is, because its cost was worked out here."""
    size: int

    @property
    def last(self) -> int:
        """The `seq` of the last."""
        return self.first + len(self.kept) - 1

    def newest(self, limit: float, limit_bytes: int) -> "Run | None":
        """So much of it as is within the limits; the oldest go first."""
        count, size = len(self.kept), self.size
        if limit <= 0 or limit_bytes <= 0:
            return None
        for dropped, item in enumerate(self.kept):
            if count - dropped <= limit and size <= limit_bytes:
                return Run(self.turn_id, self.first + dropped, self.kept[dropped:], size)
            size -= len(item) if type(item) is bytes else _weight(item)
        return None

    def since(self, seq: int) -> Batch:
        """Give back what comes from `seq` on."""
        first = max(seq, self.first)
        messages = [_message(item) for item in self.kept[first - self.first :]]
        return Batch(self.turn_id, messages, first, self.last)


def keep(first: int, turn_id: str | None, messages: Sequence[Message]) -> Run:
    """Complete messages as they are kept, numbered from `first`."""
    lines = [message.line for message in messages]
    if all(lines) and ResultMessage not in set(map(type, messages)):
        return Run(turn_id, first, lines, sum(map(len, lines)))
    kept = [message if type(message) is ResultMessage else message.line or message for message in messages]
    return Run(turn_id, first, kept, sum(map(_weight, kept)))


def _weight(item: Message | bytes) -> int:
    return len(item) if isinstance(item, bytes) else len(item.line) or NOMINAL_BYTES


def _message(item: Message | bytes) -> Message:
    return item if isinstance(item, Message) else decode_line(item) or UnknownMessage(line=item)


@final
class Records:
    """The newest of what was added.

    Args:
        limit: how many are kept at most.
        limit_bytes: what they may weigh, counted by their lines. The newest is kept whatever it weighs.
    """

    def __init__(self, limit: float, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._runs: deque[Run] = deque()
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
        """Drop the oldest ones: runs as long as all of a run has to go, then messages of one run."""
        runs, rest = self._runs, None
        while rest is None and (self._count > self._limit or self._bytes > self._limit_bytes):
            oldest = runs.popleft()
            self._count -= len(oldest.kept)
            self._bytes -= oldest.size
            rest = oldest.newest(self._limit - self._count, self._limit_bytes - self._bytes)
            if rest is None and not runs:  # the newest of all stays
                rest = oldest.newest(1, oldest.size)
            self._dropped = oldest.last
        if rest is not None:
            self._dropped = rest.first - 1
            self._count += len(rest.kept)
            self._bytes += rest.size
            runs.appendleft(rest)

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
