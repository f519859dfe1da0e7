"""Looking at a session without talking to it: its log, as it is and as it grows, and its turns."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, final

import trio

from triologue.actors import Conversation, Listener, Turn
from triologue.errors import InvalidOption, brief
from triologue.manager.checks import check_seq
from triologue.manager.directory import Directory
from triologue.manager.subscription import Kept, Subscription
from triologue.messages import Event, Gap


class Standing(NamedTuple):
    """A log, and where it stands."""

    begun: float
    """When, in seconds since the epoch. The same key may have had another log before, which was deleted or not kept."""
    last: int
    """The `seq` of its newest record; 0: there is none."""


@final
class Reading:
    """The reading side of a session's handle.

    Args:
        directory: knows all conversations.
        key: the session's.
        conversation: gives its conversation, which is entered with the first use.
    """

    def __init__(self, directory: Directory, key: str, conversation: Callable[[], Conversation]) -> None:
        self._directory = directory
        self._key = key
        self._conversation = conversation

    @asynccontextmanager
    async def subscribe(self, after: int | None) -> AsyncGenerator[Subscription]:
        """See `Session.subscribe`."""
        if after is not None:
            check_seq(after)
        self._directory.refuse_elsewhere()
        conversation = await self._directory.known(self._conversation)
        log, store = conversation.log, self._directory.world.store
        # What is kept is read from the store, up to here; then it goes on live.
        last = log.last
        cursor = log.open(last if after is None or store is not None else after)
        try:
            until = last if after is not None else 0
            yield Subscription(cursor, Kept(store, self._key, after or 0, until) if store is not None else None)
        finally:
            log.close(cursor)
            cursor.finish()  # or who goes on reading would wait for ever
            self._directory.leave(conversation)

    @asynccontextmanager
    async def listen(self, listener: Listener) -> AsyncGenerator[Standing]:
        """See `Session.listen`."""
        self._directory.refuse_elsewhere()
        conversation = await self._directory.known(self._conversation)
        log = conversation.log
        log.listen(listener)
        try:
            yield Standing(conversation.log_begun(), log.last)
        finally:
            log.close(listener)
            self._directory.leave(conversation)

    async def read(self, after: int, limit: int) -> list[Event]:
        """See `Session.read`."""
        check_seq(after)
        if not isinstance(limit, int) or limit < 1:
            raise InvalidOption(f"limit={brief(limit)} is no whole number of 1 or more")
        await trio.lowlevel.checkpoint()  # not when the key is entered, as who is cancelled does not leave it
        conversation, store = await self._directory.known(self._conversation), self._directory.world.store
        batches = conversation.log.page(after, limit)
        self._directory.leave(conversation)
        if store is not None and batches and isinstance(batches[0].messages[0], Gap):
            return await Kept(store, self._key, after, conversation.log.last).read(limit)
        return [event for batch in batches for event in batch.events()]

    async def find(self, id: str) -> Turn | None:
        """See `Session.find`."""
        if not isinstance(id, str):
            raise InvalidOption(f"id={brief(id)} is no str")
        conversation, store = self._directory.registry.get(self._key), self._directory.world.store
        if store is None or (conversation is not None and conversation.remembers(id)):
            await trio.lowlevel.checkpoint()
            return conversation.turn(id) if conversation is not None else None
        head = await store.get_session(self._key)
        if head is None or head.key != self._key:
            return None
        conversation = await self._directory.as_kept(self._key, self._conversation)
        async with self._directory.taken(conversation):  # which goes on with what was left unfinished in it
            if self._directory.recall is not None:
                await self._directory.recall(conversation, id)
            return conversation.turn(id)
