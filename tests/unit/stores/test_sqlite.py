"""What an SQLite store does beyond the contract: one fsync for many, room, locks, damage, other files, other processes."""

import asyncio
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
import trio

from triologue.errors import LeaseLost, SessionElsewhere, StoreError
from triologue.ports import Append, TranscriptEntry
from triologue.stores import SqliteStore, schema, trimming
from triologue.testing.scribe import Scribe, everything, record

ROW = 200 * "x"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "sessions.db"


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


async def refusal(path: Path) -> str:
    """Why the file is refused; it is left as it is."""
    before = files(path)
    with pytest.raises(StoreError, match=str(path)) as error:
        async with SqliteStore(path):
            pass
    left = files(path)
    assert {name: left[name] for name in before if not name.endswith("-shm")} == {
        name: content for name, content in before.items() if not name.endswith("-shm")
    }
    return str(error.value)


async def make(path: Path, *, rows: int = 1) -> None:
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k", ttl=0.0)
        for _ in range(rows):
            await scribe.write(*[ROW] * 10)


# -- Writing ----------------------------------------------------------------------------------------------------------


async def test_many_share_an_fsync_and_a_wrong_one_fails_alone(path: Path) -> None:
    async with SqliteStore(path) as store:
        scribes = [await Scribe.of(store, f"k{number}") for number in range(100)]
        before = store.statistics()
        refused = []

        async def write(scribe: Scribe) -> None:
            try:
                await scribe.write("one", "two")
            except LeaseLost:
                refused.append(scribe.lease.key)

        await store.release(scribes[7].lease)
        async with trio.open_nursery() as nursery:
            for scribe in scribes:
                nursery.start_soon(write, scribe)
        after = store.statistics()
        assert after.writes - before.writes == 101
        assert after.transactions - before.transactions <= 10
        assert refused == ["k7"]
        assert len(await store.list_sessions()) == 99


async def test_a_lease_that_ended_is_given_back_without_harm_to_who_writes_now(path: Path) -> None:
    async with SqliteStore(path) as store:
        before = await Scribe.of(store, "k")
        await store.release(before.lease)
        now = await Scribe.of(store, "k")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(now.write, "one")
            nursery.start_soon(store.release, before.lease)
        await now.write("two")
        assert [record.seq for record in await store.read("k")] == [1, 2]


async def test_what_sqlite_refuses_fails_alone(path: Path) -> None:
    async with SqliteStore(path) as store:
        one, two = await Scribe.of(store, "one"), await Scribe.of(store, "two")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.write, "x")

            async def write_nonsense() -> None:
                with pytest.raises(StoreError, match="surrogates not allowed"):
                    await two.write("x", turn="\ud800")
                with pytest.raises(StoreError, match="no JSON"):
                    await two.write("x", settings={"a": object()})

            nursery.start_soon(write_nonsense)
        assert [head.key for head in await store.list_sessions()] == ["one"]


async def test_reading_does_not_wait_for_who_writes(path: Path) -> None:
    await make(path)
    other = apsw.Connection(str(path))
    async with SqliteStore(path) as store:
        other.execute("BEGIN IMMEDIATE")
        assert len(await store.read("k")) == 10
    other.execute("ROLLBACK")
    other.close()


async def test_the_files_are_this_users_alone(path: Path) -> None:
    async with SqliteStore(path) as store:
        await Scribe.of(store, "k")
        modes = {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in path.parent.iterdir()}
    names = ("sessions.db", "sessions.db-shm", "sessions.db-wal")
    assert modes == dict.fromkeys(names, "0o600")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["sessions.db"]


async def test_it_is_used_inside_its_block(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="inside `async with`"):
        await store.read("k")
    async with store:
        with pytest.raises(RuntimeError, match="open already"):
            async with store:
                pass
        scribe = await Scribe.of(store, "k")
    with pytest.raises(StoreError, match="inside `async with`"):
        await scribe.write("x")
    async with store:
        await scribe.write("x")


async def test_a_transcript_that_stayed_belongs_to_no_later_session(path: Path) -> None:
    """The number of a deleted session's row is not given out again."""
    async with SqliteStore(path) as store:
        entry = TranscriptEntry(session_id="shared", path="f", id="1", line=b"x")
        two, one = await Scribe.of(store, "two"), await Scribe.of(store, "one")
        await two.write("x", session_id="shared")
        await one.write("x", session_id="shared", transcript=[entry])
        await store.release(one.lease)
        assert await store.delete("one")
        await two.write("y", session_id="another")
        three = await Scribe.of(store, "three")
        await three.write("x")
        await store.release(three.lease)
        assert await store.delete("three")
        assert await store.read_transcript("shared") == [entry]


async def test_to_delete_a_session_takes_no_more_where_many_others_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[apsw.Connection] = []
    monkeypatch.setattr(apsw, "connection_hooks", [connections.append])
    async with SqliteStore(path) as store:

        async def keep(key: str) -> None:
            scribe = await Scribe.of(store, key)
            entry = TranscriptEntry(session_id=key, path="f", id="1", line=b"x")
            await scribe.write("one", "two", session_id=key, transcript=[entry])
            await store.release(scribe.lease)

        async def steps_to_delete(key: str) -> int:
            steps = 0

            def step() -> bool:
                nonlocal steps
                steps += 1
                return False

            await keep(key)
            connections[0].set_progress_handler(step, 1)
            await store.delete(key)
            connections[0].set_progress_handler(None)
            return steps

        await keep("other")
        among_few = await steps_to_delete("few")
        for number in range(25):
            await keep(f"other {number}")
        assert await steps_to_delete("many") == among_few


async def test_to_list_some_no_heads_of_others_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[apsw.Connection] = []
    monkeypatch.setattr(apsw, "connection_hooks", [connections.append])
    async with SqliteStore(path) as store:

        def pages_read() -> int:
            kinds = apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS
            return sum(connections[1].status(kind)[0] for kind in kinds)

        read = []
        for number in range(61):
            scribe = await Scribe.of(store, f"k{number:02}")
            await scribe.write("x", settings={"large": 8000 * "x"}, last_active=float(number))
            if number % 30 == 0:
                before = pages_read()
                assert [head.key for head in await store.list_sessions(limit=1)] == [f"k{number:02}"]
                read.append(pages_read() - before)
        assert read[2] - read[1] <= 2 * 30  # where each is found, and when it was active last


async def test_the_log_beside_the_file_is_short_again_when_those_who_read_have_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "LONGEST", 200_000)
    monkeypatch.setattr(trimming, "PATIENCE", 0.01)
    log = path.with_name(f"{path.name}-wal")
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k")
        await scribe.write("x")
        reading = apsw.Connection(str(path))
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM log").get == 1
        for _ in range(20):
            await scribe.write(50_000 * "x")
        assert log.stat().st_size > 1_000_000  # for whoever reads what was there before
        reading.execute("COMMIT")
        for _ in range(20):
            await scribe.write(50_000 * "x")
        assert log.stat().st_size < 300_000
        reading.close()


async def test_a_write_is_done_also_where_nobody_can_see_how_long_the_log_is(path: Path) -> None:
    async with SqliteStore(path) as store:
        moved = path.parent.rename(path.parent.with_name("moved"))
        path.parent.touch()
        await Scribe.of(store, "k")
        path.parent.unlink()
        moved.rename(path.parent)
        assert list(await store.holders(["k"])) == ["k"]


# -- Trouble ----------------------------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing_and_the_store_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[apsw.Connection] = []
    monkeypatch.setattr(apsw, "connection_hooks", [connections.append])
    async with SqliteStore(path) as store:
        small, large = await Scribe.of(store, "small"), await Scribe.of(store, "large")
        await small.write("one")
        pages = connections[0].pragma("page_count")
        connections[0].pragma("max_page_count", pages + 3)
        refused = []

        async def write(scribe: Scribe, text: str) -> None:
            try:
                await scribe.write(text)
            except StoreError as error:
                refused.append((scribe.lease.key, "no room" in str(error), str(path) in str(error)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, small, "two")
            nursery.start_soon(write, large, 100_000 * "x")
        assert refused == [("large", True, True)]
        connections[0].pragma("max_page_count", 10_000)
        await large.write(100_000 * "x")
        assert await everything(store, "small") == (small.head, small.records, [])
        assert await everything(store, "large") == (large.head, large.records, [])


async def test_a_full_disk_where_a_store_is_opened(path: Path) -> None:
    async with SqliteStore(path) as store:
        await (await Scribe.of(store, "k")).write("one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # less than the memory that its users share
    try:
        with pytest.raises(StoreError, match="there is no room on the disk"):
            async with SqliteStore(path):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_file_that_another_program_holds_for_too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.02)
    other = apsw.Connection(":memory:")
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k")
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program has held the file for too long"):
            await scribe.write("x")
        other.execute("ROLLBACK")
        await scribe.write("x")
        assert await store.read("k") == scribe.records
    other.close()


async def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for folder in ("file", "link"):
        wrong = "its folder is a file, or a link that leads nowhere; name a file that can be written"
        with pytest.raises(StoreError, match=wrong):
            async with SqliteStore(tmp_path / folder / "sessions.db"):
                pass


def test_a_path_below_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(StoreError, match=r"'x\.db': the current folder was deleted; name it by an absolute path"):
        SqliteStore("x.db")


@pytest.mark.parametrize("name", ["a\0b", "caf\udce9.db", "half of a face \ud83d.db"])
async def test_a_path_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match=r"a path has no NUL, and for SQLite it is UTF-8; name a file") as error:
        async with SqliteStore(tmp_path / name):
            pass
    assert repr(str(tmp_path / name)) in str(error.value)
    assert list(tmp_path.iterdir()) == []


async def test_a_device_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path(os.devnull), tmp_path / "pipe"):
        with pytest.raises(StoreError, match="it is a device or a pipe, and no file; name a file that can be written"):
            async with SqliteStore(path):
                pass


async def test_a_torn_end_of_the_log_loses_nothing_that_was_acknowledged(path: Path, tmp_path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k")
        await scribe.write("one", "two")
        acknowledged = wal.stat().st_size
        before = await everything(store, "k")
        await scribe.write("three")
        written = wal.stat().st_size
        for number, size in enumerate((acknowledged, acknowledged + 100, written - 100, written)):
            torn = tmp_path / str(number) / "sessions.db"
            torn.parent.mkdir()
            shutil.copy(path, torn)
            (torn.parent / wal.name).write_bytes(wal.read_bytes()[:size])
            async with SqliteStore(torn) as copy:
                expected = before if size < written else await everything(store, "k")
                assert await everything(copy, "k") == expected


# -- Files that are refused -------------------------------------------------------------------------------------------


async def test_a_file_of_a_newer_version(path: Path) -> None:
    await make(path)
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 99)
    db.close()
    assert "has version 99, and this triologue knows 2" in await refusal(path)


async def test_a_file_of_an_older_version_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later (x) STRICT"))
    before = path.read_bytes()
    with pytest.raises(StoreError):  # this step is wrong: STRICT wants a type
        async with SqliteStore(path):
            pass
    assert path.read_bytes() == before
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:-1], "CREATE TABLE later (x ANY) STRICT"))
    async with SqliteStore(path) as store:
        assert len(await store.read("k")) == 10
    with apsw.Connection(str(path)) as db:
        assert db.pragma("user_version") == len(schema.MIGRATIONS)
    db.close()


async def test_one_that_a_newer_triologue_has_brought_up_to_date_meanwhile_is_not_written_to(path: Path) -> None:
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k")
        await scribe.write(ROW)
        with apsw.Connection(str(path)) as newer:
            newer.pragma("user_version", 99)
        newer.close()
        before = files(path)
        for refused in (scribe.write(ROW), Scribe.of(store, "other"), store.read("k"), store.list_sessions()):
            with pytest.raises(
                StoreError, match="has version 99, and this triologue knows 2: it was made by a newer one, or"
            ):
                await refused
        assert {**files(path), f"{path.name}-shm": b""} == {**before, f"{path.name}-shm": b""}


async def test_the_database_of_another_program(path: Path) -> None:
    path.parent.mkdir()
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert "is the database of another program" in await refusal(path)


async def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("Dear diary, " * 100)
    assert "is no SQLite database" in await refusal(path)


async def test_an_empty_file_beside_a_log_that_is_not(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    path.with_name(path.name + "-wal").write_bytes(b"all that is left")
    assert "put a backup in its place" in await refusal(path)


async def test_a_damaged_page_of_a_file_that_was_not_closed(path: Path) -> None:
    await make(path, rows=20)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(range(1, 129)) * 32
    path.write_bytes(content)
    path.with_name(path.name + "-wal").write_bytes(bytes(32))  # as if it had been killed
    assert "the file is damaged. It was left as it is: put a backup in its place" in await refusal(path)


async def test_damage_is_found_at_the_latest_where_it_is_read(path: Path) -> None:
    await make(path, rows=20)
    content = path.read_bytes()
    for position in range(4096 * 3, len(content), 4096 * 5):
        wrong = bytearray(content)
        wrong[position : position + 4096] = bytes(4096)
        await finds_damage(path, bytes(wrong))
    line = content.index(ROW.encode()) + 50
    await finds_damage(path, content[:line] + b"y" + content[line + 1 :])


def test_it_is_opened_on_trio(path: Path) -> None:
    async def main() -> None:
        async with SqliteStore(path):
            pass

    with pytest.raises(RuntimeError, match=r"triologue runs on trio, .* call this inside trio\.run"):
        asyncio.run(main())
    assert not path.exists()


async def test_a_head_that_is_none_is_damage_too(path: Path) -> None:
    await make(path, rows=1)
    database = apsw.Connection(str(path))
    database.execute("UPDATE sessions SET head = x'7b22'")
    database.close()
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match=r"the file is damaged\. It was left as it is: put a backup in its place"):
            await store.list_sessions()


async def finds_damage(path: Path, content: bytes) -> None:
    """What is read is never something else than was written."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        async with SqliteStore(path) as store:
            seen = await store.read("k")
            assert [record.line for record in seen] == [ROW.encode()] * 200
            await store.list_sessions(), await store.get_session("k"), await store.read("k", after=70, limit=9)
            await (await Scribe.of(store, "k")).write("x")
            raise StoreError("the damaged page was one that nobody needed")


# -- Other processes --------------------------------------------------------------------------------------------------

WRITER = """
import sys, trio
from triologue.errors import StoreError
from triologue.stores import SqliteStore
from triologue.testing.scribe import Scribe

async def main(path, count):
    async with SqliteStore(path) as store:
        scribe = await Scribe.of(store, "k", owner="the other process", ttl=60)
        try:
            for number in range(count):
                await scribe.write("x" * 100)
                print(number + 1, flush=True)
                if number == 9:
                    sys.stdin.readline()
        except StoreError as error:
            print(type(error).__name__, flush=True)

trio.run(main, sys.argv[1], int(sys.argv[2]))
"""


def open_writer(path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


async def test_two_processes_share_a_file_and_one_that_slept_too_long_is_fenced(path: Path) -> None:
    async with SqliteStore(path) as store, SqliteStore(path, now=lambda: time.time() + 3600) as later:
        mine = await Scribe.of(store, "mine")
        with open_writer(path, 20) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert [other.stdout.readline() for _ in range(10)] == [f"{number}\n" for number in range(1, 11)]
            await mine.write("both write to the same file")
            with pytest.raises(SessionElsewhere, match="the other process"):
                await store.acquire("k", owner="me", ttl=60)
            other.send_signal(signal.SIGSTOP)
            taken = await Scribe.of(later, "k", ttl=60)
            await taken.write("an hour later")
            other.send_signal(signal.SIGCONT)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.read() == "LeaseLost\n"
        assert len(await store.read("k")) == 11
        assert (await store.get_session("k")) == taken.head
        assert await everything(store, "mine") == (mine.head, mine.records, [])


async def test_a_process_that_was_killed_loses_nothing_that_was_acknowledged(path: Path) -> None:
    with open_writer(path, 1_000_000) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        lines = [other.stdout.readline() for _ in range(150)]
        other.kill()
        lines += other.stdout.readlines()
    acknowledged = int(lines[-1])
    async with SqliteStore(path) as store:
        head = await store.get_session("k")
        assert head is not None
        assert acknowledged <= head.last_seq <= acknowledged + 1
        records = await store.read("k", limit=1_000_000)
        assert [record.seq for record in records] == list(range(1, head.last_seq + 1))


async def test_several_may_make_the_file_at_once(path: Path) -> None:
    async def make_one(number: int) -> None:
        async with SqliteStore(path) as store:
            await (await Scribe.of(store, f"k{number}")).write("x")

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(make_one, number)
    async with SqliteStore(path) as store:
        assert len(await store.list_sessions()) == 5


async def test_a_file_that_another_host_is_making_at_this_moment_is_waited_for(path: Path) -> None:
    path.parent.mkdir()
    maker = apsw.Connection(str(path))
    maker.execute("BEGIN IMMEDIATE")  # what SQLite would wait for in any statement but the one that makes the log
    opened = trio.Event()

    async def open_it() -> None:
        async with SqliteStore(path) as store:
            opened.set()
            await (await Scribe.of(store, "k")).write("x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_it)
        with trio.move_on_after(0.1):
            await opened.wait()
        assert not opened.is_set()
        maker.execute("ROLLBACK")
    assert opened.is_set()
    maker.close()


async def test_what_another_connection_wrote_is_seen(path: Path) -> None:
    async with SqliteStore(path) as one, SqliteStore(path) as two:
        scribe = await Scribe.of(one, "k")
        await scribe.write("one")
        await scribe.into(two).write("two")
        await scribe.into(one).write("three")
        assert await two.read("k") == scribe.records
        stale = Append(lease=scribe.lease, session=scribe.head, records=[record(2)])
        with pytest.raises(StoreError, match="is another one"):
            await two.append(stale)
