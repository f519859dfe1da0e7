"""A reader of a session at a gateway, as its callers hold it."""

from collections import deque
from collections.abc import AsyncIterator
from typing import final

import trio

from triologue.actors import Log
from triologue.messages import Event, Gap
from triologue.remote.runs import next_for


@final
class RemoteSubscription:
    """Events of a session as they happen: `async for event in subscription`. For one task; made by `subscribe`.

    It goes on over lost connections. Who reads too slowly gets the partial text that came meanwhile as one, and then a
    `Gap`.

    Args:
        log: for it alone, which ends where it begins.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cursor = log.open(log.last)
        self._ready: deque[Event] = deque()
        self._failure: Exception | None = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            StoreError: the log that it reads is gone over there; subscribe again.
            GatewayError, ManagerClosed: nothing more is told here.
        """
        while not self._ready:
            try:
                batches = await self._cursor.receive()
            except trio.EndOfChannel:
                if self._failure is not None:
                    raise self._failure.with_traceback(None) from None  # which would grow with each that reads
                raise StopAsyncIteration from None
            for batch in batches:
                self._ready.extend(batch.events())
        return self._ready.popleft()

    # The attachment's side.

    def take(self, run: list[Event], position: int) -> None:
        """What happened, in order; what is known already is left out. A hole is a `Gap`."""
        messages = next_for(self._log, run, position)
        if messages:
            self._log.publish(run[0].turn_id, messages)

    def miss(self, gap: Gap) -> None:
        """Records are gone."""
        self._log.skip_to(gap.last)

    def finish(self, error: Exception | None = None) -> None:
        """Nothing follows; the reader is told so behind what is still to be read."""
        self._failure = error
        self._log.finish()
