"""Conversations that are kept in this process, and gone with it."""

import time
from collections.abc import Callable, Sequence
from typing import Final, final

import trio
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from triologue.ports import Append, Lease, Record, StoredSession, TranscriptEntry
from triologue.stores.rules import check_free, check_terms, lease_lost, new_records, no_session
from triologue.stores.takeovers import tell_taken_over


@final
class MemoryStore:
    """Keeps sessions as long as it is kept itself: for tests, and for programs that may forget.

    Nothing bounds it but what is appended to it: `delete` what is not needed any more.

    Args:
        now: the clock of its leases, in seconds since the epoch.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now: Final = now
        self._last_token = 0
        self._leases: dict[str, Lease] = {}
        self._heads: dict[str, StoredSession] = {}
        self._keys: dict[str, dict[str, None]] = {}  # by session id, or each look for one would go through all heads
        self._logs: dict[str, list[Record]] = {}
        self._transcripts: dict[str, _Transcript] = {}
        self._mirrored: dict[str, set[str]] = {}  # the session ids under which a key's agents told their histories

    def __repr__(self) -> str:
        records = sum(map(len, self._logs.values()))
        return f"<MemoryStore: {len(self._heads)} sessions, {records} records, {len(self._leases)} leases>"

    async def acquire(
        self, key: str, *, owner: str, ttl: float, replaces: str | None = None
    ) -> tuple[Lease, StoredSession | None]:
        """As `SessionStore.acquire`."""
        await trio.lowlevel.checkpoint()
        check_terms(key, owner=owner, ttl=ttl)
        now = self._now()
        ended = check_free(self._leases.get(key), by=(owner, replaces), now=now)
        if ended is not None:
            tell_taken_over(ended, now=now)
        self._last_token += 1
        lease = self._leases[key] = Lease(key=key, owner=owner, token=self._last_token, until=now + ttl)
        return lease, self._heads.get(key)

    async def renew(self, leases: Sequence[Lease], *, ttl: float) -> list[Lease]:
        """As `SessionStore.renew`."""
        await trio.lowlevel.checkpoint()
        until = self._now() + ttl
        held = [replace(lease, until=until) for lease in leases if self._holds(lease)]
        self._leases.update((lease.key, lease) for lease in held)
        return held

    async def release(self, lease: Lease) -> None:
        """As `SessionStore.release`."""
        await trio.lowlevel.checkpoint()
        if self._holds(lease):
            del self._leases[lease.key]

    async def holders(self, keys: Sequence[str]) -> dict[str, str]:
        """As `SessionStore.holders`."""
        await trio.lowlevel.checkpoint()
        now = self._now()
        leases = [self._leases[key] for key in keys if key in self._leases]
        return {lease.key: lease.owner for lease in leases if lease.until > now}

    def _holds(self, lease: Lease) -> bool:
        held = self._leases.get(lease.key)
        return held is not None and held.token == lease.token

    async def append(self, write: Append) -> None:
        """As `SessionStore.append`."""
        await trio.lowlevel.checkpoint()
        key = write.lease.key
        if not self._holds(write.lease):
            held = self._leases.get(key)
            raise lease_lost(write.lease, token=held.token if held is not None else None)
        log = self._logs.get(key, [])
        records = new_records(write, last_seq=len(log), line_at=lambda seq: log[seq - 1].line if seq > 0 else None)
        if records is None:
            return
        before = self._heads.get(key)
        title, tags = (before.title, before.tags) if before is not None else (None, ())
        self._name(key, before, write.session)
        self._heads[key] = replace(write.session, title=title, tags=tags)
        self._logs[key] = log
        log.extend(records)
        for entry in write.transcript:
            if self._transcripts.setdefault(entry.session_id, _Transcript()).add(entry, key):
                self._mirrored.setdefault(key, set()).add(entry.session_id)

    async def get_session(self, key_or_id: str) -> StoredSession | None:
        """As `SessionStore.get_session`."""
        await trio.lowlevel.checkpoint()
        if key_or_id in self._heads:
            return self._heads[key_or_id]
        return max(map(self._heads.__getitem__, self._keys.get(key_or_id, ())), key=_last_active, default=None)

    async def list_sessions(
        self, *, prefix: str = "", limit: int = 100, unfinished: bool = False, before: float | None = None
    ) -> list[StoredSession]:
        """As `SessionStore.list_sessions`."""
        await trio.lowlevel.checkpoint()
        found = [
            head
            for key, head in self._heads.items()
            if key.startswith(prefix)
            and (head.unfinished or not unfinished)
            and (before is None or head.last_active < before)
        ]
        return sorted(found, key=_last_active, reverse=True)[: max(limit, 0)]

    async def read(self, key: str, *, after: int = 0, limit: int = 1000, turn_id: str | None = None) -> list[Record]:
        """As `SessionStore.read`."""
        await trio.lowlevel.checkpoint()
        rest = self._logs.get(key, [])[max(after, 0) :]
        if turn_id is not None:
            rest = [record for record in rest if record.turn_id == turn_id]
        return rest[: max(limit, 0)]

    async def read_transcript(self, session_id: str) -> list[TranscriptEntry]:
        """As `SessionStore.read_transcript`."""
        await trio.lowlevel.checkpoint()
        kept = self._transcripts.get(session_id)
        return list(kept.entries) if kept is not None else []

    async def label(
        self, key: str, *, title: str | UnsetType | None = UNSET, tags: Sequence[str] | UnsetType = UNSET
    ) -> None:
        """As `SessionStore.label`."""
        await trio.lowlevel.checkpoint()
        head = self._heads.get(key)
        if head is None:
            raise no_session(key)
        self._heads[key] = replace(
            head, title=head.title if title is UNSET else title, tags=head.tags if tags is UNSET else tuple(tags)
        )

    async def delete(self, key: str) -> bool:
        """As `SessionStore.delete`."""
        await trio.lowlevel.checkpoint()
        check_free(self._leases.get(key), by=(), now=self._now())
        self._leases.pop(key, None)  # it has ended, and whoever had it must not bring the session back
        self._logs.pop(key, None)
        head = self._heads.pop(key, None)
        if head is None:
            return False
        self._name(key, head, None)
        for session_id in {head.session_id, *self._mirrored.pop(key, ())}:
            if session_id is not None and session_id not in self._keys:
                gone = self._transcripts.pop(session_id, _Transcript())
                for other in gone.keys & self._mirrored.keys():
                    self._mirrored[other].discard(session_id)
        return True

    def _name(self, key: str, before: StoredSession | None, now: StoredSession | None) -> None:
        """The head of this key has another session id, perhaps."""
        old, new = (head.session_id if head is not None else None for head in (before, now))
        if old == new:
            return
        if old is not None:
            del self._keys[old][key]
            if not self._keys[old]:
                del self._keys[old]
        if new is not None:
            self._keys.setdefault(new, {})[key] = None


@final
class _Transcript:
    """What an agent keeps of one conversation."""

    def __init__(self) -> None:
        self.entries: list[TranscriptEntry] = []
        self.keys: set[str] = set()
        """Whose agents have told any of it."""
        self._ids: set[tuple[str, str]] = set()

    def add(self, entry: TranscriptEntry, key: str) -> bool:
        """Keep what the agent of a key tells; False where it is kept already."""
        if entry.id is not None:
            if (entry.path, entry.id) in self._ids:
                return False
            self._ids.add((entry.path, entry.id))
        self.entries.append(entry)
        self.keys.add(key)
        return True


def _last_active(head: StoredSession) -> float:
    return head.last_active
