"""Looking through the log of a session."""

from typing import Any, cast

import pytest

from triologue.cli.sessions.listing import PAGE, Selection
from triologue.cli.sessions.matching import Hit
from triologue.cli.sessions.searching import SearchRequest, search_in
from triologue.messages import TurnAccepted
from triologue.messages.prompts import user_message
from triologue.ports import Append, Record, SessionStore, StoredSession
from triologue.stores import MemoryStore
from triologue.wire import encode_record


class CountingStore:
    """Counts what is read."""

    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    async def read(self, key: str, **wanted: Any) -> list[Record]:
        self.reads += 1
        return await self.kept.read(key, **wanted)


async def search(records: int, *, limit: int) -> tuple[int, int]:
    """Where something was found in a session of so many records, and how often something was read."""
    store, hits = CountingStore(), list[Hit]()
    line = encode_record(TurnAccepted(prompt=user_message("a needle"), meta={}))
    lease, _ = await store.kept.acquire("k", owner="a bot", ttl=60)
    head = StoredSession(key="k", last_seq=records)
    log = [Record(seq=n + 1, turn_id=None, kind="#turn_accepted", time=1.0, line=line) for n in range(records)]
    await store.kept.append(Append(lease=lease, session=head, records=log))
    request = SearchRequest(wanted="needle", key=None, selection=Selection(), limit=limit, json=False)
    await search_in(cast("SessionStore", store), head, request, hits)
    return len(hits), store.reads


@pytest.mark.parametrize(("records", "reads"), [(0, 0), (1, 1), (PAGE, 1), (PAGE + 1, 2), (3 * PAGE, 3)], ids=str)
async def test_a_session_is_read_no_more_often_than_it_takes(records: int, reads: int) -> None:
    assert await search(records, limit=10_000) == (records, reads)


async def test_nothing_more_is_read_than_is_shown() -> None:
    assert await search(3 * PAGE, limit=20) == (PAGE, 1)


async def test_one_that_was_deleted_meanwhile_has_nothing() -> None:
    hits: list[Hit] = []
    request = SearchRequest(wanted="needle", key=None, selection=Selection(), limit=20, json=False)
    await search_in(MemoryStore(), StoredSession(key="gone", last_seq=7), request, hits)
    assert hits == []
