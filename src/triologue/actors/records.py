"""What was said, kept within a bound and in order."""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple, final

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


# Half the cost of calling a named tuple by its name; one is made for every complete message.
_new = tuple.__new__
_size = itemgetter(3)


class Record(NamedTuple):
    """A message and its place."""

    seq: int
    turn_id: str | None
    kept: Message | bytes
    """What the agent said is kept as the line that it came in, and decoded again for who asks late: a line takes less
    than half the memory of its message. A result is kept as it is, because its cost was worked out here."""
    size: int

    def message(self) -> Message:
        """Give it back."""
        return self.kept if isinstance(self.kept, Message) else decode_line(self.kept) or UnknownMessage(line=self.kept)


def keep(first: int, turn_id: str | None, messages: Sequence[Message]) -> list[Record]:
    """The records of complete messages, numbered from `first`."""
    return [
        _new(
            Record,
            (
                seq,
                turn_id,
                message.line if message.line and type(message) is not ResultMessage else message,
                len(message.line) or NOMINAL_BYTES,
            ),
        )
        for seq, message in enumerate(messages, first)
    ]


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
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._begin = 0
        """The `seq` of the first that was ever added; 0 before."""
        self._dropped = 0
        """The `seq` of the newest that is gone."""

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"<Records: {len(self._records)} of {self._bytes} bytes>"

    def add(self, new: Sequence[Record]) -> None:
        """Add the next ones; what is over a bound goes."""
        records, size = self._records, self._bytes + sum(map(_size, new))
        records += new
        self._begin = self._begin or new[0].seq
        while (size > self._limit_bytes or len(records) > self._limit) and len(records) > 1:
            self._dropped, _, _, weight = records.popleft()
            size -= weight
        self._bytes = size

    def after(self, seq: int, turn_id: str | None = None) -> list[Batch]:
        """Those after `seq`, or those of one turn, oldest first; a `Gap` stands for what is gone."""
        batches = [Batch(None, [Gap(first=seq + 1, last=self._dropped)], 0)] if self._dropped > seq else []
        return batches + _batches(
            record for record in self._records if record.seq > seq and turn_id in (None, record.turn_id)
        )

    def take(self) -> list[Batch]:
        """All of them, as `after` gives them; none is left here."""
        batches = self.after(self._begin - 1) if self._begin else []
        self._records.clear()
        self._bytes = self._begin = self._dropped = 0
        return batches


def _batches(records: Iterable[Record]) -> list[Batch]:
    """One batch for each run of records of one turn."""
    batches = []
    for (turn_id, _), group in itertools.groupby(
        enumerate(records), key=lambda numbered: (numbered[1].turn_id, numbered[1].seq - numbered[0])
    ):
        run = [record for _, record in group]
        batches.append(Batch(turn_id, [record.message() for record in run], run[0].seq, run[-1].seq))
    return batches
