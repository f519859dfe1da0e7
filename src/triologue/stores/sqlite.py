"""Conversations that outlive the process, in one SQLite file that several processes may share."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, final

import trio
from msgspec import UNSET, Struct, UnsetType

from triologue.errors import StoreError
from triologue.loops import refuse_outside
from triologue.ports import Append, Lease, Record, StoredSession, TranscriptEntry
from triologue.stores.grouping import Group, in_thread
from triologue.stores.reading import Reader
from triologue.stores.schema import connect, open_database
from triologue.stores.takeovers import tell_taken_over
from triologue.stores.writing import Work, Writer

T = TypeVar("T")

CLOSE_SECONDS: Final = 10.0
"""How long closing waits for the disk."""


class StoreStatistics(Struct, frozen=True, kw_only=True):
    """How busy a store is."""

    writes: int
    """Calls that wrote, since it was opened."""
    transactions: int
    """In which they were made; each is one fsync."""
    waiting: int
    """Calls that wait for the transaction after the one that is being made."""


@final
class SqliteStore:
    """Keeps sessions in a file: `async with SqliteStore(path) as store`.

    What returned is on disk: each commit is followed by an fsync, which all share who wait for one. While one is being
    made up to 10,000 writes wait, in order; one more waits for room. Reading goes on meanwhile.

    Other processes may have the file open at the same time, on the same machine (SQLite's log does not work across a
    network file system). The leases are timed by the machine's clock.

    The file and those beside it (`-wal`, `-shm`) are readable for this user alone, and so is the folder if it is made.
    A file that is damaged, of another program or of a newer triologue is refused, and left as it is.

    Args:
        path: of the file; made if it is not there.
        now: the clock of leases, in seconds since the epoch.

    Raises:
        StoreError: the path is relative to a folder that is gone; on entering: the file cannot be opened, or must be
            refused.
    """

    def __init__(self, path: str | os.PathLike[str], *, now: Callable[[], float] = time.time) -> None:
        self.path: Final = _absolute(path)
        self._now: Final = now
        self._open: _Open | None = None

    def __repr__(self) -> str:
        return f"<SqliteStore {str(self.path)!r}: {self.statistics() if self._open is not None else 'not open'}>"

    def statistics(self) -> "StoreStatistics":
        """What it has done since it was opened.

        Raises:
            StoreError: it is not open.
        """
        group = self._opened().group
        return StoreStatistics(writes=group.writes, transactions=group.transactions, waiting=len(group))

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError(f"{self!r} is open already; a second one may be opened on the same path")
        refuse_outside()
        with trio.CancelScope(shield=True):  # what was opened must not be lost
            self._open = await in_thread("opened", lambda: _Open(self.path, self._now))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened, self._open = self._opened(), None
        await opened.close()

    def _opened(self) -> "_Open":
        if self._open is None:
            raise StoreError(f"the session store {str(self.path)!r} is not open; use it inside `async with`")
        return self._open

    async def acquire(
        self, key: str, *, owner: str, ttl: float, replaces: str | None = None
    ) -> tuple[Lease, StoredSession | None]:
        """As `SessionStore.acquire`."""
        got: tuple[Lease, StoredSession | None, Lease | None]
        got = await self._opened().group.write(
            lambda writer: writer.acquire(key, owner=owner, ttl=ttl, replaces=replaces)
        )
        lease, head, ended = got
        if ended is not None:
            tell_taken_over(ended, now=self._now())
        return lease, head

    async def renew(self, leases: Sequence[Lease], *, ttl: float) -> list[Lease]:
        """As `SessionStore.renew`."""
        held: list[Lease] = await self._opened().group.write(lambda writer: writer.renew(leases, ttl=ttl))
        return held

    async def release(self, lease: Lease) -> None:
        """As `SessionStore.release`."""
        await self._opened().group.write(lambda writer: writer.release(lease))

    async def holders(self, keys: Sequence[str]) -> dict[str, str]:
        """As `SessionStore.holders`."""
        now = self._now()
        return await self._opened().read(lambda reader: reader.holders(keys, now=now))

    async def append(self, write: Append) -> None:
        """As `SessionStore.append`."""
        await self._opened().group.write(write)

    async def get_session(self, key_or_id: str) -> StoredSession | None:
        """As `SessionStore.get_session`."""
        return await self._opened().read(lambda reader: reader.head(key_or_id))

    async def list_sessions(
        self, *, prefix: str = "", limit: int = 100, unfinished: bool = False, before: float | None = None
    ) -> list[StoredSession]:
        """As `SessionStore.list_sessions`."""
        return await self._opened().read(
            lambda reader: reader.heads(prefix=prefix, limit=limit, unfinished=unfinished, before=before)
        )

    async def read(self, key: str, *, after: int = 0, limit: int = 1000, turn_id: str | None = None) -> list[Record]:
        """As `SessionStore.read`."""
        return await self._opened().read(lambda reader: reader.records(key, after=after, limit=limit, turn_id=turn_id))

    async def read_transcript(self, session_id: str) -> list[TranscriptEntry]:
        """As `SessionStore.read_transcript`."""
        return await self._opened().read(lambda reader: reader.transcript(session_id))

    async def label(
        self, key: str, *, title: str | UnsetType | None = UNSET, tags: Sequence[str] | UnsetType = UNSET
    ) -> None:
        """As `SessionStore.label`."""
        await self._opened().group.write(lambda writer: writer.label(key, title=title, tags=tags))

    async def delete(self, key: str) -> bool:
        """As `SessionStore.delete`."""
        was_there: bool = await self._opened().group.write(lambda writer: writer.delete(key))
        return was_there


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).absolute()
    except FileNotFoundError as error:
        raise StoreError(
            f"cannot open the session store {str(path)!r}: the current folder was deleted; name it by an absolute path"
        ) from error


@final
class _Open:
    """What a store has while it is open: two connections, each of them one thread's at a time."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path: Final = str(path)
        self._writing: Final = open_database(path)
        try:
            self._reading: Final = connect(path)
        except BaseException:
            self._writing.close()
            raise
        self._reader: Final = Reader(self._reading, self._path)
        self._readers: Final = trio.CapacityLimiter(1)
        self.group: Final[Group[Work]] = Group(Writer(self._writing, self._path, now=now).commit)

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Ask for something; one reads at a time, and the others wait.

        Raises:
            StoreError: it cannot be read.
        """
        return await in_thread("read", lambda: self._reader.read(query), limiter=self._readers)

    async def close(self) -> None:
        """Write what was taken in, and close the file.

        Raises:
            StoreError: the disk did not finish within `CLOSE_SECONDS`.
        """
        with trio.CancelScope(shield=True):
            is_written = await self.group.close(
                f"the session store {self._path!r} is closed; what comes later is not kept", within=CLOSE_SECONDS
            )
            if not is_written:
                raise StoreError(
                    f"the session store {self._path!r} could not be closed: the disk has not finished writing after "
                    f"{CLOSE_SECONDS:g} seconds; {len(self.group)} writes wait, and none of them was acknowledged"
                )
            try:
                await in_thread("closed", self._close, limiter=self._readers)
            except StoreError:
                self._close()  # all wait for the disk then, which is better than a file that stays open

    def _close(self) -> None:
        # The last one to close puts everything into the file, and removes what is beside it.
        self._reading.close()
        self._writing.close()
