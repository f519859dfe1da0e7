"""The file of an `SqliteStore`: how it is made, what must be refused, and what lies in it.

New records go to the end of `log`, whatever session they belong to, so that a commit writes few pages. Where those of
one session are is told by a chain: its newest one is in `ends`, and each names the one before it. Some records are
marks, which an index finds by `seq`, so that a reader has at most `MARK_EVERY` steps to go before it has what it wants.
"""

import os
import stat
import time
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import apsw

from triologue.errors import StoreError
from triologue.messages.loose import is_text
from triologue.stores.checksums import checksum
from triologue.stores.faults import store_error

APPLICATION_ID: Final = int.from_bytes(b"trio")
"""In the file's header: whose database it is."""
BUSY_SECONDS: Final = 5.0
"""How long another program may hold the file."""
CHECK_SECONDS: Final = 2.0
"""How long a file is looked through that nobody closed. What is found later is refused then."""
CHECKPOINT_PAGES: Final = 4000
"""How long the log beside the file gets (16 MB) before it is put into the file. Whoever writes then waits for that, so it is
four times what SQLite does by itself."""
MARK_EVERY: Final = 64

# Of `log.mark`: a record that is found by its `seq`; also the first after one of another turn.
MARK: Final = 1
BEGINS: Final = 2

MIGRATIONS: Final = (
    """
    CREATE TABLE leases (
        token INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given out twice, also after its row is gone
        key TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        until REAL NOT NULL
    ) STRICT;
    CREATE TABLE sessions (  -- what changes seldom
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- transcripts may stay behind that name the id of a deleted one
        key TEXT NOT NULL UNIQUE,
        session_id TEXT,
        unfinished INTEGER NOT NULL,
        title TEXT,
        tags TEXT NOT NULL,
        head BLOB NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_session_id ON sessions (session_id) WHERE session_id IS NOT NULL;
    CREATE INDEX sessions_unfinished ON sessions (id) WHERE unfinished > 0;
    CREATE TABLE ends (  -- what changes with every append
        session INTEGER PRIMARY KEY,
        last_seq INTEGER NOT NULL,
        last_active REAL NOT NULL,
        position INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log (
        position INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        previous INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        turn_id TEXT,
        kind TEXT NOT NULL,
        time REAL NOT NULL,
        crc INTEGER NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
    CREATE INDEX log_marks ON log (session, seq, mark) WHERE mark > 0;
    CREATE INDEX log_turns ON log (session, turn_id, seq) WHERE mark = 2;
    CREATE TABLE transcripts (
        position INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        session_id TEXT NOT NULL,
        path TEXT NOT NULL,
        id TEXT,
        crc INTEGER NOT NULL,
        line BLOB NOT NULL
    ) STRICT;
    CREATE INDEX transcripts_by_session_id ON transcripts (session_id);
    CREATE INDEX transcripts_by_session ON transcripts (session, session_id);
    CREATE UNIQUE INDEX transcripts_by_id ON transcripts (session_id, path, id) WHERE id IS NOT NULL;
    """,
    # A checksum is over all that is read of a row; it was over a line alone. What was damaged stays damaged.
    """
    UPDATE log SET crc = checksum(line, session, seq, turn_id, kind, time) + (crc <> crc32(line));
    UPDATE transcripts SET crc = checksum(line, session_id, path, id) + (crc <> crc32(line));
    ALTER TABLE sessions ADD COLUMN crc INTEGER NOT NULL DEFAULT -1;
    ALTER TABLE sessions ADD COLUMN label_crc INTEGER NOT NULL DEFAULT -1;
    UPDATE sessions SET
        crc = checksum(head, key, session_id, unfinished),
        label_crc = checksum(x'', key, title, tags);
    """,
)
"""The one at index n makes version n + 1 of version n."""
_FUNCTIONS: Final[dict[str, Any]] = {"checksum": checksum, "crc32": crc32}
"""That they call: the checksum of a row, and that of version 1."""


def open_database(path: Path) -> apsw.Connection:
    """Open the file for writing, and make it if it is not there.

    Args:
        path: of the file. Its folder is made too, for this user alone.

    Raises:
        StoreError: it is damaged, no database, of another program or of a newer triologue, or cannot be opened.
    """
    _make(path)
    is_left_open = size_of(path.with_name(path.name + "-wal")) > 0
    if is_left_open and not size_of(path):
        # SQLite would throw the log away, and with it all that is left.
        raise StoreError(f"the session store {str(path)!r} is empty, but its -wal is not: put a backup in its place")
    db = connect(path)
    try:
        leave_alone(db)
        _prepare(db, str(path))
        if is_left_open:
            _look_through(db, str(path))
        leave_alone(db, is_wanted=False)
    except (apsw.Error, UnicodeDecodeError) as error:
        db.close()
        raise store_error(str(path), "open", error) from error
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    """See that there is a file of this name."""
    try:
        if "\0" in str(path) or not is_text(str(path)):
            raise OSError("a path has no NUL, and for SQLite it is UTF-8")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its -wal and -shm the mode of the file, and would make that readable for everybody.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError("it is a device or a pipe, and no file")
        finally:
            os.close(file)
    except OSError as error:
        is_no_folder = isinstance(error, FileExistsError)  # what `mkdir` says of that
        wrong = "its folder is a file, or a link that leads nowhere"
        reason = wrong if is_no_folder else error.strerror or str(error)
        raise StoreError(
            f"cannot open the session store {str(path)!r}: {reason}; name a file that can be written"
        ) from error


def connect(path: Path) -> apsw.Connection:
    """A connection to the file, which is there.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(round(BUSY_SECONDS * 1000))
    except apsw.Error as error:
        raise store_error(str(path), "open", error) from error
    return db


def leave_alone(db: apsw.Connection, *, is_wanted: bool = True) -> None:
    """Whether closing leaves the file and its log as they are; SQLite puts them together otherwise."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(is_wanted))


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _prepare(db: apsw.Connection, path: str) -> None:
    """See whose file it is, and bring it up to date."""
    _check(db, path)
    _keep_log(db)
    db.pragma("synchronous", "full")
    db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    version = db.pragma("user_version")
    if version == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")  # another process may be doing the same
    try:
        _check(db, path)
        for name, function in _FUNCTIONS.items():
            db.create_scalar_function(name, function, deterministic=True)
        for number in range(db.pragma("user_version"), len(MIGRATIONS)):
            db.execute(MIGRATIONS[number])
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", len(MIGRATIONS))
        db.execute("COMMIT")
    except BaseException:
        if not db.get_autocommit():
            db.execute("ROLLBACK")
        raise


def _keep_log(db: apsw.Connection) -> None:
    """Have what is written go to a log beside the file first, also where others make the same file at this moment.

    Raises:
        apsw.BusyError: another program holds the file for longer than `BUSY_SECONDS`.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.pragma("journal_mode", "wal")
        except apsw.BusyError:  # of two that want it at once SQLite refuses one, which has not waited
            if time.monotonic() >= give_up:
                raise
            db.execute("BEGIN IMMEDIATE")  # this waits for the other, if it has not done by now
            db.execute("ROLLBACK")
        else:
            return


def _check(db: apsw.Connection, path: str) -> None:
    """Refuse the file of another program, and that of a newer triologue."""
    # In one statement, as another process may be making the file at this moment.
    application, version, tables = db.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
        "FROM pragma_application_id, pragma_user_version"
    ).get
    if application == APPLICATION_ID:
        _refuse_above(version, path)
    elif application or version or tables:
        raise StoreError(
            f"{path!r} is the database of another program (application_id {application}); it was left as it is: name "
            "another path"
        )


def refuse_newer(db: apsw.Connection, path: str) -> None:
    """To be asked within each transaction: another process may bring the file up to date while this one has it open.

    Raises:
        StoreError: a newer triologue has done so. What this one wrote would be damage to that, and the other way round.
    """
    _refuse_above(db.execute("PRAGMA user_version").get, path)


def _refuse_above(version: int, path: str) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the session store {path!r} has version {version}, and this triologue knows {len(MIGRATIONS)}: it was made "
            "by a newer one, or brought up to date by it; use that, or name another path"
        )


def _look_through(db: apsw.Connection, path: str) -> None:
    """Look for damage in a file that was not closed, as far as that goes in `CHECK_SECONDS`."""
    until = time.monotonic() + CHECK_SECONDS
    db.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        found = db.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return
    finally:
        db.set_progress_handler(None)
    if found != "ok":
        raise store_error(path, "open", apsw.CorruptError(str(found)))
