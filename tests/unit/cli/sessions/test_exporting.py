"""A log becomes a file."""

from pathlib import Path
from typing import Any, cast

import pytest

from triologue.cli.sessions.exporting import write_log
from triologue.errors import StoreError
from triologue.manager.kept import line_of
from triologue.ports import Append, Record, SessionStore, StoredSession
from triologue.stores import MemoryStore

RECORDS = [
    Record(seq=seq, turn_id=None, kind="system", time=1.0, line=b'{"type":"system","subtype":"%0200d"}' % seq)
    for seq in range(1, 2_001)
]


class WatchedStore:
    """Notes how long a file is at each read, and can break."""

    def __init__(self, kept: SessionStore, path: Path, *, breaks_at: int | None = None) -> None:
        self._kept = kept
        self._path = path
        self._breaks_at = breaks_at
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept, name)

    async def read(self, key: str, **wanted: Any) -> list[Record]:
        assert self._path.read_bytes() == b"", "who is killed now leaves nothing that looks whole"
        self.sizes.append(sum(draft.stat().st_size for draft in self._path.parent.glob("*.draft")))
        if len(self.sizes) == self._breaks_at:
            raise StoreError("record 501 of 'k' is not what was written")
        return await self._kept.read(key, **wanted)


async def kept() -> SessionStore:
    store = MemoryStore()
    lease, _ = await store.acquire("k", owner="test", ttl=60)
    head = StoredSession(key="k", last_seq=len(RECORDS))
    await store.append(Append(lease=lease, session=head, records=RECORDS))
    return store


async def test_what_was_read_is_written_before_more_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    store = WatchedStore(await kept(), path)
    await write_log(cast("SessionStore", store), "k", path)
    assert path.read_bytes() == b"".join(map(line_of, RECORDS))
    assert store.sizes[0] == 0
    assert len(store.sizes) > 2
    assert store.sizes == sorted(set(store.sizes)), "the file grows from read to read"
    assert [(file, file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == [(path, 0o600)]


async def test_a_log_that_cannot_be_read_to_its_end_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    store = WatchedStore(await kept(), path, breaks_at=2)
    with pytest.raises(StoreError, match="record 501"):
        await write_log(cast("SessionStore", store), "k", path)
    assert list(tmp_path.iterdir()) == []
