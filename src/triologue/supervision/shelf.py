"""The shelf: which sessions of a store this host has taken down to write to, and what an earlier host left in them."""

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import final

import trio

from triologue.actors import Conversation, Journal
from triologue.agents import is_dead
from triologue.errors import InvalidOption, SessionElsewhere, StoreError
from triologue.options import IDENTITY
from triologue.ports import Lease, SessionStore, StoredSession

logger = logging.getLogger("triologue.supervision")

RENEWALS = 3
"""So often a lease is renewed before it would end."""


@final
class Shelf:
    """Takes the leases of sessions when they are used, renews them, and lets them go when the sessions rest.

    Args:
        store: where sessions are kept.
        owner: this host's name.
        ttl: seconds that a lease lasts.
        nursery: where records are written.
        is_awake: has this session a task?
        wait_asleep: waits until it has none.
        crash: ends a session that cannot be kept any more.
        recover: begins again what an earlier host left unfinished in a session that was taken just now.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        owner: str,
        ttl: float,
        nursery: trio.Nursery,
        is_awake: Callable[[str], bool],
        wait_asleep: Callable[[str], Awaitable[None]],
        crash: Callable[[str, StoreError], None],
        recover: Callable[[Conversation, StoredSession], Awaitable[None]],
    ) -> None:
        self.store = store
        self.owner = owner
        self._ttl = ttl
        self._nursery = nursery
        self._is_awake = is_awake
        self._wait_asleep = wait_asleep
        self._crash = crash
        self._recover = recover
        self._held: dict[str, Conversation] = {}
        self._users: Counter[str] = Counter()
        self._locks: dict[str, trio.Lock] = {}

    def __len__(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def taken(self, conversation: Conversation) -> AsyncGenerator[StoredSession]:
        """In this block the session may be written to, and is as the store has it; gives its head as it was before.

        Raises:
            SessionElsewhere: another host writes to it.
            StoreError: the store cannot be read.
        """
        key = conversation.key
        self._users[key] += 1
        try:
            async with self._lock(key):
                head = await self._take(conversation)
            yield head
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                if not self._is_awake(key):
                    await self.let_go(conversation)

    async def _take(self, conversation: Conversation) -> StoredSession:
        if conversation.journal is not None:
            return conversation.journal.head
        await self._wait_asleep(conversation.key)  # where it broke, until its agent is gone
        lease, head = await self._acquire(conversation.key)
        is_new = head is None
        if head is not None:
            try:
                check_fits(conversation, head)
            except InvalidOption:
                await self.store.release(lease)
                raise
            conversation.restore(head)
        else:
            now = time.time()
            cwd = str(conversation.options.cwd) if conversation.options.cwd is not None else None
            head = StoredSession(key=conversation.key, created=now, last_active=now, cwd=cwd)
        conversation.journal = Journal(
            self.store,
            lease,
            head,
            is_new=is_new,
            describe=conversation.described,
            nursery=self._nursery,
            fail=lambda error: self._fail(conversation, error),
        )
        self._held[conversation.key] = conversation
        if head.unfinished:
            await self._recover(conversation, head)
        return head

    async def _acquire(self, key: str) -> tuple[Lease, StoredSession | None]:
        try:
            return await self.store.acquire(key, owner=self.owner, ttl=self._ttl)
        except SessionElsewhere as error:
            if not is_dead(error.owner):
                raise
            logger.info("the session %r is taken over from %s, which is dead", key, error.owner)
            return await self.store.acquire(key, owner=self.owner, ttl=self._ttl, replaces=error.owner)

    async def let_go(self, conversation: Conversation) -> None:
        """Give the lease back, if nobody uses the session any more."""
        key = conversation.key
        async with self._lock(key):
            journal = conversation.journal
            if journal is None or self._users[key] or self._is_awake(key):
                return
            await journal.wait_kept()
            conversation.journal = None
            self._held.pop(key, None)
            try:
                await self.store.release(journal.lease)
            except StoreError as error:  # it ends by itself
                logger.warning("the lease of the session %r could not be given back: %s", key, error)

    async def keep(self) -> None:
        """Renew all leases again and again, until cancelled."""
        while True:
            await trio.sleep(self._ttl / RENEWALS)
            held = dict(self._held)
            journals = {key: each.journal for key, each in held.items() if each.journal is not None}
            leases = [journal.lease for journal in journals.values()]
            if not leases:
                continue
            try:
                kept = {lease.key: lease for lease in await self.store.renew(leases, ttl=self._ttl)}
            except StoreError as error:
                logger.warning("%d leases could not be renewed: %s", len(leases), error)
                continue
            for key, journal in journals.items():
                if key in kept:
                    journal.lease = kept[key]
                elif held[key].journal is journal:
                    journal.lose()

    def _fail(self, conversation: Conversation, error: StoreError) -> None:
        self._held.pop(conversation.key, None)
        conversation.journal = None
        self._crash(conversation.key, error)

    @asynccontextmanager
    async def _lock(self, key: str) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._locks.pop(key, None)


def check_fits(conversation: Conversation, head: StoredSession) -> None:
    """Refuse to go on with a conversation as another one.

    Raises:
        InvalidOption: it is with another agent, or there is one, and the options would begin another.
    """
    if head.agent and head.agent != conversation.agent.name:
        raise InvalidOption(
            f"the key {head.key!r} has a conversation with {head.agent!r}, and not with {conversation.agent.name!r}; "
            "give that agent to manager.session(), or use another key"
        )
    identity = sorted(set(conversation.options.named()) & set(IDENTITY))
    if identity and conversation.session_id is None and head.session_id is not None:
        raise InvalidOption(
            f"the key {head.key!r} has a conversation already, so {', '.join(identity)} cannot begin another one under it; "
            "use another key, or session.reset()"
        )
