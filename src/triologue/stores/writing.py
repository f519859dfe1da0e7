"""The writing side of an `SqliteStore`, in a thread: many writes in one transaction, and each all or nothing."""

import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias, final

import apsw
import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from triologue.errors import StoreError
from triologue.messages.loose import as_text
from triologue.ports import Append, Lease, StoredSession
from triologue.stores.bulk import Bulk
from triologue.stores.checksums import checksum, is_whole
from triologue.stores.faults import Damage, is_damage, is_of_one, store_error
from triologue.stores.grouping import Request
from triologue.stores.reading import read_end, read_head
from triologue.stores.rules import bare, check_free, check_terms, lease_lost, new_records, no_session
from triologue.stores.schema import BEGINS, MARK, MARK_EVERY, leave_alone, refuse_newer
from triologue.stores.trimming import Trimming

Work: TypeAlias = "Append | Callable[[Writer], Any]"
"""An append, or anything else. It looks first, and raises a `StoreError` before it writes anything, so that it harms no
other in its transaction."""

MAX_KNOWN: Final = 10_000
"""Sessions whose ends are remembered. At one more all are forgotten, and looked up again when they are written to."""

_INSERT_LOG: Final = Bulk("INSERT INTO log VALUES {rows}", width=10)
_SET_ENDS: Final = Bulk("INSERT OR REPLACE INTO ends VALUES {rows}", width=4)
# Where the chain is damaged it ends: neither in a circle, nor in another session's.
_DELETE_LOG: Final = """
    WITH RECURSIVE chain (position, previous) AS (
        SELECT log.position, previous FROM ends JOIN log ON log.position = ends.position AND log.session = ends.session
        WHERE ends.session = ?1
        UNION ALL
        SELECT log.position, log.previous
        FROM chain JOIN log ON log.position = chain.previous AND log.position < chain.position AND log.session = ?1
    )
    DELETE FROM log WHERE position IN (SELECT position FROM chain)
"""

_encode: Final = msgspec.json.Encoder(enc_hook=as_text).encode


@final
class _End:
    """Where a session stands, as this connection has seen or made it."""

    __slots__ = ("head", "id", "position", "seq", "token", "turn_id")

    def __init__(self, token: int | None) -> None:
        self.token = token
        self.id: int | None = None
        self.seq = 0
        self.position = 0
        self.turn_id: str | None = None
        self.head: StoredSession | None = None
        """As it was written last, without what changes often; None: not known."""


@final
class Writer:
    """The one connection of a store that writes. Used by one thread at a time.

    Args:
        db: the connection.
        path: of its file, for errors.
        now: the clock of leases, in seconds since the epoch.
    """

    def __init__(self, db: apsw.Connection, path: str, *, now: Callable[[], float] = time.time) -> None:
        self._db: Final = db
        self._path: Final = path
        self._now: Final = now
        self._ends: dict[str, _End] = {}
        self._data_version: int | None = None
        self._last_position = 0
        self._new_log: list[Any] = []
        self._new_ends: dict[str, tuple[Any, ...]] = {}
        self._damage: apsw.Error | None = None
        self._trimming: Final = Trimming(db, path)

    def commit(self, requests: Sequence[Request[Work]]) -> None:
        """Make the writes in one transaction. If SQLite fails at one of them, each is made in a transaction of its own."""
        try:
            self._transact(requests)
        except StoreError as error:  # the file is not ours any more
            for request in requests:
                request.error = StoreError(*error.args)
        except Exception as error:  # noqa: BLE001 - it is given to whom it concerns
            if len(requests) > 1 and is_of_one(error):
                for request in requests:
                    self.commit([request])
                return
            if is_damage(error) and isinstance(error, apsw.Error):
                self._damage = error
                leave_alone(self._db)
            for request in requests:
                request.error = store_error(self._path, "write to", error)
                request.error.__cause__ = error

    def _transact(self, requests: Sequence[Request[Work]]) -> None:
        if self._damage is not None:
            raise self._damage  # writing to it could only make it worse
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._see_others()
            for request in requests:
                work = request.work
                request.error = None
                try:
                    if isinstance(work, Append):
                        self.append(work)
                    else:
                        request.value = work(self)
                except StoreError as error:
                    request.error = error
            self._flush()
            db.execute("COMMIT")
        except BaseException:
            self._forget()
            if not db.get_autocommit():
                db.execute("ROLLBACK")
            raise
        self._trimming.look()

    def _see_others(self) -> None:
        """Forget what was known of the file if another connection has written to it. Raises `StoreError`."""
        version = self._db.execute("PRAGMA data_version").get
        if version != self._data_version or len(self._ends) > MAX_KNOWN:
            self._forget()
            refuse_newer(self._db, self._path)
            self._last_position = self._db.execute("SELECT coalesce(max(position), 0) FROM log").get
            self._data_version = version

    def _forget(self) -> None:
        self._data_version = None
        self._ends.clear()
        self._new_log.clear()
        self._new_ends.clear()

    def _flush(self) -> None:
        """Write what appends have left."""
        if self._new_log:
            _INSERT_LOG.write(self._db, self._new_log)
            self._new_log.clear()
        if self._new_ends:
            _SET_ENDS.write(self._db, [*chain.from_iterable(self._new_ends.values())])
            self._new_ends.clear()

    # -- Appending ------------------------------------------------------------------------------------------------

    def append(self, write: Append) -> None:
        """As `SessionStore.append`."""
        lease, session = write.lease, write.session
        end = self._ends.get(lease.key) or self._look_up(lease.key)
        if end.token != lease.token:
            raise lease_lost(lease, token=end.token)
        records = new_records(write, last_seq=end.seq, line_at=lambda seq: self._line(lease.key, end, seq))
        if records is None:
            return
        head = bare(session)
        if head != end.head:
            self._write_head(end, head)
        id, seq, position, last = end.id, end.seq, self._last_position, end.position
        for record in records:
            seq += 1
            position += 1
            turn_id, kind, line = record.turn_id, record.kind, record.line
            at = record.time + 0.0  # as SQLite gives it back: a float, and never -0.0
            if turn_id != end.turn_id or seq == 1:
                mark, end.turn_id = BEGINS, turn_id
            else:
                mark = 0 if seq % MARK_EVERY else MARK
            crc = checksum(line, id, seq, turn_id, kind, at)
            self._new_log += (position, id, seq, last, mark, turn_id, kind, at, crc, line)
            last = position
        if records:
            end.seq, end.position, self._last_position = seq, position, position
        self._new_ends[lease.key] = (id, end.seq, session.last_active, end.position)
        if write.transcript:
            self._db.executemany(
                "INSERT INTO transcripts (session, session_id, path, id, crc, line) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                [
                    (id, t.session_id, t.path, t.id, checksum(t.line, t.session_id, t.path, t.id), t.line)
                    for t in write.transcript
                ],
            )

    def _look_up(self, key: str) -> _End:
        token = self._db.execute("SELECT token FROM leases WHERE key = ?", (key,)).get
        end = _End(token)
        found = read_end(self._db, key)
        if found is not None:
            end.id, end.seq, end.position, end.turn_id = found
        if token is not None:
            self._ends[key] = end
        return end

    def _line(self, key: str, end: _End, seq: int) -> bytes | None:
        """The line that is kept under a `seq`; the one of an append that is made again, so it is not far from the end."""
        self._flush()
        position = end.position
        while position:
            found = self._db.execute("SELECT seq, previous, line FROM log WHERE position = ?", (position,)).get
            if found is None or found[1] >= position:
                raise Damage(f"the records of {key!r} are not linked as they were written")
            at, position, line = found
            if at <= seq:
                return line if at == seq else None
        return None

    def _write_head(self, end: _End, head: StoredSession) -> None:
        try:
            encoded = _encode(head)
        except (TypeError, ValueError) as error:
            raise StoreError(f"the head of {head.key!r} cannot be kept, it holds what is no JSON: {error}") from error
        names = (head.session_id, len(head.unfinished))
        row = (*names, encoded, checksum(encoded, head.key, *names))
        if end.id is None:
            self._db.execute(
                "INSERT INTO sessions (session_id, unfinished, head, crc, key, tags, label_crc) "
                "VALUES (?, ?, ?, ?, ?, '[]', ?)",
                (*row, head.key, checksum(b"", head.key, None, "[]")),
            )
            end.id = self._db.last_insert_rowid()
        else:
            self._db.execute(
                "UPDATE sessions SET session_id = ?, unfinished = ?, head = ?, crc = ? WHERE id = ?",
                (*row, end.id),
            )
        end.head = head

    # -- Leases ---------------------------------------------------------------------------------------------------

    def acquire(
        self, key: str, *, owner: str, ttl: float, replaces: str | None = None
    ) -> tuple[Lease, StoredSession | None, Lease | None]:
        """As `SessionStore.acquire`; also gives somebody else's lease, where it takes the place of one that ran out."""
        check_terms(key, owner=owner, ttl=ttl)
        now = self._now()
        ended = check_free(self._lease(key), by=(owner, replaces), now=now)
        self._ends.pop(key, None)
        until = now + ttl
        self._db.execute("INSERT OR REPLACE INTO leases (key, owner, until) VALUES (?, ?, ?)", (key, owner, until))
        lease = Lease(key=key, owner=owner, token=self._db.last_insert_rowid(), until=until)
        self._flush()
        return lease, read_head(self._db, key), ended

    def _lease(self, key: str) -> Lease | None:
        found = self._db.execute("SELECT owner, token, until FROM leases WHERE key = ?", (key,)).get
        return Lease(key=key, owner=found[0], token=found[1], until=found[2]) if found is not None else None

    def renew(self, leases: Sequence[Lease], *, ttl: float) -> list[Lease]:
        """As `SessionStore.renew`."""
        until = self._now() + ttl
        held: list[Lease] = []
        for lease in leases:
            self._db.execute("UPDATE leases SET until = ? WHERE token = ? AND key = ?", (until, lease.token, lease.key))
            if self._db.changes():
                held.append(replace(lease, until=until))
        return held

    def release(self, lease: Lease) -> None:
        """As `SessionStore.release`."""
        self._flush()
        if (end := self._ends.get(lease.key)) is not None and end.token == lease.token:
            del self._ends[lease.key]
        self._db.execute("DELETE FROM leases WHERE token = ? AND key = ?", (lease.token, lease.key))

    # -- The rest -------------------------------------------------------------------------------------------------

    def label(self, key: str, *, title: str | UnsetType | None, tags: Sequence[str] | UnsetType) -> None:
        """As `SessionStore.label`."""
        found = self._db.execute("SELECT title, tags, label_crc FROM sessions WHERE key = ?", (key,)).get
        if found is None:
            raise no_session(key)
        title_now, tags_now, crc = found
        if UNSET in (title, tags) and not is_whole(crc, b"", key, title_now, tags_now):
            raise Damage(f"the title or the tags of {key!r} are not what was written")
        named = title_now if title is UNSET else title
        tagged = tags_now if tags is UNSET else _encode(list(tags)).decode()
        row = (named, tagged, checksum(b"", key, named, tagged), key)
        self._db.execute("UPDATE sessions SET title = ?, tags = ?, label_crc = ? WHERE key = ?", row)

    def delete(self, key: str) -> bool:
        """As `SessionStore.delete`."""
        check_free(self._lease(key), by=(), now=self._now())
        self._flush()
        self._ends.pop(key, None)
        db = self._db
        db.execute("DELETE FROM leases WHERE key = ?", (key,))
        found = db.execute("DELETE FROM sessions WHERE key = ? RETURNING id, session_id", (key,)).get
        if found is None:
            return False
        id, session_id = found
        db.execute(_DELETE_LOG, (id,))
        db.execute("DELETE FROM ends WHERE session = ?", (id,))
        db.execute(
            "DELETE FROM transcripts WHERE session_id IN "
            "(SELECT ?2 UNION SELECT session_id FROM transcripts WHERE session = ?1) "
            # Not `NOT IN`, for which SQLite reads the ids of all sessions first.
            "AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.session_id = transcripts.session_id)",
            (id, session_id),
        )
        return True
