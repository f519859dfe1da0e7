"""The shelf: which sessions of a store this host has taken down to write to."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Protocol, final

import trio
from msgspec.structs import replace

from triologue.actors import (
    MAX_KEY_LENGTH,
    Conversation,
    Journal,
    OnceAMinute,
    check_fits,
    described,
    is_another,
    log_extra,
    log_safely,
    new_head,
    pinned,
    take_over,
    told,
)
from triologue.agents import is_dead
from triologue.errors import (
    LeaseLost,
    SessionElsewhere,
    SessionExists,
    SessionIdInUse,
    StoreError,
    brief,
    told_owner,
)
from triologue.ports import Append, Lease, SessionStore, StoredSession
from triologue.session import settings_changed

logger = logging.getLogger("triologue.supervision")

RENEWALS = 3
"""So often a lease is renewed before it would end."""

PATIENCE = 30.0
"""Seconds for a lease to be given back where nobody waits for that, and for all leases to be renewed."""


class Sleepers(Protocol):
    """Who knows which sessions have a task."""

    def get(self, key: str) -> Conversation | None:
        """The conversation of a key."""
        ...

    def is_awake(self, key: str) -> bool:
        """Has it a task, one that is just ending too?"""
        ...

    async def wait_asleep(self, key: str) -> None:
        """Wait until it has none."""
        ...

    def tell_ends(self, key: str) -> None:
        """Nobody takes it any more, and who waits for that looks again."""
        ...

    def crash(self, key: str, error: StoreError) -> None:
        """End a session that cannot be kept any more."""
        ...

    def forget(self, conversation: Conversation) -> None:
        """Drop one that sleeps, with what it has cost, as the store has dropped it."""
        ...


Resume = Callable[[Conversation, StoredSession], Awaitable[Callable[[], None]]]
"""Reads what an earlier host left unfinished in a session; what it returns begins that again, and does not wait."""


@final
class Shelf:
    """Takes the leases of sessions when they are used, renews them, and lets them go when the sessions rest.

    Args:
        store: where sessions are kept.
        owner: this host's name.
        ttl: seconds that a lease lasts.
        nursery: where records are written.
        sleepers: knows who is awake.
        resume: begins again what an earlier host left.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        owner: str,
        ttl: float,
        nursery: trio.Nursery,
        sleepers: Sleepers,
        resume: Resume,
    ) -> None:
        self.store = store
        self.owner = owner
        self._ttl = ttl
        self._nursery = nursery
        self._sleepers = sleepers
        self._resume = resume
        self._held: dict[str, Conversation] = {}
        self._users: Counter[str] = Counter()
        """Blocks of `taken` that are open, by key."""
        self._locks: dict[tuple[str, ...], trio.Lock] = {}

    def is_used(self, key: str) -> bool:
        """Is a block of `taken` open, or being opened?"""
        return key in self._users

    @asynccontextmanager
    async def taken(self, conversation: Conversation, *, is_new: bool = False) -> AsyncGenerator[None]:
        """In this block the session may be written to, and is as the store has it.

        Args:
            conversation: the session.
            is_new: it must not be in the store yet.

        Raises, on entering:
            SessionElsewhere: another host writes to it.
            SessionExists: it was to be new.
            SessionIdInUse: it is new, and was to have the id of another one.
            InvalidOption: it is with another agent, or the options would begin another conversation in its place.
            StoreError: the store cannot be read.
        """
        key = conversation.key
        self._users[key] += 1
        try:
            async with self._lock(key):
                if conversation.journal is None:
                    await self._take(conversation, is_new=is_new)
            yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._sleepers.tell_ends(key)
                with trio.CancelScope(shield=True), trio.move_on_after(PATIENCE):
                    await self.let_go(conversation)

    async def _take(self, conversation: Conversation, *, is_new: bool) -> None:
        key = conversation.key
        await self._sleepers.wait_asleep(key)  # where it broke, until its agent is gone
        if self._sleepers.get(key) is not conversation:
            raise _deleted(key)
        lease, head = await self._acquire(key)
        try:
            if is_another(conversation, head):
                self._sleepers.forget(conversation)
                raise _deleted(key)
            if head is not None:
                if is_new:
                    raise SessionExists(f"the key {key!r} has a conversation already; use another key")
                check_fits(conversation, head)
            else:
                await self._check_id(conversation)
            begin = await self._resume(conversation, head) if head is not None and head.unfinished else None
        except BaseException:
            await self._give_back(lease)
            raise
        # From here on nothing waits, so that nobody sees it half taken.
        conversation.options = pinned(conversation.options, conversation.agent)
        take_over(conversation, head)
        conversation.journal = Journal(
            self.store,
            lease,
            head or new_head(conversation),
            is_new=head is None,
            describe=partial(described, conversation),
            nursery=self._nursery,
            fail=lambda error: self._lose(conversation, lease, error),
        )
        self._held[key] = conversation
        if head is not None and any(head.settings.get(name) != now for name, now in conversation.settings.items()):
            conversation.tell(settings_changed(conversation.settings))
        if begin is not None:
            begin()

    async def _check_id(self, conversation: Conversation) -> None:
        """Its agent may know nothing of the other one, whose history would go on with this one's."""
        session_id = conversation.options.session_id
        kept = await self.store.get_session(session_id) if session_id is not None else None
        if kept is not None and kept.session_id == session_id:
            raise SessionIdInUse(f"a conversation {session_id} is kept already; resume it, or choose another id")

    async def _acquire(self, key: str) -> tuple[Lease, StoredSession | None]:
        # Cancelled half-way, it would leave a lease that nobody uses and that keeps others away.
        with _seen_through("lend", key):
            try:
                return await self.store.acquire(key, owner=self.owner, ttl=self._ttl)
            except SessionElsewhere as error:
                if not is_dead(error.owner):
                    raise
                told = log_extra(key)
                owner = told_owner(error.owner)
                logger.info("the session %r is taken over from %s, which is dead", key, owner, extra=told)
                return await self.store.acquire(key, owner=self.owner, ttl=self._ttl, replaces=error.owner)

    async def let_go(self, conversation: Conversation) -> bool:
        """Give the lease back, if nobody uses the session any more; False: somebody does."""
        key = conversation.key
        async with self._lock(key):
            if conversation.journal is not None and not self._is_used(key):
                await self._put_back(conversation, conversation.journal)
            return not self._is_used(key)

    @asynccontextmanager
    async def setting_aside(self, conversation: Conversation) -> AsyncGenerator[None]:
        """In this block, which one task enters at a time, the session begins anew; what was said has a head of its own.

        The log stays with the key.

        Raises, on entering:
            SessionElsewhere: another host works with a head of that name.
            StoreError: it cannot be kept.
        """
        async with self._lock("reset", conversation.key):
            await conversation.kept()
            head = await self.store.get_session(conversation.key)
            # With a key that nothing is kept of, the store finds the session that has it as its id.
            if head is not None and head.key == conversation.key and head.session_id is not None and head.is_confirmed:
                await self._set_aside(head, key_aside(head.key, head.session_id))
                conversation.ended = 0
                if conversation.journal is not None:
                    conversation.journal.begin_anew()
            yield

    async def _set_aside(self, head: StoredSession, key: str) -> None:
        async with self._lock(key):  # a lease that is taken in between would be this host's own
            kept = await self.store.get_session(key)
            if kept is not None and kept.key == key:
                return  # a host died before it could begin anew
            lease, _ = await self._acquire(key)
            try:
                settings = {name: value for name, value in head.settings.items() if name != "spent_usd"}  # by the key
                aside = replace(
                    head, key=key, settings=settings, parent=head.key, forked_at=None, last_seq=0, unfinished=()
                )
                with _seen_through("keep", key):  # else two heads would have the conversation, which goes on here
                    await self.store.append(Append(lease=lease, session=aside))
                    await self.store.label(key, title=head.title, tags=head.tags)
            finally:
                await self._give_back(lease)

    async def delete(self, conversation: Conversation) -> bool:
        """Delete a session from the store, if nobody uses it; what follows in the same step finds it so.

        Raises:
            SessionElsewhere: another host has it.
        """
        key = conversation.key
        async with self._lock(key):
            if self._is_used(key):
                return False
            if conversation.journal is not None:
                await self._put_back(conversation, conversation.journal)
            else:  # a host that is dead may have it
                lease, _ = await self._acquire(key)
                await self._give_back(lease)
            with _seen_through("delete", key):  # else a session that is gone there would go on here
                await self.store.delete(key)
            return not self._is_used(key)

    def _is_used(self, key: str) -> bool:
        return bool(self._users[key]) or self._sleepers.is_awake(key)

    async def _put_back(self, conversation: Conversation, journal: Journal) -> None:
        await journal.wait_written()
        if conversation.journal is journal:
            if not journal.is_broken:
                told(conversation)
            conversation.journal = None
            self._held.pop(conversation.key, None)
            await self._give_back(journal.lease)

    async def _give_back(self, lease: Lease, *, level: int = logging.WARNING) -> None:
        """Shielded, because a lease that nobody uses would keep others away; it ends by itself where this fails."""
        with trio.CancelScope(shield=True), trio.move_on_after(PATIENCE):
            try:
                await self.store.release(lease)
            except Exception as error:  # noqa: BLE001 - a bug of the store's too
                told = log_extra(lease.key)
                log_safely(
                    logger,
                    level,
                    "the lease of the session %r could not be given back: %s",
                    lease.key,
                    error,
                    extra=told,
                )

    async def keep(self) -> None:
        """Renew all leases again and again, until cancelled."""
        failures = OnceAMinute()
        while True:
            await trio.sleep(self._ttl / RENEWALS)
            journals = {key: held.journal for key, held in self._held.items() if held.journal is not None}
            if not journals:
                continue
            try:
                with trio.fail_after(PATIENCE):
                    kept = await self.store.renew([each.lease for each in journals.values()], ttl=self._ttl)
            except Exception as error:  # noqa: BLE001 - a bug of the store's too; the store itself refuses who is late
                if (suffix := failures.suffix("renew", error)) is not None:
                    text = "%d leases could not be renewed: %r%s"
                    log_safely(logger, logging.WARNING, text, len(journals), error, suffix)
                continue
            self._renewed(journals, {lease.key: lease for lease in kept})

    def _renewed(self, journals: dict[str, Journal], kept: dict[str, Lease]) -> None:
        for key, journal in journals.items():
            held = self._held.get(key)
            if held is None or held.journal is not journal:
                continue
            if key in kept:
                journal.lease = kept[key]
            else:
                journal.lose()

    def _lose(self, conversation: Conversation, lease: Lease, error: StoreError) -> None:
        """It cannot be kept: it is read anew at its next use."""
        self._held.pop(conversation.key, None)
        conversation.journal = None
        self._sleepers.crash(conversation.key, error)
        if not isinstance(error, LeaseLost):
            # The disk that is full for what was said is full for this too, and that was told.
            self._nursery.start_soon(partial(self._give_back, lease, level=logging.DEBUG))

    @asynccontextmanager
    async def _lock(self, *name: str) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(name, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            # Who is cancelled on entering may find that others have done with this one, and hold another one by now.
            if self._locks.get(name) is lock and not lock.statistics().tasks_waiting and not lock.locked():
                del self._locks[name]


def key_aside(key: str, session_id: str) -> str:
    """The key of a conversation that is set aside, since this one's is to have another."""
    return f"{key[: MAX_KEY_LENGTH - len(session_id) - 1]}@{session_id}"


def is_aside(head: StoredSession, begun_anew: Container[str]) -> bool:
    """Was it set aside by the reset of one of these keys?"""
    parent, id = head.parent, head.session_id
    return parent is not None and id is not None and parent in begun_anew and head.key == key_aside(parent, id)


def _deleted(key: str) -> StoreError:
    return StoreError(f"the session {key!r} was deleted meanwhile; use it anew")


@contextmanager
def _seen_through(what: str, key: str) -> Generator[None]:
    """What is asked of the store here is not left half-way: nobody would know whether it was done.

    Raises:
        StoreError: it takes too long.
    """
    with trio.CancelScope(shield=True):
        try:
            with trio.fail_after(PATIENCE):
                yield
        except trio.TooSlowError:
            why = f"the store did not {what} the session {brief(key)} within {PATIENCE:g} s"
            raise StoreError(f"{why}; see what its disk or its machine is busy with") from None
