"""Whoever writes to a session of a store, in its tests."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, final

import trio
from msgspec.structs import replace

from triologue.errors import StoreError
from triologue.ports import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry

LONG: Final = 3600.0
"""Seconds: no test lasts so long."""


def record(seq: int, *, turn: str | None = None, text: str = "x") -> Record:
    """A record."""
    return Record(seq=seq, turn_id=turn, kind="assistant", time=float(seq), line=text.encode())


async def everything(
    store: SessionStore, key: str, session_id: str = ""
) -> tuple[StoredSession | None, list[Record], list[TranscriptEntry]]:
    """What is kept of a session."""
    return await store.get_session(key), await store.read(key), await store.read_transcript(session_id)


async def error_of(awaitable: Any) -> type[StoreError] | None:
    """The kind of error that a call ends with; None: it has none."""
    try:
        await awaitable
    except StoreError as error:
        return type(error)
    return None


@asynccontextmanager
async def cancelled_after(passes: int) -> AsyncGenerator[None]:
    """Cancel the block when the scheduler has gone round that often."""

    async def cancel() -> None:
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel)
            yield


@final
class Scribe:
    """Writes to one session, and remembers what it wrote."""

    def __init__(self, store: SessionStore, lease: Lease, kept: StoredSession | None = None) -> None:
        self._store = store
        self.lease: Final = lease
        self.head = kept if kept is not None else StoredSession(key=lease.key)
        self.records: list[Record] = []

    @classmethod
    async def of(cls, store: SessionStore, key: str, *, owner: str = "me", ttl: float = LONG) -> "Scribe":
        """The one who holds the session now."""
        return cls(store, *await store.acquire(key, owner=owner, ttl=ttl))

    def into(self, store: SessionStore) -> "Scribe":
        """Go on in another store."""
        self._store = store
        return self

    async def write(
        self,
        *texts: str,
        turn: str | None = None,
        transcript: Sequence[TranscriptEntry] = (),
        **head: Any,
    ) -> None:
        """Append a record for each text, and change these fields of the head."""
        first = self.head.last_seq + 1
        records = [record(seq, turn=turn, text=text) for seq, text in enumerate(texts, start=first)]
        session = replace(self.head, last_seq=self.head.last_seq + len(records), **head)
        append = Append(lease=self.lease, session=session, records=records, transcript=transcript)
        await self._store.append(append)
        self.head = session
        self.records += records
