"""What a memory store does beyond the contract: what is asked of one session takes no more where there are many."""

from tests.support.counted_text import CountedText
from triologue.stores import MemoryStore
from triologue.testing.scribe import Scribe


async def looks_at_ids(others: int) -> tuple[int, int]:
    """How often a session id is looked at: for a session to be found by it, and for it to be deleted."""
    store = MemoryStore()
    for number in range(others + 1):
        scribe = await Scribe.of(store, f"k{number}")
        await scribe.write("x", session_id=CountedText(f"id{number}"))
        await store.release(scribe.lease)
    CountedText.comparisons = CountedText.hashes = 0
    found = await store.get_session(f"id{others}")
    assert found is not None
    assert found.key == f"k{others}"
    by_find = CountedText.comparisons + CountedText.hashes
    assert await store.delete(found.key)
    return by_find, CountedText.comparisons + CountedText.hashes - by_find


async def test_to_find_and_to_delete_a_session_takes_no_more_where_there_are_many() -> None:
    assert await looks_at_ids(5) == await looks_at_ids(100)
