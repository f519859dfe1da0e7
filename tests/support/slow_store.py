"""A store whose disk can be held up, and can be full."""

from collections.abc import Sequence
from typing import Any, cast

import trio

from triologue.errors import StoreError
from triologue.ports import Append, Lease, SessionStore, StoredSession
from triologue.stores import MemoryStore


class SlowStore:
    """What is kept is kept by a `MemoryStore`, when and if the disk lets it."""

    def __init__(self, kept: SessionStore | None = None) -> None:
        self.kept = kept or MemoryStore()
        self._goes_on = trio.Event()
        self._goes_on.set()
        self.is_full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    @property
    def as_store(self) -> SessionStore:
        return cast("SessionStore", self)

    async def renew(self, leases: Sequence[Lease], *, ttl: float) -> list[Lease]:
        await self._goes_on.wait()
        return await self.kept.renew(leases, ttl=ttl)

    async def get_session(self, key_or_id: str) -> StoredSession | None:
        await self._goes_on.wait()
        return await self.kept.get_session(key_or_id)

    def hold(self) -> None:
        """What is written waits from now on; leases are not renewed either, and heads are not found."""
        self._goes_on = trio.Event()

    def go_on(self) -> None:
        """They wait no more."""
        self._goes_on.set()

    async def append(self, write: Append) -> None:
        await self._goes_on.wait()
        if self.is_full:
            raise StoreError("the disk is full")
        await self.kept.append(write)


class SlowLeases:
    """A store that takes a second to give out a lease, and to take one back."""

    def __init__(self) -> None:
        self._kept = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    @property
    def as_store(self) -> SessionStore:
        return cast("SessionStore", self)

    async def acquire(self, key: str, **more: Any) -> tuple[Lease, StoredSession | None]:
        await trio.sleep(1)
        return await self._kept.acquire(key, **more)

    async def release(self, lease: Lease) -> None:
        await self._kept.release(lease)
        await trio.sleep(1)


async def kinds(store: SessionStore, key: str, *, ours: bool = True) -> list[str]:
    """What a session's log has, in order; of what triologue says itself only turns."""
    found = [record.kind for record in await store.read(key)]
    return [kind for kind in found if kind.startswith("#turn") or not ours]
