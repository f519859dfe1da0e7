"""`manager.store`: what is kept, as those see it who look through it, name it and take it along."""

import json
from functools import partial

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from triologue.ports import Append, Record, StoredSession
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent


async def store_of(*lines: bytes) -> tri.KeptSessions:
    """A store with one session, `k`, in which this was said."""
    store = MemoryStore()
    lease, _ = await store.acquire("k", owner="me", ttl=60)
    records = [Record(seq=seq, turn_id=None, kind="x", time=2.0, line=line) for seq, line in enumerate(lines, start=1)]
    head = StoredSession(key="k", session_id="id", last_seq=len(records))
    await store.append(Append(lease=lease, session=head, records=records))
    return tri.KeptSessions(store)


async def test_a_manager_shows_what_is_kept(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(ScriptedAgent(), store=store) as manager:
        session = manager.session("slack:C1")
        async with session.subscribe(after=0) as events:
            await session.ask("one")
            assert manager.store is not None
            kept = await manager.store.messages("slack:C1")
            seen = [await anext(events) for _ in kept]
        assert [(event.seq, type(event.message)) for event in kept] == [
            (event.seq, type(event.message)) for event in seen
        ]
        assert await manager.store.messages("slack:C1", after=1, limit=1) == kept[1:2]
        assert [head.key for head in await manager.store.list_sessions(prefix="slack:")] == ["slack:C1"]
        found = await manager.store.get_session(session.session_id or "")
        assert found is not None
        assert found.key == "slack:C1"
    async with tri.open_manager(ScriptedAgent()) as manager:
        assert manager.store is None


async def test_names_for_people() -> None:
    store = await store_of(b"{}")
    await store.rename("k", " A title\nof two lines ")
    assert await store.tag("k", add=["a", "b", "a"]) == ("a", "b")
    assert await store.tag("k", add=["c"], remove=["a"]) == ("b", "c")
    [head] = await store.list_sessions()
    assert (head.title, head.tags) == ("A title of two lines", ("b", "c"))
    await store.rename("k", None)
    [head] = await store.list_sessions()
    assert (head.title, head.tags) == (None, ("b", "c"))


async def test_a_bot_that_tags_undoes_no_name_that_is_given_meanwhile() -> None:
    store = await store_of(b"{}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(store.tag, "k", add=["done"]))
        nursery.start_soon(store.rename, "k", "The first")
    [head] = await store.list_sessions()
    assert (head.title, head.tags) == ("The first", ("done",))


async def test_a_record_is_exported_as_a_line_also_where_it_is_no_json() -> None:
    store = await store_of(b'{"type": "x"}', b"{oops")
    lines: list[bytes] = []
    assert await store.export("k", lines.append) == 2
    told = {"turn_id": None, "kind": "x", "time": 2.0}
    assert [json.loads(line) for line in lines] == [
        {"seq": 1, **told, "message": {"type": "x"}},
        {"seq": 2, **told, "line": "{oops"},
    ]


async def test_what_is_not_kept_or_cannot_be() -> None:
    store = await store_of(b"{}")
    assert await store.messages("id") == []
    for missing in (store.rename("id", "x"), store.tag("id", add=["x"]), store.export("nobody", print)):
        with pytest.raises(
            tri.SessionNotFound, match=r"no session has the key '(id|nobody)': nothing is kept under this key"
        ):
            await missing
    with pytest.raises(tri.InvalidOption, match="limit='3' is no whole number of 0 or more"):
        await store.list_sessions(limit="3")  # type: ignore[arg-type]
    with pytest.raises(tri.InvalidOption, match="prefix=None is no str"):
        await store.list_sessions(prefix=None)  # type: ignore[arg-type]
    with pytest.raises(tri.InvalidOption, match="write='file' is no function that takes bytes"):
        await store.export("k", "file")  # type: ignore[arg-type]
    with pytest.raises(tri.InvalidOption, match="title=3 is no str"):
        await store.rename("k", 3)  # type: ignore[arg-type]
    with pytest.raises(tri.InvalidOption, match="add='urgent' is no sequence of str"):
        await store.tag("k", add="urgent")
    assert await store.get_session("\ud800") is None
    for half in (store.rename("k", "a\udcff"), store.tag("k", add=["\udcff"]), store.tag("k", remove=["\udcff"])):
        with pytest.raises(tri.InvalidOption, match="has half a character in it"):
            await half
