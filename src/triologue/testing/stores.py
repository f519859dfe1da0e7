"""What every session store must do, as a test class: derive yours from it, and say how a store is opened.

::

    class TestMyStore(SessionStoreContract):
        @pytest.fixture(autouse=True)
        def use_folder(self, tmp_path: Path) -> None:
            self.folder = tmp_path

        def open_store(self, place: str) -> AbstractAsyncContextManager[SessionStore]:
            return MyStore(self.folder / place)

Async tests must run on trio, as they do with pytest-trio's `trio_mode`. Nothing is waited for: a lease of no seconds has
ended. What only one kind of store has (damage, a full disk, other processes) is left to its own tests.
"""

from typing import Any, ClassVar

import trio
from msgspec.structs import replace

from triologue.errors import SessionElsewhere, SessionNotFound, StoreError
from triologue.ports import Append, Record, SessionStore, StoredSession, TranscriptEntry, UnfinishedTurn
from triologue.testing.leases import LeaseContract
from triologue.testing.scribe import LONG, Scribe, cancelled_after, error_of, everything, record


class SessionStoreContract(LeaseContract):
    """The checks. Each opens stores of its own."""

    is_durable: ClassVar[bool] = True
    """What was kept is there again when the same place is opened once more."""
    examples: ClassVar[int] = 25
    """How many random programs are run against a model."""

    async def test_it_has_the_methods_of_a_store(self) -> None:
        async with self.open_store("a") as store:
            assert [name for name in vars(SessionStore) if name[0] != "_" and not hasattr(store, name)] == []

    # -- Appending and reading ------------------------------------------------------------------------------------

    async def test_what_was_appended_is_read_as_it_was(self) -> None:
        async with self.open_store("a") as store:
            assert (await store.get_session("k"), await store.read("k")) == (None, [])
            lease, nothing = await store.acquire("k", owner="me", ttl=LONG)
            assert nothing is None
            head = StoredSession(
                key="k",
                session_id="id",
                is_confirmed=True,
                agent="claude-code",
                cwd="/w",
                settings={"model": "m", "deep": {"list": [1, None, "ü"]}},
                parent="p",
                forked_at="uuid",
                created=1.5,
                last_active=2.25,
                turns=3,
                input_tokens=4,
                output_tokens=2**40,
                cost_usd=None,
                last_seq=2,
                unfinished=(UnfinishedTurn(id="t", seq=1, is_started=True, attempts=2),),
            )
            records = [
                Record(seq=1, turn_id="t", kind="#turn_accepted", time=2.125, line=b'{"a":"\xc3\xbc"}'),
                Record(seq=2, turn_id=None, kind="system", time=2.25, line=bytes(range(256)) * 4096),
            ]
            await store.append(Append(lease=lease, session=head, records=records))
            assert await store.get_session("k") == head
            assert await store.read("k") == records
            again, kept = await store.acquire("k", owner="me", ttl=LONG)
            assert (again.key, again.owner, kept) == ("k", "me", head)

    async def test_records_are_read_in_order_and_in_pages(self) -> None:
        async with self.open_store("a") as store:
            one, other = await Scribe.of(store, "one"), await Scribe.of(store, "other")
            for number in range(40):
                await one.write(*f"{number} is written in five".split())
                if number % 3 == 0:
                    await other.write("z")
            assert [record.seq for record in await store.read("one")] == list(range(1, 201))
            for after, limit in (
                (0, 1),
                (0, 200),
                (63, 2),
                (64, 64),
                (150, 1000),
                (199, 5),
                (200, 5),
                (500, 5),
                (3, 0),
            ):
                page = await store.read("one", after=after, limit=limit)
                assert page == one.records[after : after + limit], (after, limit)
            assert await store.read("other") == other.records

    async def test_a_turn_is_read_by_its_id(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            for turn in ("t1", "t1", None, "t2", "t1", "t2", "t2", None):
                await scribe.write(*("line " * 30).split(), turn=turn)
            other = await Scribe.of(store, "other")
            await other.write("of another session", turn="t1")
            for turn in ("t1", "t2", "t3"):
                of_it = [record for record in scribe.records if record.turn_id == turn]
                assert await store.read("k", turn_id=turn) == of_it
                assert await store.read("k", turn_id=turn, limit=35) == of_it[:35]
                assert await store.read("k", turn_id=turn, after=70) == [r for r in of_it if r.seq > 70]

    async def test_an_append_that_leaves_a_gap_writes_nothing(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            await scribe.write("one")
            before = await everything(store, "k", "id")
            entry = TranscriptEntry(session_id="id", path="f", id=None, line=b"{}")
            for wrong in ([record(3)], [record(2), record(4)], [record(2), record(2)]):
                head = replace(scribe.head, last_seq=wrong[-1].seq, title="x", session_id="id")
                append = Append(lease=scribe.lease, session=head, records=wrong, transcript=[entry])
                assert await error_of(store.append(append)) is StoreError
            lying = Append(lease=scribe.lease, session=replace(scribe.head, last_seq=7), transcript=[entry])
            assert await error_of(store.append(lying)) is StoreError
            assert await everything(store, "k", "id") == before

    async def test_the_same_append_again_changes_nothing(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            await scribe.write("one", "two")
            await scribe.write("three", "four")
            head = replace(scribe.head, last_seq=2, turns=99)
            entry = TranscriptEntry(session_id="id", path="f", id=None, line=b"{}")
            again = Append(lease=scribe.lease, session=head, records=scribe.records[:2], transcript=[entry])
            before = await everything(store, "k", "id")
            await store.append(again)
            assert await everything(store, "k", "id") == before
            other = [replace(scribe.records[1], line=b"another")]
            assert await error_of(store.append(replace(again, records=other))) is StoreError
            assert await everything(store, "k", "id") == before

    async def test_an_append_that_begins_with_what_is_kept_adds_the_rest(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            await scribe.write("one", "two")
            head = replace(scribe.head, last_seq=3, turns=1)
            records = [*scribe.records[1:], record(3)]
            await store.append(Append(lease=scribe.lease, session=head, records=records))
            assert await store.read("k") == [*scribe.records, record(3)]
            assert await store.get_session("k") == head

    async def test_an_append_without_records_changes_the_head(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            await scribe.write("one")
            head = replace(scribe.head, session_id="id", turns=1, last_active=9.0)
            await store.append(Append(lease=scribe.lease, session=head))
            assert await store.get_session("k") == head

    async def test_many_may_append_at_once(self) -> None:
        async with self.open_store("a") as store:

            async def live(key: str) -> None:
                scribe = await Scribe.of(store, key)
                for number in range(5):
                    await scribe.write(f"{key} {number}")
                assert await store.read(key) == scribe.records

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(live, f"k{number}")

    # -- Finding, naming, forgetting ------------------------------------------------------------------------------

    async def test_a_session_is_found_by_its_key_or_by_its_id(self) -> None:
        async with self.open_store("a") as store:
            for key, session_id, active in (("a", "id", 1.0), ("b", "id", 3.0), ("c", "id", 2.0), ("id2", "x", 0.0)):
                await (await Scribe.of(store, key)).write("x", session_id=session_id, last_active=active)
            await (await Scribe.of(store, "d")).write("x", session_id="id2", last_active=9.0)
            found = [await store.get_session(name) for name in ("a", "id", "id2", "nobody")]
            assert [head.key if head is not None else None for head in found] == ["a", "b", "id2", None]

    async def test_what_is_no_text_names_nothing(self) -> None:
        async with self.open_store("a") as store:
            await (await Scribe.of(store, "k")).write("x", turn="t", session_id="id")
            for half in ("\ud800", "k\udcff"):
                assert await error_of(store.acquire(half, owner="me", ttl=LONG)) is StoreError
                assert await everything(store, half, half) == (None, [], [])
                assert await store.read("k", turn_id=half) == []
                assert (await store.list_sessions(prefix=half), await store.holders([half, "k"])) == ([], {"k": "me"})

    async def test_sessions_are_listed_by_when_they_were_active(self) -> None:
        async with self.open_store("a") as store:
            open_turn = (UnfinishedTurn(id="t", seq=1),)
            for key, active in (("a:1", 1.0), ("a:2", 4.0), ("b%1", 2.0), ("b_1", 3.0)):
                unfinished = open_turn if active > 2 else ()
                await (await Scribe.of(store, key)).write("x", last_active=active, unfinished=unfinished)

            async def keys(**how: Any) -> str:
                return " ".join(head.key for head in await store.list_sessions(**how))

            assert await keys() == "a:2 b_1 b%1 a:1"
            assert await keys(prefix="a:") == "a:2 a:1"
            assert (await keys(prefix="b%"), await keys(prefix="b_"), await keys(prefix="A")) == ("b%1", "b_1", "")
            assert (await keys(limit=2), await keys(limit=0), await keys(limit=10**20)) == (
                "a:2 b_1",
                "",
                "a:2 b_1 b%1 a:1",
            )
            assert await keys(unfinished=True) == "a:2 b_1"
            assert await keys(before=3.0) == "b%1 a:1"
            assert await keys(prefix="b", unfinished=True, before=9.0, limit=1) == "b_1"
            await (await Scribe.of(store, "a:1")).write("y", last_active=5.0)
            assert await keys(limit=1) == "a:1"

    async def test_a_label_stays_whatever_is_appended(self) -> None:
        async with self.open_store("a") as store:
            assert await error_of(store.label("k", title="x", tags=())) is SessionNotFound
            scribe = await Scribe.of(store, "k")
            await scribe.write("one")
            await store.label("k", title="Über", tags=["x", "y"])
            await scribe.write("two", turns=1, title="not this", tags=("nor", "these"))
            head = await store.get_session("k")
            assert head is not None
            assert (head.title, head.tags, head.turns, head.last_seq) == ("Über", ("x", "y"), 1, 2)
            await store.label("k", title=None, tags=())
            listed = await store.list_sessions()
            assert [(head.title, head.tags) for head in listed] == [(None, ())]

    async def test_the_part_of_a_label_that_is_not_given_stays(self) -> None:
        async with self.open_store("a") as store:
            assert await error_of(store.label("k", title="x")) is SessionNotFound
            await (await Scribe.of(store, "k")).write("one")

            async def labelled(**label: Any) -> tuple[str | None, tuple[str, ...]]:
                await store.label("k", **label)
                head = await store.get_session("k")
                assert head is not None
                return head.title, head.tags

            assert await labelled(title="x") == ("x", ())
            assert await labelled(tags=["y"]) == ("x", ("y",))
            assert await labelled() == ("x", ("y",))
            assert await labelled(title=None) == (None, ("y",))
            assert await labelled(title="z", tags=()) == ("z", ())

    async def test_a_fork_has_its_own_log_and_says_where_it_is_from(self) -> None:
        async with self.open_store("a") as store:
            parent, fork = await Scribe.of(store, "parent"), await Scribe.of(store, "fork")
            await parent.write("one", "two", session_id="id1")
            await fork.write("one", session_id="id2", parent="parent", forked_at="uuid")
            await parent.write("three")
            head = await store.get_session("fork")
            assert head is not None
            assert (head.parent, head.forked_at, head.last_seq) == ("parent", "uuid", 1)
            await store.release(parent.lease)
            assert await store.delete("parent")
            assert await store.read("fork") == fork.records

    async def test_transcripts_are_kept_in_order_and_each_entry_once(self) -> None:
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            first = [
                TranscriptEntry(session_id="id", path="main.jsonl", id="1", line=b"one"),
                TranscriptEntry(session_id="id", path="sub/agent.jsonl", id="1", line=b"another file"),
                TranscriptEntry(session_id="id", path="main.jsonl", id=None, line=b"no id"),
            ]
            second = [
                TranscriptEntry(session_id="id", path="main.jsonl", id="2", line=b"two"),
                TranscriptEntry(session_id="id", path="main.jsonl", id=None, line=b"no id"),
                TranscriptEntry(session_id="other", path="main.jsonl", id="1", line=b"of another"),
            ]
            await scribe.write("x", transcript=first)
            await scribe.write("y", transcript=[first[0], *second])
            assert await store.read_transcript("id") == [*first, *second[:2]]
            assert await store.read_transcript("other") == second[2:]
            assert await store.read_transcript("nobody") == []

    async def test_what_is_deleted_is_gone_unless_another_session_needs_it(self) -> None:
        async with self.open_store("a") as store:
            one, two = await Scribe.of(store, "one"), await Scribe.of(store, "two")
            shared = TranscriptEntry(session_id="shared", path="f", id="1", line=b"x")
            await one.write("x", session_id="old", transcript=[replace(shared, session_id="old")])
            await one.write("y", session_id="shared", transcript=[shared])
            await two.write("z", session_id="shared")
            assert await error_of(store.delete("one")) is SessionElsewhere
            assert await store.read("one") == one.records
            await store.release(one.lease)
            assert (await store.delete("one"), await store.delete("one")) == (True, False)
            assert await everything(store, "one", "old") == (None, [], [])
            assert await everything(store, "two", "shared") == (two.head, two.records, [shared])
            await store.release(two.lease)
            assert await store.delete("two")
            assert await store.read_transcript("shared") == []
            anew = await Scribe.of(store, "one")
            await anew.write("1")
            assert await store.read("one") == anew.records

    async def test_a_transcript_goes_with_the_session_that_appended_it_and_not_with_one_that_repeated_it(self) -> None:
        async with self.open_store("a") as store:
            one, two = await Scribe.of(store, "one"), await Scribe.of(store, "two")
            entry = TranscriptEntry(session_id="id", path="f", id="1", line=b"x")
            await one.write("x", session_id="id", transcript=[entry])
            await one.write("y", session_id="went on")
            await two.write("z", session_id="another", transcript=[entry])
            for scribe, left in ((two, [entry]), (one, [])):
                await store.release(scribe.lease)
                assert await store.delete(scribe.lease.key)
                assert await store.read_transcript("id") == left

    async def test_a_transcript_that_is_told_anew_is_the_session_s_that_told_it_then(self) -> None:
        async with self.open_store("a") as store:
            first, other, last = [await Scribe.of(store, key) for key in ("first", "other", "last")]

            async def forget(scribe: Scribe) -> None:
                await store.release(scribe.lease)
                assert await store.delete(scribe.lease.key)

            entry = TranscriptEntry(session_id="id", path="f", id="1", line=b"x")
            await first.write("x", session_id="went on", transcript=[entry])
            await other.write("y", session_id="id")
            await forget(other)
            assert await store.read_transcript("id") == []
            await last.write("z", session_id="another", transcript=[entry])
            await forget(first)
            assert await store.read_transcript("id") == [entry]
            await forget(last)
            assert await store.read_transcript("id") == []

    # -- Trouble --------------------------------------------------------------------------------------------------

    async def test_an_append_that_is_cancelled_is_there_whole_or_not_at_all(self) -> None:
        for passes in range(8):
            async with self.open_store(str(passes)) as store:
                scribe = await Scribe.of(store, "k")
                await scribe.write("one")
                before = await everything(store, "k", "id")
                entry = TranscriptEntry(session_id="id", path="f", id="1", line=b"{}")
                records = [record(2), record(3)]
                head = replace(scribe.head, last_seq=3, session_id="id")
                async with cancelled_after(passes):
                    append = Append(lease=scribe.lease, session=head, records=records, transcript=[entry])
                    await store.append(append)
                after = (head, [*scribe.records, *records], [entry])
                # Whoever writes next waits for what was under way, so that there is no doubt any more.
                await store.renew([scribe.lease], ttl=LONG)
                found = await everything(store, "k", "id")
                assert found in (before, after)
            if self.is_durable:
                async with self.open_store(str(passes)) as store:
                    assert await everything(store, "k", "id") == found

    async def test_what_was_kept_is_there_when_it_is_opened_again(self) -> None:
        if not self.is_durable:
            return
        async with self.open_store("a") as store:
            scribe = await Scribe.of(store, "k")
            await scribe.write(*"abcdefgh", session_id="id")
            await store.label("k", title="x", tags=["y"])
            before = await everything(store, "k")
        async with self.open_store("a") as store:
            assert await everything(store, "k") == before
            assert await error_of(store.acquire("k", owner="you", ttl=LONG)) is SessionElsewhere
            await scribe.into(store).write("i")
            assert await store.read("k") == scribe.records

    def test_random_programs_do_as_the_model_does(self) -> None:
        from triologue.testing.strategies.stores import check_programs

        check_programs(self.open_store, self.examples)
