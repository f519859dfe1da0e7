"""A reader of a session's log, as its callers hold it."""

from collections import deque
from typing import final

import trio

from triologue.actors import Cursor
from triologue.messages import Event


@final
class Subscription:
    """Events of a session as they happen: `async for event in subscription`. For one task; made by `subscribe`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._ready: deque[Event] = deque()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            try:
                batches = await self._cursor.receive()
            except trio.EndOfChannel:
                raise StopAsyncIteration from None
            for batch in batches:
                self._ready.extend(batch.events())
        return self._ready.popleft()
