"""Many sessions are deleted, some at a time."""

from typing import Any, cast

import trio

from triologue.cli.sessions.removing import AT_ONCE, delete_all
from triologue.ports import Append, SessionStore, StoredSession
from triologue.stores import MemoryStore


class CountingStore:
    """Counts the deletions that are made at the same time."""

    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.most = 0
        self._now = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    async def delete(self, key: str) -> bool:
        self._now += 1
        self.most = max(self.most, self._now)
        await trio.lowlevel.checkpoint()
        self._now -= 1
        return await self.kept.delete(key)


async def test_a_disk_is_waited_for_once_for_several() -> None:
    store, keys = CountingStore(), [f"k{number:02}" for number in range(2 * AT_ONCE + 5)]
    for number, key in enumerate(keys):
        lease, _ = await store.kept.acquire(key, owner="a bot", ttl=60)
        await store.kept.append(Append(lease=lease, session=StoredSession(key=key, last_active=float(number))))
        if key not in ("k03", "k21"):
            await store.kept.release(lease)
    port = cast("SessionStore", store)

    deleted, refusals = await delete_all(port, keys, before=24.0)
    assert (deleted, store.most) == (len(keys) - 3, AT_ONCE)
    assert [refusal.split("'")[1] for refusal in refusals] == ["k03", "k21", "k24"], "in the order of the keys"
    assert refusals[-1] == "the session 'k24' was used meanwhile, so it is kept"
    assert [head.key for head in await store.kept.list_sessions()] == ["k24", "k21", "k03"]

    assert await delete_all(port, ["k24", "gone"]) == (1, [])
