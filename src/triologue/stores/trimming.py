"""The log beside the file of an `SqliteStore`: kept short although there is always somebody who reads."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

import apsw

from triologue.stores import schema

LONGEST: Final = 64 * 2**20
"""Bytes; four times what it has when SQLite puts it into the file."""
PATIENCE: Final = 1.0
"""Seconds that whoever writes then waits for those who read at that moment."""


@final
class Trimming:
    """SQLite begins the log anew only where nobody reads, and so would let it grow for as long as one reads after the other.

    Args:
        db: the connection that writes.
        path: of the file.
    """

    def __init__(self, db: apsw.Connection, path: str) -> None:
        self._db: Final = db
        self._log: Final = Path(f"{path}-wal")
        self._longest = LONGEST

    def look(self) -> None:
        """After a commit: begin it anew where it is too long. Where somebody reads for long, it may be twice as long next time."""
        with suppress(OSError):  # its folder may be another by now, and what was committed is there in any case
            size = schema.size_of(self._log)
            if size > self._longest:
                self._longest = LONGEST if self._begin_anew() else 2 * size

    def _begin_anew(self) -> bool:
        self._db.set_busy_timeout(round(PATIENCE * 1000))
        try:
            with suppress(apsw.Error):
                is_busy: Any = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return is_busy is not None and not is_busy[0]
        finally:
            self._db.set_busy_timeout(round(schema.BUSY_SECONDS * 1000))
        return False
