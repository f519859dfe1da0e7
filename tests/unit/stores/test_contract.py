"""Both stores keep the contract, and stores with a fault do not."""

import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from triologue.errors import StoreError
from triologue.ports import Append, Lease, SessionStore, StoredSession
from triologue.stores import MemoryStore, SqliteStore
from triologue.testing import SessionStoreContract
from triologue.testing.store_model import Acquire, StoreModel, Write


class TestMemoryStore(SessionStoreContract):
    is_durable = False
    examples = 50

    @asynccontextmanager
    async def open_store(self, place: str) -> AsyncGenerator[SessionStore]:
        yield MemoryStore()


class TestSqliteStore(SessionStoreContract):
    @pytest.fixture(autouse=True)
    def use_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def open_store(self, place: str) -> AbstractAsyncContextManager[SessionStore]:
        return SqliteStore(self.folder / place)


class Faulty:
    """A store with a fault, made of one that has none."""

    def __init__(self) -> None:
        self.inner = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Unfenced(Faulty):
    """Lets whoever had the session once write to it for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[str, Lease] = {}

    async def acquire(self, key: str, **how: Any) -> tuple[Lease, StoredSession | None]:
        lease, head = await self.inner.acquire(key, **how)
        self.newest[key] = lease
        return lease, head

    async def append(self, write: Append) -> None:
        await self.inner.append(replace(write, lease=self.newest[write.lease.key]))


class Torn(Faulty):
    """Writes one record after the other."""

    async def append(self, write: Append) -> None:
        for record in write.records:
            head = replace(write.session, last_seq=record.seq)
            await self.inner.append(replace(write, session=head, records=[record]))
        if not write.records:
            await self.inner.append(write)


class Unlabelled(Faulty):
    """Takes names from the agent's host, and loses those that people gave."""

    async def append(self, write: Append) -> None:
        await self.inner.append(write)
        await self.inner.label(write.session.key, title=write.session.title, tags=write.session.tags)


class Relabelled(Faulty):
    """Takes the part of a label that is not given away."""

    async def label(self, key: str, *, title: str | None = None, tags: Sequence[str] = ()) -> None:
        await self.inner.label(key, title=title, tags=tags)


class Generous(Faulty):
    """Gives a session to two."""

    async def acquire(
        self, key: str, *, owner: str, ttl: float, replaces: str | None = None
    ) -> tuple[Lease, StoredSession | None]:
        return await self.inner.acquire(key, owner="everybody", ttl=ttl, replaces=replaces)


def contract_of(kind: type[Faulty]) -> SessionStoreContract:
    class Contract(SessionStoreContract):
        is_durable = False

        @asynccontextmanager
        async def open_store(self, place: str) -> AsyncGenerator[SessionStore]:
            yield cast(SessionStore, kind())

    return Contract()


async def broken_checks(kind: type[Faulty]) -> list[str]:
    contract = contract_of(kind)
    broken = []
    for name in dir(contract):
        check = getattr(contract, name)
        if inspect.iscoroutinefunction(check) and name.startswith("test_"):
            try:
                await check()
            except (AssertionError, StoreError):
                broken.append(name)
    return broken


async def test_a_store_with_a_fault_is_caught() -> None:
    assert await broken_checks(Faulty) == []
    assert "test_a_lease_that_ended_may_write_until_another_is_given_out" in await broken_checks(Unfenced)
    assert "test_an_append_that_leaves_a_gap_writes_nothing" in await broken_checks(Torn)
    assert "test_a_label_stays_whatever_is_appended" in await broken_checks(Unlabelled)
    assert "test_the_part_of_a_label_that_is_not_given_stays" in await broken_checks(Relabelled)
    assert "test_one_at_a_time_holds_a_session" in await broken_checks(Generous)


async def test_random_calls_catch_a_store_without_fencing() -> None:
    model = StoreModel(cast(SessionStore, Unfenced()))
    for call in (Acquire("a", "me", is_held=False), Acquire("a", "you", is_held=True)):
        await model.make(call)
    stale = Write(lease=1, skip=0, turns=("t1",), session_id=None, entry=None, is_other=False)
    with pytest.raises(AssertionError, match="should have ended with"):
        await model.make(stale)
