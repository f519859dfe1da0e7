"""A store fails where it was told to, and what it holds is what its calls did."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from trio.testing import MockClock

import triologue as tri
from triologue.ports import SessionStore
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent, SessionStoreContract, StoreFails, with_store_faults


class TestNoFault(SessionStoreContract):
    """Without a fault it is the store that it was."""

    is_durable = False

    def open_store(self, place: str) -> AbstractAsyncContextManager[SessionStore]:
        return _open()


@asynccontextmanager
async def _open() -> AsyncGenerator[SessionStore]:
    yield with_store_faults(MemoryStore())


async def outcomes(store: SessionStore) -> list[str]:
    """What becomes of four calls."""
    told: list[str] = []
    for key in ("a", "b"):
        for call in (store.get_session, store.delete):
            try:
                told.append(repr(await call(key)))
            except tri.StoreError as error:
                told.append(str(error))
    return told


async def test_the_nth_call_fails_of_all_or_of_one_method() -> None:
    second, deleted = StoreFails(2), StoreFails(2, "delete")
    assert await outcomes(with_store_faults(MemoryStore(), second)) == [
        "None", f"delete() failed, as {second!r} wants it", "None", "False",
    ]  # fmt: skip
    assert await outcomes(with_store_faults(MemoryStore(), second, deleted)) == [
        "None", f"delete() failed, as {second!r} wants it", "None", f"delete() failed, as {deleted!r} wants it",
    ]  # fmt: skip


@pytest.mark.parametrize("has_effect", [False, True])
async def test_a_call_whose_answer_is_lost_was_done(has_effect: bool) -> None:
    kept = MemoryStore()
    store = with_store_faults(kept, StoreFails(call="acquire", has_effect=has_effect))
    with pytest.raises(tri.StoreError, match=r"was done, and its answer lost" if has_effect else "failed"):
        await store.acquire("a", owner="me", ttl=60)
    assert await kept.holders(["a"]) == ({"a": "me"} if has_effect else {})


def test_a_call_that_a_store_has_not_is_told() -> None:
    with pytest.raises(ValueError, match=r"a store has no call 'apend'; it has acquire, .*append, .*delete$"):
        with_store_faults(MemoryStore(), StoreFails(call="apend"))


async def test_a_message_that_was_not_kept_is_refused_and_the_next_one_is_answered(autojump_clock: MockClock) -> None:
    store = with_store_faults(MemoryStore(), StoreFails(call="append"))
    async with tri.open_manager(ScriptedAgent(), store=store) as manager:
        session = manager.session("chat")
        with pytest.raises(tri.StoreError, match="append\\(\\) failed"):
            await session.ask("hello")
        assert (await session.ask("hello again")).result == "hello again"
