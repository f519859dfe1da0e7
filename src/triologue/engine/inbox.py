"""What came from the host and was not heard yet, for an engine in the same process."""

from typing import final

import trio

from triologue.messages import Message


@final
class Inbox:
    """Batches of frames in order, for one reader: `async for batch in inbox`. A third of a memory channel's weight.

    Without a bound, because its host never waits; the engine takes in whatever is there at its next step.
    """

    __slots__ = ("_batches", "_is_closed", "_news")

    def __init__(self) -> None:
        self._batches: list[list[Message]] = []
        self._is_closed = False
        self._news: trio.Event | None = None
        """What the reader waits for; None while it does not."""

    @property
    def is_drained(self) -> bool:
        """Would its reader have to wait?"""
        return not self._batches and not self._is_closed

    def put(self, batch: list[Message]) -> None:
        """One more. Never waits; without effect once it is closed."""
        if not self._is_closed:
            self._batches.append(batch)
            self._tell()

    def close(self) -> None:
        """Nothing follows. What is here is still heard."""
        self._is_closed = True
        self._tell()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> list[Message]:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._batches:
            if self._is_closed:
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        return self._batches.pop(0)

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()
