"""What a session store does, said as simply as can be: the model that random programs are compared with."""

from typing import TypeAlias, final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from triologue.errors import LeaseLost, SessionElsewhere, SessionNotFound, StoreError
from triologue.ports import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry
from triologue.testing.scribe import LONG, everything


class Acquire(Struct, frozen=True):
    """Take a session; not `is_held`: with a lease that has ended at once."""

    key: str
    owner: str
    is_held: bool


class Renew(Struct, frozen=True):
    """Renew the leases given out last."""

    count: int
    is_held: bool


class Release(Struct, frozen=True):
    """Let the lease go that was given out so many before the last."""

    lease: int


class Write(Struct, frozen=True):
    """Append under the lease that was given out so many before the last."""

    lease: int
    skip: int
    """Where its records begin: 0 next, 1 with a gap, below 0 with some that are kept."""
    turns: tuple[str | None, ...]
    """Those of its records."""
    session_id: str | None
    entry: str | None
    """The id of the transcript's entry that comes along."""
    is_other: bool
    """Its first record is another one than was written under that `seq`."""


class Name(Struct, frozen=True):
    """Label a session; what is not set, stays."""

    key: str
    title: str | UnsetType | None
    tags: tuple[str, ...] | UnsetType


class Delete(Struct, frozen=True):
    """Forget a session."""

    key: str


Call: TypeAlias = Acquire | Renew | Release | Write | Name | Delete
"""One step of a program."""


@final
class StoreModel:
    """Makes the calls of a program on a store, and knows what has to come of them."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._leases: list[Lease] = []  # all that were given out
        self._holders: dict[str, Lease] = {}
        self._held: dict[str, bool] = {}
        self._heads: dict[str, StoredSession] = {}
        self._logs: dict[str, list[Record]] = {}
        self._mirrors: list[tuple[str, TranscriptEntry]] = []  # each with the key that it was appended under

    async def make(self, call: Call) -> None:
        """Make one call.

        Raises:
            AssertionError: the store did something else than it should.
        """
        match call:
            case Acquire():
                await self._acquire(call)
            case Renew():
                await self._renew(call)
            case Release():
                await self._release(call)
            case Write():
                await self._write(call)
            case Name():
                await self._name(call)
            case Delete():
                await self._delete(call)

    async def compare(self) -> None:
        """Read everything.

        Raises:
            AssertionError: it is not what was written.
        """
        store = self._store
        listed = await store.list_sessions(limit=1000)
        assert {head.key: head for head in listed} == self._heads
        assert [head.last_active for head in listed] == sorted((head.last_active for head in listed), reverse=True)
        unfinished = {head.key for head in await store.list_sessions(unfinished=True, prefix="a")}
        assert unfinished == {key for key, head in self._heads.items() if head.unfinished and key.startswith("a")}
        for key in {lease.key for lease in self._leases}:
            log = self._logs.get(key, [])
            assert await everything(store, key) == (self._heads.get(key), log, [])
            for turn in ("t1", "t2"):
                assert await store.read(key, turn_id=turn) == [record for record in log if record.turn_id == turn]
            assert await store.read(key, after=3, limit=2) == log[3:5]
        for session_id in {entry.session_id for _, entry in self._mirrors}:
            assert await store.read_transcript(session_id) == self._transcript(session_id)

    def _transcript(self, session_id: str) -> list[TranscriptEntry]:
        return [entry for _, entry in self._mirrors if entry.session_id == session_id]

    async def _acquire(self, call: Acquire) -> None:
        holder = self._holders.get(call.key)
        is_taken = holder is not None and self._held[call.key] and holder.owner != call.owner
        try:
            lease, head = await self._store.acquire(call.key, owner=call.owner, ttl=LONG if call.is_held else 0.0)
        except SessionElsewhere:
            assert is_taken, "nobody else had it"
            return
        assert not is_taken, "somebody else has it"
        assert head == self._heads.get(call.key)
        assert all(lease.token > other.token for other in self._leases if other.key == call.key), "an old token"
        self._leases.append(lease)
        self._holders[call.key] = lease
        self._held[call.key] = call.is_held

    def _counts(self, lease: Lease) -> bool:
        holder = self._holders.get(lease.key)
        return holder is not None and holder.token == lease.token

    async def _renew(self, call: Renew) -> None:
        leases = self._leases[-call.count :]
        held = await self._store.renew(leases, ttl=LONG if call.is_held else 0.0)
        assert [lease.token for lease in held] == [lease.token for lease in leases if self._counts(lease)]
        self._held.update((lease.key, call.is_held) for lease in held)

    async def _release(self, call: Release) -> None:
        if len(self._leases) > call.lease:
            lease = self._leases[-1 - call.lease]
            await self._store.release(lease)
            if self._counts(lease):
                del self._holders[lease.key]

    async def _write(self, call: Write) -> None:
        if len(self._leases) <= call.lease:
            return
        lease = self._leases[-1 - call.lease]
        append = self._append(lease, call)
        log = self._logs.get(lease.key, [])
        expected = self._error(append, log)
        try:
            await self._store.append(append)
        except StoreError as error:
            assert type(error) is expected, f"{error!r} came of {call}"  # noqa: PT017 - which one it is, the model says
            return
        assert expected is None, f"{call} should have ended with {expected}"
        new = [record for record in append.records if record.seq > len(log)]
        if new or not append.records:
            self._keep(append, new)

    def _append(self, lease: Lease, call: Write) -> Append:
        log = self._logs.get(lease.key, [])
        first = max(1, len(log) + 1 + call.skip)
        records = [
            Record(seq=seq, turn_id=turn, kind="assistant", time=float(seq), line=b"%d" % seq)
            for seq, turn in enumerate(call.turns, start=first)
        ]
        if records and call.is_other:
            records[0] = replace(records[0], line=b"another")
        last = max(records[-1].seq, len(log)) if records else len(log)
        head = StoredSession(key=lease.key, session_id=call.session_id, last_seq=last, last_active=float(last))
        transcript = [TranscriptEntry(session_id="id", path="f", id=call.entry, line=b"x")] if call.entry else []
        return Append(lease=lease, session=head, records=records, transcript=transcript)

    def _error(self, append: Append, log: list[Record]) -> type[StoreError] | None:
        if not self._counts(append.lease):
            return LeaseLost
        kept = [record for record in append.records if record.seq <= len(log)]
        is_new = any(record.seq > len(log) + 1 for record in append.records[:1])
        is_other = any(log[record.seq - 1].line != record.line for record in kept)
        return StoreError if is_new or is_other else None

    def _keep(self, append: Append, new: list[Record]) -> None:
        key = append.lease.key
        before = self._heads.get(key)
        title, tags = (before.title, before.tags) if before is not None else (None, ())
        self._heads[key] = replace(append.session, title=title, tags=tags)
        self._logs[key] = [*self._logs.get(key, []), *new]
        kept = {entry.id for _, entry in self._mirrors}
        self._mirrors += [(key, entry) for entry in append.transcript if entry.id not in kept]

    async def _name(self, call: Name) -> None:
        try:
            await self._store.label(call.key, title=call.title, tags=call.tags)
        except SessionNotFound:
            assert call.key not in self._heads
            return
        head = self._heads[call.key]
        title = head.title if call.title is UNSET else call.title
        tags = head.tags if call.tags is UNSET else call.tags
        self._heads[call.key] = replace(head, title=title, tags=tags)

    async def _delete(self, call: Delete) -> None:
        try:
            was_there = await self._store.delete(call.key)
        except SessionElsewhere:
            assert call.key in self._holders, "nobody had it"
            assert self._held[call.key], "its lease had ended"
            return
        assert call.key not in self._holders or not self._held[call.key], "it was held"
        head = self._heads.pop(call.key, None)
        assert was_there == (head is not None)
        self._holders.pop(call.key, None)
        self._logs.pop(call.key, None)
        if head is not None:
            gone = {head.session_id, *(entry.session_id for key, entry in self._mirrors if key == call.key)}
            gone -= {other.session_id for other in self._heads.values()}
            self._mirrors = [(key, entry) for key, entry in self._mirrors if entry.session_id not in gone]
