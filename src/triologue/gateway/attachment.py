"""What one connection sees of one session: first what it missed, then what happens."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol, final

import trio

from triologue.actors.late import Late
from triologue.errors import TriologueError
from triologue.gateway.rooms import Item, Room
from triologue.messages import Event, Gap
from triologue.protocol.events import Labels

CHUNK_BYTES = 64 * 1024
"""What is read ahead of a viewer that catches up, and written at once: a reply waits no longer than that takes."""

PAGE = 32
"""Events that are read from a log at once, if no fewer make a chunk."""


class Way(Protocol):
    """How events get to a client."""

    waiting: int
    """Bytes that wait, of all sessions ..."""
    most_waiting: int
    """... and how many may."""
    catching_up: trio.CapacityLimiter

    def tell(self, attachment: "Attachment") -> None:
        """It has something to send, now or when it is due."""
        ...

    def fell_behind(self, attachment: "Attachment") -> None:
        """What waited was dropped, to be read again."""
        ...

    def begin(self, attachment: "Attachment") -> None:
        """Let it catch up, in a task of its own."""
        ...

    def ended(self, attachment: "Attachment", error: TriologueError) -> None:
        """Nothing follows."""
        ...


@final
class Attachment:
    """Events of one session for one connection. Each record comes once and in order, or a `Gap` says that it does not.

    Args:
        room: where they come from.
        way: where they go.
        after: the `seq` of the last record that the client has.
        partials: it wants text while it is made, too.
        coalesce: seconds from what was sent last, within which partial text waits for more.
    """

    __slots__ = (
        "_bytes",
        "_coalesce",
        "_emptied",
        "_last",
        "_line",
        "_paced",
        "_page",
        "_partials",
        "_taken",
        "_way",
        "due",
        "is_live",
        "is_over",
        "room",
    )

    def __init__(self, room: Room, way: Way, *, after: int, partials: bool, coalesce: float) -> None:
        self.room = room
        self._way = way
        self._partials = partials
        self._coalesce = coalesce
        self._paced = 0.0
        """When partial text may be sent again, on trio's clock."""
        self._line: deque[Item] = deque()
        self._page = 1
        """Events that are read next from the log: about as many as make a chunk."""
        self._bytes = 0
        self._taken = after
        """The `seq` of the last record that left the line."""
        self._last = after
        """The `seq` of the last record that came into it."""
        self._emptied: trio.Event | None = None
        """Set when nothing waits any more; None while nobody waits for that."""
        self.is_live = False
        """It is given what happens; else it reads the log."""
        self.is_over = False
        self.due = 0.0
        """When what waits is to be sent, on trio's clock; it may be past."""

    @property
    def patience(self) -> float:
        """See `Viewer`."""
        return self._coalesce if self._partials else 0.0

    def start(self) -> None:
        """From now on it is given what happens, or it catches up first."""
        self.room.admit(self)
        if self._last >= self.room.position:
            self.is_live = True
        else:
            self._way.begin(self)

    def offer(self, items: Sequence[Item]) -> None:
        """See `Viewer`."""
        if self.is_live:
            self._add(items)
            if self._way.waiting > self._way.most_waiting:
                self._shorten()

    def skip(self) -> None:
        """See `Viewer`."""
        if self.is_live:
            self.is_live = False
            self._way.begin(self)

    def _add(self, items: Sequence[Item]) -> None:
        """Put these in line; tell it where they are due before what waits already."""
        line, can_wait = self._line, self._coalesce > 0
        was_empty, was_due = not line, self.due
        size = 0
        for item in items:
            if not item.is_partial:
                can_wait, self._last = False, item.last
            elif not self._partials:
                continue
            line.append(item)
            size += item.size
        if size:
            self._weigh(size)
            if not can_wait:
                self.due = 0.0
            elif was_empty:
                self.due = self._paced
            if was_empty or self.due < was_due:
                self._way.tell(self)

    def _weigh(self, size: int) -> None:
        self._bytes += size
        self._way.waiting += size

    def _shorten(self) -> None:
        """Too much waits: join partial text; if that is not enough, drop all of it, and read it again later."""
        self._join()
        if self._way.waiting > self._way.most_waiting and self._line:
            self._drop()
            self._last = self._taken
            self.is_live = False
            self._way.fell_behind(self)
            self._way.begin(self)

    def _join(self) -> None:
        self._line = joined(self._line, self.room.labels)
        size = 0
        for item in self._line:
            size += item.size
        self._weigh(size - self._bytes)

    def _drop(self) -> None:
        self._line.clear()
        self._weigh(-self._bytes)

    def take(self, room: int, now: float) -> tuple[list[Item], int]:
        """What is to be sent now, and its size: at least one item, if any waits, and not much more than so many bytes."""
        if self._coalesce:
            self._paced = now + self._coalesce
            if len(self._line) > 1 or (self._line and len(self._line[0].messages) > 1):
                self._join()
        taken: list[Item] = []
        size = 0
        while self._line and (not taken or room >= size + self._line[0].size):
            item = self._line.popleft()
            size += item.size
            self._taken = item.last or self._taken
            taken.append(item)
        self._weigh(-size)
        if self._emptied is not None and not self._line:
            self._emptied.set()
        return taken, size

    @property
    def has_more(self) -> bool:
        """Does anything wait?"""
        return bool(self._line)

    async def catch_up(self) -> None:
        """Read what the client has missed, not faster than it takes it; then go on with what happens, without a gap."""
        try:
            async with self._way.catching_up:
                while self._last < self.room.position and not self.is_over:
                    self._add(await self._read_on())
                    await self._wait_taken()
                self.is_live = not self.is_over  # nothing was handed out since the room was looked at
        except TriologueError as error:
            self.end(error)

    async def _read_on(self) -> list[Item]:
        """What is next in the log, about a chunk. What was read beyond that is read again, and not held meanwhile."""
        page = await self.room.session.read(self._last, limit=self._page)
        if self.is_over:
            return []
        if not page:  # the log has ended, or was shortened, below what it was
            page = [Event(None, None, Gap(first=self._last + 1, last=self.room.position))]
        items: list[Item] = []
        size = 0
        for event in page:
            line = event.message.line
            items.append(Item(event.seq, event.turn_id, (event.message,), len(line), self.room.labels))
            size += items[-1].size
            if size >= CHUNK_BYTES:
                break
        self._page = max(1, min(PAGE, len(items) * CHUNK_BYTES // size))
        return items

    async def _wait_taken(self) -> None:
        if self._line:
            self._emptied = trio.Event()
            await self._emptied.wait()
            self._emptied = None

    def end(self, error: TriologueError) -> None:
        """See `Viewer`."""
        if not self.is_over:
            self._way.ended(self, error)

    def close(self) -> None:
        """Send nothing more."""
        self.is_over, self.is_live = True, False
        self.room.dismiss(self)
        self._drop()
        if self._emptied is not None:
            self._emptied.set()


def joined(items: Iterable[Item], labels: Labels) -> deque[Item]:
    """The same with partial text joined; where the whole message follows, without it."""
    late, line, has_text = Late(), deque[Item](), False
    for item in items:
        if item.is_partial:
            late.add(item.turn_id, item.messages)
            has_text = True
            continue
        if has_text:
            late.add(item.turn_id, item.messages)
            _take(late, line, labels)
            has_text = False
        line.append(item)
    if has_text:
        _take(late, line, labels)
    return line


def _take(late: Late, line: deque[Item], labels: Labels) -> None:
    for turn_id, partial in late.take():
        line.append(Item(None, turn_id, (partial,), len(partial.line), labels))
