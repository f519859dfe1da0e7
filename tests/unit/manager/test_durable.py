"""Sessions that are kept in a store: what is written when, and what another host finds."""

import os

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.dying import dying_manager
from tests.support.slow_store import SlowStore, kinds
from triologue.messages import Event, TurnAccepted
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent, Wait


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    return agent


async def test_a_turn_is_accepted_when_its_prompt_is_kept_and_ends_when_its_answer_is(
    autojump_clock: MockClock,
) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session, turns = manager.session("k"), list[tri.Turn]()

        async def send() -> None:
            turns.append(await session.send("one", id="1"))

        store.hold()
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        assert turns == []
        store.go_on()
        await wait_all_tasks_blocked()
        assert [turn.outcome for turn in turns if turn.outcome is not None and turn.outcome.kind == "answered"] != []
        assert await kinds(store.kept, "k") == ["#turn_accepted", "#turn_started", "#turn_ended"]


async def test_the_agent_gets_no_prompt_before_its_start_is_kept(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        await session.ask("one")
        store.hold()
        nursery.start_soon(session.ask, "two")
        await wait_all_tasks_blocked()
        assert [prompt.text for prompt in agent.prompts] == ["one"]
        store.go_on()
        await wait_all_tasks_blocked()
        assert [prompt.text for prompt in agent.prompts] == ["one", "two"]


async def test_nobody_reads_what_is_not_kept(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session, seen = manager.session("k"), list[Event]()

        async def listen(task_status: trio.TaskStatus[None]) -> None:
            async with session.subscribe(after=0) as events:
                task_status.started()
                async for event in events:
                    seen.append(event)

        await nursery.start(listen)
        store.hold()
        nursery.start_soon(session.send, "one")
        await wait_all_tasks_blocked()
        assert seen == []
        store.go_on()
        await wait_all_tasks_blocked()
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert len(seen) == len(await store.kept.read("k"))
        nursery.cancel_scope.cancel()


async def test_another_manager_goes_on_where_the_last_one_stopped(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        await session.ask("one", id="1")
        await session.set_model("big")
        first = session.session_id
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        await session.ask("two")
        assert session.session_id == first
        assert [start.options.model for start in agent.starts] == [None, "big"]
        again = await session.send("one", id="1")
        assert again.outcome is not None
        assert again.outcome.kind == "answered"
        assert [prompt.text for prompt in agent.prompts] == ["one", "two"]
        with pytest.raises(tri.InvalidOption, match="belongs to another prompt"):
            await session.send("three", id="1")


async def test_a_setting_that_is_changed_while_it_sleeps_is_kept(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").set_permission_mode("plan")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
    assert [start.options.permission_mode for start in agent.starts] == ["plan"]


async def test_what_waits_when_the_manager_is_closed_waits_in_the_store(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=1)) as manager:
        session = manager.session("k")
        running = await session.send("long", id="1")
        waiting = await session.send("two", id="2", meta={"chat": "7"})
        await wait_all_tasks_blocked()
    assert running.outcome is not None
    assert running.outcome.kind == "interrupted"
    assert waiting.outcome is not None
    assert isinstance(waiting.outcome.error, tri.ManagerClosed)
    async with tri.open_manager(agent, store=store) as manager:
        (recovered,) = await manager.recover()
        assert (recovered.key, recovered.turn.id, recovered.turn.meta, recovered.attempts) == (
            "k",
            "2",
            {"chat": "7"},
            0,
        )
        assert (await recovered.turn.wait()).kind == "answered"
        assert await manager.recover() == []
    assert [prompt.text for prompt in agent.prompts] == ["long", "two"]


async def test_a_turn_that_had_started_when_the_host_died_is_lost(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, agent = MemoryStore(now=trio.current_time), new_agent()
    async with dying_manager(agent, store) as manager:
        session = manager.session("k")
        await session.send("long", id="1")
        await session.send("two", id="2")
        await wait_all_tasks_blocked()
    caplog.clear()
    await trio.sleep(60)  # the lease of the dead one runs out
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        assert (await session.ask("three", id="3")).result is not None
        lost, queued = await manager.recover()
        assert lost.turn.outcome is not None
        assert (lost.turn.id, lost.turn.outcome.kind, lost.attempts) == ("1", "lost", 1)
        assert queued.turn.outcome is not None
        assert (queued.turn.id, queued.turn.outcome.kind) == ("2", "answered")
    assert [record.message for record in caplog.records] == [
        "the session 'k': the turn '1' had started, and the host died; nobody can tell how far it got"
    ]
    assert [prompt.text for prompt in agent.prompts] == ["long", "two", "three"]
    log = await store.read("k", turn_id="1")
    assert [record.kind for record in log if record.kind.startswith("#turn")] == [
        "#turn_accepted",
        "#turn_started",
        "#turn_ended",
    ]


async def test_or_it_runs_again_if_the_policy_says_so(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(now=trio.current_time), new_agent()
    async with dying_manager(agent, store) as manager:
        await manager.session("k").send("long", id="1")
        await wait_all_tasks_blocked()
    await trio.sleep(60)  # the lease of the dead one runs out
    policy = tri.RestartPolicy(retry_turn=True, max_restarts=1)
    async with tri.open_manager(agent, store=store, restart=policy) as manager:
        (recovered,) = await manager.recover()
        assert (await recovered.turn.wait()).kind == "answered"
        assert recovered.attempts == 1
    assert [prompt.text for prompt in agent.prompts] == ["long", "long"]
    assert len({prompt.uuid for prompt in agent.prompts}) == 2


async def test_a_disk_that_is_full_is_told_and_loses_nothing(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        await session.ask("one", id="1")
        store.is_full = True
        with pytest.raises(tri.StoreError, match="the disk is full"):
            await session.send("two", id="2")
        store.is_full = False
        assert (await session.ask("two", id="2")).result is not None
        seqs = [record.seq for record in await store.kept.read("k")]
        assert seqs == list(range(1, len(seqs) + 1))
    assert [prompt.text for prompt in agent.prompts] == ["one", "two"]


async def test_a_session_that_another_host_has(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as one, tri.open_manager(agent, store=store) as other:
        await one.session("k").ask("one")
        with pytest.raises(tri.SessionElsewhere) as caught:
            await other.session("k").ask("two")
        assert f"pid {os.getpid()}" in caught.value.owner
        # It can be read there all the same.
        async with other.session("k").subscribe(after=0) as events:
            first = await anext(aiter(events))
        assert isinstance(first.message, TurnAccepted)
        await one.session("k").hibernate()
        await wait_all_tasks_blocked()
        assert (await other.session("k").ask("two")).result is not None
        with pytest.raises(tri.SessionElsewhere):
            await one.session("k").ask("three")


async def test_a_host_that_lost_its_lease_writes_no_more(autojump_clock: MockClock) -> None:
    now = [0.0]
    store, agent = MemoryStore(now=lambda: now[0]), new_agent()
    async with tri.open_manager(agent, store=store) as one, tri.open_manager(agent, store=store) as other:
        turn = await one.session("k").send("long", id="1")
        await wait_all_tasks_blocked()  # else its start is not kept, and the other host runs it
        now[0] = 100.0  # it was stopped for longer than its lease
        assert (await other.session("k").ask("two")).result is not None
        outcome = await turn.wait()
        assert outcome.kind == "failed"
        assert outcome.error is not None
        assert isinstance(outcome.error.__cause__, tri.LeaseLost)
        assert str(outcome.error) == (
            "another host has taken the session 'k' over, as this one did not say for Deadlines.lease that it is alive; "
            "it goes on there"
        )
        records = await store.read("k")
        assert [record.seq for record in records] == list(range(1, len(records) + 1))


async def test_a_reader_goes_on_where_it_was(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    limits = tri.Limits(log=1, held_bytes=1)  # nothing but the store has it
    seen: list[Event] = []
    async with tri.open_manager(agent, store=store, limits=limits) as manager:
        await manager.session("k").ask("one")
        async with manager.session("k").subscribe(after=0) as events:
            async for event in events:
                seen.append(event)
                if event.seq == 5:
                    break
    async with tri.open_manager(agent, store=store, limits=limits) as manager:
        session = manager.session("k")
        async with session.subscribe(after=5) as events:
            await session.ask("two")
            last = session.statistics().records
            async for event in events:
                seen.append(event)
                if event.seq == last:
                    break
    assert [event.seq for event in seen] == list(range(1, last + 1))


async def test_a_fork_knows_where_it_came_from_also_before_its_first_turn(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
        await manager.session("k").fork("copy")
        with pytest.raises(tri.SessionExists):
            await manager.session("k").fork("copy")
    async with tri.open_manager(agent, store=store) as manager:
        with pytest.raises(tri.SessionExists):
            await manager.session("k").fork("copy")
        await manager.session("copy").ask("two")
    assert agent.starts[-1].options.fork_session
    head = await store.get_session("copy")
    assert head is not None
    assert (head.parent, head.turns) == ("k", 1)


async def test_a_fork_has_the_options_of_its_original_also_after_a_restart(autojump_clock: MockClock) -> None:
    agent, store = new_agent(), MemoryStore()
    async with tri.open_manager(agent, store=store) as manager:
        original = manager.session("k", options=tri.Options(disallowed_tools=["Bash"], system_prompt="Be brief."))
        await original.ask("one")
        await original.fork("copy")
        await manager.session("copy", options=tri.Options(system_prompt="Be long.")).ask("two")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("copy").fork("copy of a copy")
    async with tri.open_manager(agent, store=store) as manager:
        for key in ("copy", "copy of a copy"):
            await manager.session(key).ask("three")
    options = [start.options for start in agent.starts]
    assert [(each.disallowed_tools, each.system_prompt) for each in options] == [
        (["Bash"], "Be brief."),
        *[(["Bash"], "Be long.")] * 3,
    ]


async def test_a_session_that_is_deleted_is_not_in_the_store(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
        await manager.delete("k")
        assert await store.list_sessions() == []
        await manager.session("k").ask("one")
    assert [start.options.resume for start in agent.starts] == [None, None]


async def test_a_conversation_that_the_agent_does_not_know_any_more_keeps_its_id(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(new_agent(), store=store) as manager:
        await manager.session("k").ask("one")
        first = manager.session("k").session_id
        assert manager.session("k").resume_outcome == "fresh"
    async with tri.open_manager(new_agent(), store=store) as manager:
        session = manager.session("k")
        with pytest.raises(tri.TurnFailed) as caught:
            await session.ask("two")
        assert isinstance(caught.value.__cause__, tri.SessionNotFound)
        assert (session.session_id, session.resume_outcome) == (first, "missing")
        with pytest.raises(tri.InvalidOption, match="on_missing='anew' is neither"):
            manager.session("k", on_missing="anew")  # type: ignore[arg-type]


async def test_or_begins_anew_where_that_is_wanted(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(new_agent(), store=store) as manager:
        await manager.session("k").ask("one")
        first = manager.session("k").session_id
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k", on_missing="fresh")
        assert (await session.ask("two")).result is not None
        assert session.session_id not in (None, first)
        assert session.resume_outcome == "fresh"
        assert [start.options.resume for start in agent.starts] == [first, None]
    head = await store.get_session("k")
    assert head is not None
    assert (head.session_id, head.turns) == (session.session_id, 2)


async def test_a_key_whose_conversation_is_missing_begins_anew_as_the_error_says(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), store=MemoryStore()) as manager:
        session = manager.session("k", options=tri.Options(resume="missing"))
        for _ in range(2):  # the second time without `resume`, which the key has kept
            with pytest.raises(tri.TurnFailed, match=r"or under a manager's key by `session\.reset\(\)`$"):
                await session.ask("one")
            session = manager.session("k")
        await session.reset()
        assert (await session.ask("one")).result is not None


async def test_a_key_is_not_begun_twice(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
    async with tri.open_manager(agent, store=store) as manager:
        with pytest.raises(tri.InvalidOption, match="has a conversation already, so resume cannot begin another one"):
            await manager.session("k", options=tri.Options(resume="another")).ask("two")
    async with tri.open_manager(ScriptedAgent(name="other"), store=store) as manager:
        with pytest.raises(tri.InvalidOption, match="has a conversation with 'scripted', and not with 'other'"):
            await manager.session("k").ask("two")
    assert [prompt.text for prompt in agent.prompts] == ["one"]


async def test_an_id_is_not_begun_twice_either(autojump_clock: MockClock) -> None:
    store, again = MemoryStore(), tri.Options(session_id="5f0c3c3e-0000-4000-8000-000000000000")
    async with tri.open_manager(new_agent(), store=store) as manager:
        await manager.session("k", options=again).ask("one")
    agent = new_agent()  # of another machine: it knows nothing of that
    async with tri.open_manager(agent, store=store) as manager:
        with pytest.raises(tri.SessionIdInUse, match="5f0c3c3e-0000-4000-8000-000000000000 is kept already; resume it"):
            await manager.session("other", options=again).ask("two")
        assert [head.key for head in await store.list_sessions()] == ["k"]
        await manager.delete("k")
        await manager.session("other", options=again).ask("two")
    assert [prompt.text for prompt in agent.prompts] == ["two"]


async def test_prompts_that_come_together_are_all_told_why_they_are_refused(autojump_clock: MockClock) -> None:
    store, again = MemoryStore(), tri.Options(session_id="5f0c3c3e-0000-4000-8000-000000000000")
    async with tri.open_manager(new_agent(), store=store) as manager:
        await manager.session("k", options=again).ask("one")
    told = list[type[Exception]]()

    async def send(session: tri.Session) -> None:
        with pytest.raises(tri.CallerError) as refused:
            await session.send("two")
        told.append(refused.type)

    async with tri.open_manager(ScriptedAgent(name="other"), store=store) as manager:
        for session in (manager.session("k"), manager.session("new", options=again)):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(send, session)
        assert manager.sessions() == []
    assert told == [tri.InvalidOption] * 3 + [tri.SessionIdInUse] * 3
