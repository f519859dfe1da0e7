"""The reading side of an `SqliteStore`, in a thread: a connection of its own, which the writer never waits for."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, final

import apsw
import msgspec
from msgspec.structs import replace

from triologue.messages.loose import is_text
from triologue.ports import Record, StoredSession, TranscriptEntry
from triologue.stores.checksums import is_whole
from triologue.stores.faults import Damage, store_error
from triologue.stores.schema import refuse_newer

T = TypeVar("T")

_decode_head: Final = msgspec.json.Decoder(StoredSession).decode
_decode_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode

_MAX_LIMIT: Final = 2**63 - 1
"""What SQLite can count to."""

# A session without an end is damaged, and must not be taken for none.
_HEAD: Final = """
    SELECT key, session_id, unfinished, head, crc, title, tags, label_crc, id, last_seq, position, last_active
    FROM sessions LEFT JOIN ends ON ends.session = sessions.id
"""
_FOUND: Final = "SELECT id FROM sessions LEFT JOIN ends ON ends.session = sessions.id "
_END: Final = "SELECT id, last_seq, position FROM sessions LEFT JOIN ends ON ends.session = sessions.id WHERE key = ?"
_NEWEST: Final = "SELECT session, seq, turn_id FROM log WHERE position = ?"

# The chain goes from the newest record that is wanted, or from a mark above it, to the oldest.
_CHAIN: Final = """
    WITH RECURSIVE chain (position, seq, previous) AS (
        SELECT position, seq, previous FROM log WHERE position = :start
        UNION ALL
        SELECT log.position, log.seq, log.previous
        FROM chain JOIN log ON log.position = chain.previous AND log.position < chain.position
        WHERE chain.seq > :low + 1
    )
    SELECT seq, turn_id, kind, time, line, crc FROM chain JOIN log USING (position, seq) WHERE seq <= :high
"""
_START: Final = "SELECT position FROM log WHERE session = ? AND mark > 0 AND seq >= ? ORDER BY seq LIMIT 1"
_TURN: Final = """
    SELECT seq, (
        SELECT next.seq - 1 FROM log AS next
        WHERE next.session = first.session AND next.mark > 0 AND next.mark = 2 AND next.seq > first.seq
        ORDER BY next.seq LIMIT 1
    ) FROM log AS first WHERE session = ? AND turn_id = ? AND mark = 2 ORDER BY seq
"""


@final
class Reader:
    """A connection that only reads. Used by one thread at a time.

    Args:
        db: the connection.
        path: of its file, for errors.
    """

    def __init__(self, db: apsw.Connection, path: str) -> None:
        self._db: Final = db
        self._path: Final = path

    def read(self, query: Callable[["Reader"], T]) -> T:
        """Ask several things of the store as it is at one moment.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            self._db.execute("BEGIN")
            try:
                refuse_newer(self._db, self._path)
                return query(self)
            finally:
                if not self._db.get_autocommit():
                    self._db.execute("COMMIT")
        except (apsw.Error, Damage, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise store_error(self._path, "read", error) from error

    def holders(self, keys: Sequence[str], *, now: float) -> dict[str, str]:
        """As `SessionStore.holders`."""
        held = "SELECT owner FROM leases WHERE key = ? AND until > ?"
        owners = {key: self._db.execute(held, (_sought(key), now)).get for key in keys}
        return {key: owner for key, owner in owners.items() if owner is not None}

    def head(self, key_or_id: str) -> StoredSession | None:
        """As `SessionStore.get_session`."""
        head = read_head(self._db, key_or_id)
        if head is None:
            by_id = "WHERE session_id = ? ORDER BY last_active DESC, id DESC LIMIT 1"
            found = self._db.execute(_HEAD + by_id, (_sought(key_or_id),)).get
            head = _head(self._db, found) if found is not None else None
        return head

    def heads(self, *, prefix: str, limit: int, unfinished: bool, before: float | None) -> list[StoredSession]:
        """As `SessionStore.list_sessions`."""
        where = "WHERE substr(key, 1, ?1) = ?2 AND last_active < ?3 "
        order = "ORDER BY last_active DESC, id DESC "
        before, limit = float("inf") if before is None else before, min(max(limit, 0), _MAX_LIMIT)
        bindings = (len(prefix), _sought(prefix), before, limit)
        # To find out which, no head is read: that of each session would be.
        found = _FOUND + where + ("AND unfinished > 0 " if unfinished else "") + order + "LIMIT ?4"
        rows = self._db.execute(f"{_HEAD} WHERE id IN ({found}) {order}", bindings)
        return [_head(self._db, row) for row in rows.fetchall()]

    def records(self, key: str, *, after: int, limit: int, turn_id: str | None) -> list[Record]:
        """As `SessionStore.read`."""
        end = read_end(self._db, key)
        if end is None:
            return []
        id, last_seq, position, _ = end
        runs: list[tuple[Any, ...]] = [(1, None)]
        if turn_id is not None:
            runs = self._db.execute(_TURN, (id, _sought(turn_id))).fetchall()
        found: list[Record] = []
        for first, last in runs:
            low = max(after, first - 1)
            high = min(last_seq if last is None else last, low + limit - len(found))
            if low < high:
                found += self._range(key, (id, last_seq, position), low, high)
        return found

    def _range(self, key: str, end: tuple[int, int, int], low: int, high: int) -> list[Record]:
        """The records after `low`, up to `high`."""
        id, last_seq, position = end
        mark = self._db.execute(_START, (id, high)).get if high < last_seq else None
        chain = {"start": position if mark is None else mark, "low": low, "high": high}
        # All rows first: a statement that is left at a damaged one would hold all that is read later at this moment.
        rows: list[tuple[Any, ...]] = self._db.execute(_CHAIN, chain).fetchall()
        records = [_record(key, id, *row) for row in rows]
        records.sort(key=_seq)
        if len(records) != high - low:
            raise Damage(f"{len(records)} records of {key!r} are found where {high - low} were written")
        return records

    def transcript(self, session_id: str) -> list[TranscriptEntry]:
        """As `SessionStore.read_transcript`."""
        query = "SELECT path, id, line, crc FROM transcripts WHERE session_id = ? ORDER BY position"
        rows: list[tuple[Any, ...]] = self._db.execute(query, (_sought(session_id),)).fetchall()
        return [_entry(session_id, *row) for row in rows]


def read_head(db: apsw.Connection, key: str) -> StoredSession | None:
    """The head that is kept under a key."""
    found = db.execute(_HEAD + "WHERE key = ?", (_sought(key),)).get
    return _head(db, found) if found is not None else None


def _sought(name: str) -> str | bytes:
    """A name to look for. One that is no text, and so cannot be kept, as bytes: no text equals them."""
    return name if is_text(name) else name.encode("utf-8", "surrogatepass")


def read_end(db: apsw.Connection, key: str) -> tuple[int, int, int, str | None] | None:
    """Where the log ends that is kept under a key: the session's row, and of its newest record seq, position and turn.

    Raises:
        Damage: another record is there.
    """
    found = db.execute(_END, (_sought(key),)).get
    if found is None:
        return None
    id, last_seq, position = found
    return id, last_seq, position, _check_end(db, key, id, last_seq, position)


def _check_end(db: apsw.Connection, key: str, id: int, last_seq: int, position: int) -> str | None:
    session, seq, turn_id = db.execute(_NEWEST, (position,)).get or (id, 0, None)
    if (session, seq) != (id, last_seq):
        raise Damage(f"where the log of {key!r} ends is not what was written")
    return turn_id


def _head(db: apsw.Connection, row: Any) -> StoredSession:
    key, session_id, unfinished, head, crc, title, tags, label_crc, id, last_seq, position, last_active = row
    if not is_whole(crc, head, key, session_id, unfinished):
        raise Damage(f"the head of {key!r} is not what was written")
    if not is_whole(label_crc, b"", key, title, tags):
        raise Damage(f"the title or the tags of {key!r} are not what was written")
    _check_end(db, key, id, last_seq, position)
    kept = _decode_head(head)
    return replace(kept, last_seq=last_seq, last_active=last_active, title=title, tags=_decode_tags(tags))


def _record(key: str, id: int, seq: int, turn_id: str | None, kind: str, time: float, line: bytes, crc: int) -> Record:
    if not is_whole(crc, line, id, seq, turn_id, kind, time):
        raise Damage(f"record {seq} of {key!r} is not what was written")
    return Record(seq=seq, turn_id=turn_id, kind=kind, time=time, line=line)


def _entry(session_id: str, path: str, id: str | None, line: bytes, crc: int) -> TranscriptEntry:
    if not is_whole(crc, line, session_id, path, id):
        raise Damage(f"a line of {path!r} of the conversation {session_id!r} is not what was written")
    return TranscriptEntry(session_id=session_id, path=path, id=id, line=line)


def _seq(record: Record) -> Any:
    return record.seq
