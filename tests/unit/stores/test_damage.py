"""Damage of an SQLite store's rows: whatever is read is what was written, or else is refused by its name."""

from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
import pytest
import trio
from msgspec.structs import replace

from triologue.errors import StoreError
from triologue.ports import Append, Record, StoredSession, TranscriptEntry
from triologue.stores import SqliteStore, schema
from triologue.testing.scribe import Scribe, everything, record

DAMAGED = r"the file is damaged\. It was left as it is: put a backup in its place, .* "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
async def scribe(path: Path) -> Scribe:
    """Has written to two sessions; nobody holds them."""
    async with SqliteStore(path) as store:
        await (await Scribe.of(store, "other", ttl=0.0)).write("x", turn="t")
        scribe = await Scribe.of(store, "k", ttl=0.0)
        entry = TranscriptEntry(session_id="s", path="f", id="1", line=b"x")
        await scribe.write("one", "two", "three", turn="t", session_id="s", cost_usd=1.0, transcript=[entry])
        await store.label("k", title="a title", tags=["a tag"])
    return scribe


def change(path: Path, statement: str, *values: Any) -> None:
    db = apsw.Connection(str(path))
    db.execute(statement, values)
    db.close()


async def test_a_byte_that_is_no_text(path: Path, scribe: Scribe) -> None:
    change(path, "UPDATE sessions SET head = CAST(replace(head, '\"s\"', x'22ff22') AS BLOB) WHERE key = 'k'")
    change(path, "UPDATE log SET kind = CAST(x'ff' AS TEXT) WHERE session = 1")
    of_head = DAMAGED + r"\(Damage: the head of 'k' is not what was written\)$"
    async with SqliteStore(path) as store:
        for key in ("k", "s"):
            with pytest.raises(StoreError, match="cannot read .*" + of_head):
                await store.get_session(key)
        with pytest.raises(StoreError, match="cannot read .*" + of_head):
            await store.list_sessions()
        with pytest.raises(StoreError, match="cannot write to .*" + of_head):
            await Scribe.of(store, "k")
        with pytest.raises(StoreError, match=DAMAGED + r"\(UnicodeDecodeError: "):
            await store.read("other")
        # Where nothing is damaged all goes on.
        assert await store.read("k") == scribe.records
        await (await Scribe.of(store, "other")).write("y")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("log SET kind = 'result' WHERE seq = 2", "record 2 of 'k'"),
        ("log SET turn_id = 'u' WHERE seq = 2", "record 2 of 'k'"),
        ("log SET turn_id = NULL WHERE seq = 2", "record 2 of 'k'"),
        ("log SET time = 7.0 WHERE seq = 2", "record 2 of 'k'"),
        ("log SET line = x'00' WHERE seq = 2", "record 2 of 'k'"),
        ("log SET seq = 9 WHERE seq = 1 AND session = 2", "3 were written"),
        ("log SET previous = 1 WHERE seq = 2 AND session = 2", "record 1 of 'k'"),
        ("log SET previous = 4 WHERE seq = 2 AND session = 2", "2 records of 'k'"),
        ("sessions SET head = CAST(replace(head, '1.0', '0.0') AS BLOB)", "the head of 'k'"),
        ("sessions SET session_id = 'S' WHERE id = 2", "the head of 'k'"),
        ("sessions SET unfinished = 1 WHERE id = 2", "the head of 'k'"),
        ("sessions SET title = 'A title'", "the title or the tags of 'k'"),
        ("sessions SET tags = '[]'", "the title or the tags of 'k'"),
        ("ends SET last_seq = 2 WHERE session = 2", "where the log of 'k' ends"),
        ("ends SET last_seq = 0 WHERE session = 2", "where the log of 'k' ends"),
        ("ends SET position = 3 WHERE session = 2", "where the log of 'k' ends"),
        ("ends SET session = 9 WHERE session = 2", "where the log of 'k' ends"),
        ("transcripts SET path = 'g'", "a line of 'g'"),
        ("transcripts SET id = '2'", "a line of 'f'"),
    ],
)
async def test_what_is_not_as_it_was_written_is_named(path: Path, scribe: Scribe, changed: str, named: str) -> None:
    """Also where it could be read."""
    change(path, f"UPDATE {changed}")
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match=f"{DAMAGED}.*{named}"):
            await everything(store, "k", "s")


@pytest.mark.parametrize(
    "changed", ["log SET kind = CAST(x'ff' AS TEXT)", "log SET line = x'00'", "transcripts SET line = x'00'"]
)
async def test_what_is_damaged_keeps_nobody_from_reading_what_is_new(path: Path, scribe: Scribe, changed: str) -> None:
    change(path, f"UPDATE {changed}")
    async with SqliteStore(path) as store:
        other = await Scribe.of(store, "new")
        for text in ("one", "two"):
            with pytest.raises(StoreError, match=DAMAGED) as _refused:  # as long as somebody has it
                await everything(store, "k", "s")
            await other.write(text)
            assert await store.read("new") == other.records


async def test_nothing_is_written_where_the_end_is_not_known(path: Path, scribe: Scribe) -> None:
    change(path, "UPDATE ends SET last_seq = 2 WHERE session = 2")
    async with SqliteStore(path) as store:
        stale = Append(lease=scribe.lease, session=scribe.head, records=[record(3, turn="t", text="three again")])
        with pytest.raises(StoreError, match=f"cannot write to .*{DAMAGED}.*where the log of 'k' ends"):
            await store.append(stale)


@pytest.mark.parametrize("previous", [3, 99, -1])
async def test_an_append_that_is_made_again_finds_the_links_broken(path: Path, scribe: Scribe, previous: int) -> None:
    change(path, "UPDATE log SET previous = ? WHERE session = 2 AND seq = 2", previous)
    async with SqliteStore(path) as store:
        again = Append(lease=scribe.lease, session=scribe.head, records=scribe.records)
        with pytest.raises(StoreError, match=f"{DAMAGED}.*the records of 'k' are not linked"):
            await store.append(again)


@pytest.mark.parametrize(
    "changed",
    [
        "log SET previous = position WHERE session = 2",
        "log SET previous = 4 WHERE session = 2 AND seq = 1",
        "log SET previous = 1 WHERE session = 2",
        "ends SET position = 1 WHERE session = 2",
        "ends SET position = 99 WHERE session = 2",
    ],
)
async def test_what_is_damaged_is_deleted_and_nothing_else(path: Path, scribe: Scribe, changed: str) -> None:
    async with SqliteStore(path) as store:
        other = await everything(store, "other")
    change(path, f"UPDATE {changed}")
    async with SqliteStore(path) as store:
        with trio.fail_after(10):
            assert await store.delete("k")
        assert await store.list_sessions() == [other[0]]
        assert await everything(store, "other") == other
        await (await Scribe.of(store, "k")).write("anew")


async def test_whole_and_negative_times_are_what_sqlite_makes_of_them(path: Path) -> None:
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k")
        records = [Record(seq=1, turn_id=None, kind="a", time=1, line=b""), replace(record(2), time=-0.0)]
        head = StoredSession(key="k", last_seq=2, last_active=5)
        await store.append(Append(lease=scribe.lease, session=head, records=records))
        assert await everything(store, "k") == (head, records, [])


async def test_a_file_of_version_1_gets_the_new_checksums_and_its_damage_stays(path: Path) -> None:
    head = StoredSession(key="k", session_id="s", cost_usd=1.0)
    row = b'{"key":"k","session_id":"s","cost_usd":1.0}'
    db = apsw.Connection(str(path))
    db.execute(schema.MIGRATIONS[0])
    db.execute("INSERT INTO sessions VALUES (1, 'k', 's', 0, 'a title', '[\"a tag\"]', ?)", (row,))
    db.execute("INSERT INTO ends VALUES (1, 2, 5.0, 2)")
    for seq in (1, 2):
        kept = record(seq, turn="t")
        position = (seq, 1, seq, seq - 1, schema.BEGINS if seq == 1 else 0)
        values = (*position, kept.turn_id, kept.kind, kept.time, crc32(kept.line), kept.line)
        db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    for id, crc in (("1", crc32(b"x")), ("2", 0)):
        db.execute("INSERT INTO transcripts VALUES (NULL, 1, ?, 'f', ?, ?, ?)", (f"s{id}", id, crc, b"x"))
    db.execute("UPDATE log SET line = x'79' WHERE seq = 2")
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", 1)
    db.close()
    async with SqliteStore(path) as store:
        kept_head = replace(head, title="a title", tags=("a tag",), last_seq=2, last_active=5.0)
        assert await store.list_sessions() == [kept_head]
        assert await store.read("k", limit=1) == [record(1, turn="t")]
        assert await store.read_transcript("s1") == [TranscriptEntry(session_id="s1", path="f", id="1", line=b"x")]
        for damaged in (store.read("k"), store.read_transcript("s2")):
            with pytest.raises(StoreError, match=DAMAGED):
                await damaged
        await (await Scribe.of(store, "k")).write("three")
