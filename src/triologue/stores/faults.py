"""What SQLite complains of, as a `StoreError` that says what to do."""

from typing import Final

import apsw
from msgspec import DecodeError

from triologue.errors import StoreError

_DAMAGED: Final = (
    "the file is damaged. It was left as it is: put a backup in its place, or move it away to begin anew; "
    "`sqlite3 FILE .recover` gets out of it what can be read"
)
_NO_DATABASE: Final = (
    "this is no SQLite database, or its beginning is damaged. It was left as it is: name another path, put a backup in "
    "its place, or move it away to begin anew"
)


class Damage(Exception):
    """A row is not what was written. Whoever needs it is refused, and nobody else: the others may be whole."""


_FULL: Final = "there is no room on the disk, or the file is as large as it may get; make room, and go on"

# The first that fits.
_ADVICE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (apsw.FullError, _FULL),
    (apsw.ReadOnlyError, "the file or its folder may not be written to; give this user the right to"),
    (apsw.BusyError, "another program has held the file for too long; end it, or try again"),
    (apsw.CorruptError, _DAMAGED),
    (apsw.NotADBError, _NO_DATABASE),
    (apsw.CantOpenError, "it could not be opened; look whether its folder exists and this user may write there"),
    (apsw.TooBigError, "a line or a head is larger than SQLite takes (1 GB)"),
    (Damage, _DAMAGED),
    (DecodeError, _DAMAGED),
    (UnicodeDecodeError, _DAMAGED),
    (apsw.IOError, "the disk failed to read or write; look at the system's log"),
)

# What fails for one write because of that write alone.
_OF_ONE: Final = (apsw.FullError, apsw.TooBigError, apsw.ConstraintError, apsw.MismatchError)


def store_error(path: str, doing: str, error: Exception) -> StoreError:
    """Say what happened, where, and what to do.

    Args:
        path: of the database.
        doing: what was being done: "write to", "read".
        error: SQLite's own, or what Python has against a value.
    """
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), "what was asked for was not done")
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:  # what a full disk is as a store is opened
        advice = _FULL
    return StoreError(f"cannot {doing} the session store {path!r}: {advice} ({type(error).__name__}: {error})")


def is_damage(error: Exception) -> bool:
    """Whether the file is not what was written to it."""
    return isinstance(error, apsw.CorruptError | apsw.NotADBError)


def is_of_one(error: Exception) -> bool:
    """Whether another write may succeed where this one failed."""
    return not isinstance(error, apsw.Error) or isinstance(error, _OF_ONE)
