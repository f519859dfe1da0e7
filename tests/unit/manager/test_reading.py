"""What is read of a session without talking to it: its log page by page, a turn by its id, and the list of all sessions."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.slow_store import SlowStore
from triologue.actors import Batch
from triologue.messages import Event, Gap, TurnEnded
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent, Wait


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    return agent


async def in_pages(session: tri.Session, limit: int, after: int = 0) -> list[Event]:
    found: list[Event] = []
    while page := await session.read(after, limit=limit):
        found += page
        last = page[-1]
        after = last.message.last if isinstance(last.message, Gap) else last.seq or 0
    return found


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_pages_together_are_the_log(is_kept: bool, limit: int, autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), store=MemoryStore() if is_kept else None) as manager:
        session = manager.session("k")
        for number in range(5):
            await session.ask(f"prompt {number}")
        found = await in_pages(session, limit)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        assert sum(isinstance(event.message, TurnEnded) for event in found) == 5
        assert await session.read(len(found)) == []


async def test_a_gap_stands_for_what_is_not_in_memory_any_more(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), limits=tri.Limits(log=4)) as manager:
        session = manager.session("k")
        for _ in range(5):
            await session.ask("hello")
        first, *rest = await in_pages(session, 2)
        assert isinstance(first.message, Gap)
        assert first.message.first == 1
        assert rest[0].seq == first.message.last + 1


async def test_what_is_not_in_memory_is_read_from_the_store(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), store=MemoryStore(), limits=tri.Limits(log=4)) as manager:
        session = manager.session("k")
        for _ in range(5):
            await session.ask("hello")
        found = await in_pages(session, 7)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))


async def test_a_batch_of_a_subscription_is_all_that_is_there(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        session = manager.session("k")
        async with session.subscribe() as events:
            await session.ask("hello")
            batch = await events.batch()
            assert batch == await session.read()
        async with session.subscribe() as events:
            await manager.delete("k")
            while batch := await events.batch():
                pass
            assert batch == []


@pytest.mark.parametrize("is_kept", [False, True])
async def test_a_subscription_ends_with_its_block(is_kept: bool, autojump_clock: MockClock) -> None:
    async with (
        tri.open_manager(new_agent(), store=MemoryStore() if is_kept else None) as manager,
        trio.open_nursery() as nursery,
    ):
        session, heard = manager.session("k"), list[Event]()
        async with session.subscribe() as events:
            nursery.start_soon(read_all, events, heard)
            await wait_all_tasks_blocked()
        async with session.subscribe(0) as events:
            await session.ask("hello")
            said = await session.read()
        await session.ask("more")
        assert [event async for event in events] == said
        assert await events.batch() == []
    assert heard == []


async def read_all(events: tri.Subscription, heard: list[Event]) -> None:
    heard.extend([event async for event in events])


async def test_a_turn_is_found_by_its_id(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        session = manager.session("k")
        assert await session.find("1") is None
        running = await session.send("long", id="1")
        waiting = await session.send("hello", id="2")
        assert [await session.find("1"), await session.find("2")] == [running, waiting]
        assert manager.turns() == [running, waiting]
        await waiting.cancel()
        found = await session.find("2")
        assert found is not None
        assert found.outcome is not None
        assert found.outcome.kind == "cancelled"
        assert manager.turns() == [running]


async def test_a_turn_of_an_earlier_host_is_found_in_the_store(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("hello", id="1")
    async with tri.open_manager(agent, store=store) as manager:
        found = await manager.session("k").find("1")
        assert found is not None
        assert found.state == "ended"
        assert [await manager.session("k").find("2"), await manager.session("other").find("1")] == [None, None]


async def test_the_overview_has_those_that_sleep_in_the_store_too(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("b").ask("hello")
        await manager.session("other").ask("hello")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("a").send("long")
        await manager.session("a").send("hello")
        told = [(each.key, each.state, each.waiting, each.turns) for each in await manager.overview()]
        assert told == [("a", "running", 1, 0), ("b", "hibernated", 0, 1), ("other", "hibernated", 0, 1)]
        assert [each.key for each in await manager.overview("o")] == ["other"]


async def test_a_page_of_the_overview_is_a_part_of_it(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as manager:
        for key in ("a/2", "a/4", "b"):
            await manager.session(key).ask("hello")
    async with tri.open_manager(agent, store=store) as manager:
        for key in ("a/3", "a/1", "a/2"):
            await manager.session(key).ask("hello")
        whole = await manager.overview("a/")
        assert [(each.key, each.state) for each in whole] == [
            ("a/1", "idle"), ("a/2", "idle"), ("a/3", "idle"), ("a/4", "hibernated"),
        ]  # fmt: skip
        for limit in range(1, 6):
            for after in ("", "a/1", "a/2x", "a/4", "z"):
                page = await manager.overview_page("a/", after=after, limit=limit)
                following = [each for each in whole if each.key > after]
                assert (page.lines, page.is_last) == (following[:limit], limit >= len(following))


async def test_a_turn_that_may_not_run_any_more_is_cancelled_where_an_earlier_host_left_it(
    autojump_clock: MockClock,
) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        session = manager.session("k")
        await session.send("long", id="1")
        for name in ("ann", "bob"):
            await session.send(f"of {name}", id=name, meta={"by": name})
    async with tri.open_manager(agent, store=store) as manager:
        with manager.guarding("by", lambda key, meta: meta["by"] != "ann"):
            recovered = {each.turn.id: each.turn for each in await manager.recover()}
            outcomes = {id: (await turn.wait()).kind for id, turn in recovered.items()}
        assert outcomes == {"ann": "cancelled", "bob": "answered"}
        assert "of ann" not in [prompt.text for prompt in agent.prompts]


async def test_looking_at_a_key_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        session = manager.session("k")
        async with session.subscribe(), session.subscribe():
            assert [each.key for each in manager.sessions()] == ["k"]
        assert await session.read() == []
        assert session.statistics().state == "new"
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.read()
        assert manager.sessions() == []
        async with session.subscribe():
            await session.set_model("big")
        assert [each.key for each in manager.sessions()] == ["k"]
        async with manager.session("other").subscribe() as events:
            await manager.session("other").ask("hello")
            assert await events.batch() == await manager.session("other").read()


async def test_a_prompt_that_is_refused_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        session = manager.session("k")
        with pytest.raises(tri.InvalidOption):
            await session.ask("hello", id="1" * 1000)
        with pytest.raises(tri.InvalidOption):
            async with session.turn("hello", meta={"number": 1}):  # type: ignore[dict-item]
                pass
        assert manager.sessions() == []


class DistantStore(SlowStore):
    """It finds a session within a second."""

    async def get_session(self, key_or_id: str) -> tri.StoredSession | None:
        await trio.sleep(1)
        return await self.kept.get_session(key_or_id)


class Ear:
    """Hears what is said."""

    patience = 0.0

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def offer(self, batch: Batch) -> None:
        self.heard += batch.events()

    def wake(self) -> None:
        pass

    def finish(self) -> None:
        pass


@asynccontextmanager
async def looked_at() -> AsyncGenerator[tri.Session]:
    """A session that nobody has used, while a look at it is under way."""
    store = DistantStore().as_store
    async with tri.open_manager(new_agent(), store=store) as manager, trio.open_nursery() as nursery:
        nursery.start_soon(manager.session("k").read)
        await trio.sleep(0.5)
        yield manager.session("k")


async def test_a_look_that_is_over_ends_no_subscription_that_just_begins(autojump_clock: MockClock) -> None:
    async with looked_at() as session, session.subscribe() as events:
        await session.ask("hello")
        assert await events.batch() == await session.read()


async def test_a_look_that_is_over_sends_no_listener_away_that_just_comes(autojump_clock: MockClock) -> None:
    ear = Ear()
    async with looked_at() as session, session.listen(ear):
        await session.ask("hello")
        assert ear.heard == await session.read()


async def test_who_does_not_wait_for_the_store_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), store=DistantStore().as_store) as manager:
        with trio.move_on_after(0.5):
            async with manager.session("k").subscribe():
                pass
        assert manager.sessions() == []


async def test_a_fork_that_is_looked_at_stays_one(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        await manager.session("k").ask("hello")
        copy = await manager.session("k").fork("copy")
        async with copy.subscribe():
            pass
        assert [each.key for each in manager.sessions()] == ["k", "copy"]


@pytest.mark.parametrize("is_kept", [False, True])
async def test_a_key_that_is_only_looked_at_can_be_forked_to(is_kept: bool, autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore() if is_kept else None
    async with tri.open_manager(agent, store=store) as manager:
        original = manager.session("k", options=tri.Options(model="big", max_turns=3))
        await original.ask("hello")
        wanted = manager.session("copy", options=tri.Options(max_turns=5), on_missing="fresh")
        async with wanted.subscribe() as events:
            copy = await original.fork("copy")
            with pytest.raises(tri.SessionExists):
                await original.fork("copy")
            await copy.ask("hello")
            await copy.hibernate()
            assert await events.batch() == await copy.read()
        started = agent.starts[-1].options
        assert (started.fork_session, started.resume, started.model) == (True, original.session_id, "big")
        assert started.max_turns == 5, "what was wanted for the copy before it was one"
        assert copy.resume_outcome == wanted.resume_outcome == "forked"


async def test_a_key_that_is_to_begin_under_an_id_of_its_own_is_not_forked_to(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        await manager.session("k").ask("hello")
        chosen = manager.session("other", options=tri.Options(session_id="00000000-0000-4000-8000-000000000000"))
        async with chosen.subscribe():
            with pytest.raises(tri.SessionExists):
                await manager.session("k").fork("other")


async def test_a_copy_works_where_its_original_does(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager:
        await manager.session("k").ask("hello")
        elsewhere = manager.session("other", options=tri.Options(cwd=tmp_path))
        async with elsewhere.subscribe():
            with pytest.raises(tri.InvalidOption, match="a copy works where its original does"):
                await manager.session("k").fork("other")
        await elsewhere.ask("hello")


async def test_a_key_whose_first_prompt_is_on_its_way_in_has_a_conversation(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        await manager.session("k").ask("hello")
        async with manager.session("other").subscribe():
            store.hold()
            nursery.start_soon(manager.session("other").ask, "hello")
            await wait_all_tasks_blocked()
            with pytest.raises(tri.SessionExists):
                await manager.session("k").fork("other")
            store.go_on()
    assert [head.parent for head in await store.kept.list_sessions()] == [None, None]


async def test_a_fork_that_fails_leaves_those_alone_who_look_at_its_key(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as manager, tri.open_manager(agent, store=store) as elsewhere:
        await manager.session("k").ask("hello")
        async with manager.session("other").subscribe() as events:
            with pytest.raises(tri.SessionIdInUse):
                await manager.session("k").fork("other", session_id=manager.session("k").session_id)
            await elsewhere.session("other").ask("hello")
            with pytest.raises(tri.SessionElsewhere):
                await manager.session("k").fork("other")
            await elsewhere.put_away("other")
            with pytest.raises(tri.SessionExists):
                await manager.session("k").fork("other")
            await manager.session("other").ask("hello again")
            last = manager.session("other").statistics().records
            assert [(await anext(events)).seq for _ in range(last)] == list(range(1, last + 1))


async def test_looking_at_a_key_does_not_disturb_a_prompt_that_is_on_its_way_in(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        async with manager.session("k").subscribe():
            store.hold()
            nursery.start_soon(manager.session("k").ask, "hello")
            await wait_all_tasks_blocked()
        assert [each.key for each in manager.sessions()] == ["k"]
        store.go_on()
    assert (await store.kept.read("k"))[-1].kind == "#state_changed"


@pytest.mark.parametrize("store", [None, MemoryStore()])
async def test_looking_at_a_key_keeps_nobody_from_beginning_it_as_they_want(
    store: MemoryStore | None, autojump_clock: MockClock
) -> None:
    other, chosen = ScriptedAgent(name="other"), "5f0c3c3e-0000-4000-8000-000000000000"
    async with tri.open_manager(new_agent(), store=store) as manager:
        async with manager.session("k").subscribe() as events:
            session = manager.session(
                "k", agent=other, options=tri.Options(session_id=chosen, system_prompt="Be brief.")
            )
            for refused in ({"agent": new_agent()}, {"options": tri.Options(resume=chosen)}):
                with pytest.raises(tri.InvalidOption, match="has a conversation"):
                    manager.session("k", **refused)
            await session.ask("hello")
            assert (session.session_id, other.starts[0].options.system_prompt) == (chosen, "Be brief.")
            last = session.statistics().records
            assert [(await anext(events)).seq for _ in range(last)] == list(range(1, last + 1))
        async with manager.session("copy").subscribe():
            copy = manager.session("copy", agent=other, options=tri.Options(resume=chosen, fork_session=True))
            result = await copy.ask("and now?")
            assert (result.total_cost_usd, result.cost_usd) == (0.002, None)  # nobody knows what it had cost before


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("wanted", [{"agent": ScriptedAgent(name="other")}, {"options": tri.Options(cwd="/")}])
async def test_who_watches_goes_on_where_others_are_refused(
    wanted: dict[str, Any], looks: bool, autojump_clock: MockClock
) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as here, tri.open_manager(agent, store=store) as there:
        async with here.session("k").subscribe() as events:
            other = there.session("k", options=tri.Options(cwd="/usr"))
            await other.ask("one")
            await other.hibernate()
            refused = here.session("k", **wanted)
            if looks:
                await refused.read()
            for _ in range(2):
                with pytest.raises(tri.InvalidOption, match=r"the (key|session) 'k'"):
                    await refused.ask("two")
            session = here.session("k")
            await session.ask("three")
            last = session.statistics().records
            assert [(await anext(events)).seq for _ in range(last)] == list(range(1, last + 1))
            assert session.session_id == other.session_id
