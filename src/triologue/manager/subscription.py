"""A reader of a session's log, as its callers hold it."""

from collections import deque
from collections.abc import AsyncIterator
from typing import final

import trio
from msgspec import Struct

from triologue.actors import Cursor
from triologue.messages import Event, Gap
from triologue.ports import Record, SessionStore
from triologue.wire import decode_record

PAGE = 500
"""Records that are read from a store at once."""


def event_of(record: Record) -> Event:
    """A record as subscribers get it."""
    return Event(record.seq, record.turn_id, decode_record(record.kind, record.line))


class Kept(Struct):
    """What is still to be read from a store, before what is live."""

    store: SessionStore
    key: str
    after: int
    """The `seq` of the last that was read."""
    until: int
    """The `seq` of the last that is to be read."""

    async def read(self, limit: int = PAGE) -> list[Event]:
        """The next of them, at most `limit`; a `Gap` first, where some are gone."""
        records = await self.store.read(self.key, after=self.after, limit=min(limit, self.until - self.after))
        events = [event_of(record) for record in records]
        expected = self.after + 1
        if not records or records[0].seq != expected:  # they were deleted there
            last = records[0].seq - 1 if records else self.until
            events.insert(0, Event(None, None, Gap(first=expected, last=last)))
        self.after = records[-1].seq if records else self.until
        return events


@final
class Subscription:
    """Events of a session as they happen: `async for event in subscription`. For one task; made by `subscribe`.

    Args:
        cursor: reads what is live.
        kept: what of it is read from a store before; None where there is none.
    """

    def __init__(self, cursor: Cursor, kept: Kept | None = None) -> None:
        self._cursor = cursor
        self._kept = kept
        self._ready: deque[Event] = deque()
        self._later: deque[Event] = deque()
        """What comes behind that which is read from the store."""

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            while not self._ready:
                await self._read_on()
            event = self._ready.popleft()
            gap, kept = event.message, self._kept
            if not isinstance(gap, Gap) or kept is None or gap.last <= kept.after:
                return event
            # It was cut off for being slow, and the store has what it missed.
            kept.after, kept.until = gap.first - 1, gap.last
            self._later, self._ready = self._ready, deque()

    async def batch(self) -> list[Event]:
        """Wait for the next event, and give all that are there with it; none when nothing follows."""
        try:
            events = [await anext(self)]
        except StopAsyncIteration:
            return []
        while self._ready:
            events.append(await anext(self))
        return events

    async def _read_on(self) -> None:
        if self._kept is not None and self._kept.after < self._kept.until:
            self._ready.extend(await self._kept.read())
        elif self._later:
            self._ready, self._later = self._later, deque()
        else:
            await self._receive()

    async def _receive(self) -> None:
        try:
            batches = await self._cursor.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        for batch in batches:
            self._ready.extend(batch.events())
