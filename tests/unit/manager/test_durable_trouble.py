"""Sessions of a store when something is in their way: a slow disk, a full one, a cancelled caller, another host."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.broken_log import BrokenHandler
from tests.support.scripted_agent import ScriptedAgent as LinkedAgent
from tests.support.slow_store import SlowLeases, SlowStore, kinds
from triologue.agents.mirrors import entries_of
from triologue.engine import OfflineModel, Transcripts
from triologue.manager import latest_of
from triologue.messages import Event, Gap, TranscriptMirror
from triologue.ports import Append, Restored, TranscriptEntry
from triologue.stores import MemoryStore
from triologue.testing import (
    CancelAt,
    Crash,
    ScriptedAgent,
    StartFails,
    StoreFails,
    UseTool,
    Wait,
    run_virtual,
    with_faults,
    with_store_faults,
)


def new_agent(name: str = "scripted") -> ScriptedAgent:
    agent = ScriptedAgent(name=name)
    agent.on("long", Wait(300))
    return agent


async def head_of(store: tri.SessionStore, key: str = "k") -> tri.StoredSession:
    head = await store.get_session(key)
    assert head is not None
    return head


async def leave_unfinished(store: MemoryStore, agent: ScriptedAgent, *prompts: str, **options: object) -> None:
    """A host that is drained at once: the first prompt is interrupted, and the others wait in the store."""
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        for number, prompt in enumerate(prompts, start=1):
            await manager.session("k").send(prompt, id=str(number), **options)  # type: ignore[arg-type]


class Stray:
    """Tells of files that are no history."""

    def __init__(self, agent: LinkedAgent) -> None:
        self._agent = agent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def mirrored(self, options: tri.Options) -> tri.Options:
        return options

    def entries_of(self, mirror: TranscriptMirror, options: tri.Options) -> list[TranscriptEntry]:
        return entries_of(mirror, "/c/projects")

    def restore(self, options: tri.Options, entries: Sequence[TranscriptEntry]) -> Any:
        return nullcontext(Restored(options))


async def test_an_agent_that_tells_of_files_that_are_no_history_does_not_fill_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    agent = LinkedAgent()
    async with tri.open_manager(Stray(agent), store=MemoryStore()) as manager:
        await manager.session("k").ask("hi")
        agent.link.say(*[TranscriptMirror.of("/etc/passwd", [b"{}"])] * 2_000)
    line = "the session 'k': what its agent tells of its history is not kept: '/etc/passwd' is no history below '/c/projects'"
    assert caplog.messages == [line] * 10 + [f"{line} (100 by now)", f"{line} (1000 by now)"]


async def test_a_reset_of_a_session_that_is_awake_is_kept(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        await session.ask("one")
        await session.reset()
        assert (await head_of(store)).session_id is None
        await session.ask("two")
    assert [start.options.resume for start in agent.starts] == [None, None]


async def test_what_was_said_before_a_reset_is_found_and_gone_on_with(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        await session.reset()  # of nothing nothing is kept
        await session.ask("one")
        first = session.session_id
        assert first is not None
        await store.label("k", title="The first", tags=["old"])
        await session.reset()
        await session.ask("two")
        await session.hibernate()
        await session.reset()
        second = (await store.list_sessions(prefix="k@"))[0].session_id
    async with tri.open_manager(agent, store=store) as manager:
        old = await store.get_session(first)
        assert old is not None
        assert (old.key, old.parent, old.title, old.tags, old.turns) == (f"k@{first}", "k", "The first", ("old",), 1)
        await manager.session(old.key).ask("three")
    assert agent.starts[-1].options.resume == first
    assert [head.key for head in await store.list_sessions()] == [f"k@{first}", "k", f"k@{second}"]
    assert (await head_of(store)).session_id is None


async def test_a_setting_that_is_changed_while_it_is_awake_is_kept_when_that_is_told(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        await session.ask("one")
        await session.set_model("big")
        assert (await head_of(store.kept)).settings["model"] == "big"
        await session.hibernate()
        await wait_all_tasks_blocked()
        store.is_full = True
        with pytest.raises(tri.StoreError, match="the disk is full"):
            await session.set_model("small")
        with pytest.raises(tri.StoreError, match="the disk is full"):
            await session.fork("copy")
        assert await store.kept.get_session("copy") is None


async def test_prompts_that_were_merged_are_not_lost(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    agent.on("short", Wait(10))
    agent.on("A\n\nB\n\nC", Wait(100))
    async with tri.open_manager(agent, store=store.as_store, deadlines=tri.Deadlines(drain=0)) as manager:
        await manager.session("k").send("short")
        for text in "ABC":
            await manager.session("k").send(text, id=text, overlap="collect")
        await trio.sleep(50)
        store.is_full = True  # what becomes of it is not kept
    async with tri.open_manager(agent, store=store.kept, restart=tri.RestartPolicy(retry_turn=True)) as manager:
        (recovered,) = await manager.recover()
        assert (await recovered.turn.wait()).kind == "answered"
        # One that went into it is answered by it, also now.
        assert (await manager.session("k").ask("C", id="C")).result == (await recovered.turn.wait()).unwrap().result
    assert [prompt.text for prompt in agent.prompts] == ["short", *["A\n\nB\n\nC"] * 2]


async def test_prompts_that_were_to_be_merged_are_turns_of_their_own_on_another_host(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        for text in ("long", "A", "B"):
            await manager.session("k").send(text, overlap="collect")
            await wait_all_tasks_blocked()
    async with tri.open_manager(agent, store=store) as manager:
        assert [(await each.turn.wait()).kind for each in await manager.recover()] == ["answered"] * 2
    assert [prompt.text for prompt in agent.prompts] == ["long", "A", "B"]


async def test_a_prompt_that_steers_and_was_dropped_waits_for_the_next_host(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    agent.on("busy", UseTool("Bash", seconds=100))
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        await manager.session("k").send("busy")
        await wait_all_tasks_blocked()
        turn = await manager.session("k").send("look here", overlap="steer")
        await wait_all_tasks_blocked()
        assert [prompt.text for prompt in agent.prompts] == ["busy", "look here"]
    assert isinstance((await turn.wait()).error, tri.ManagerClosed)
    async with tri.open_manager(agent, store=store) as manager:
        (recovered,) = await manager.recover()
        assert (recovered.turn.id, (await recovered.turn.wait()).kind) == (turn.id, "answered")
    assert [prompt.text for prompt in agent.prompts] == ["busy", "look here", "look here"]
    assert len({prompt.uuid for prompt in agent.prompts}) == 3
    assert (await head_of(store)).unfinished == ()


@pytest.mark.parametrize("at", range(1, 13))
async def test_a_reset_that_is_cancelled_is_done_or_is_not(at: int, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with tri.open_manager(new_agent(), store=store) as manager:
        session = manager.session("k")
        await session.ask("one")
        with trio.CancelScope() as scope:
            trio.lowlevel.add_instrument(CancelAt(scope, at))
            await session.reset()
        await session.ask("two")
        heads = await store.list_sessions()
        assert len({head.session_id for head in heads}) == len(heads)
        assert sum(head.turns for head in heads) == 2


async def test_a_reset_that_a_crash_has_cut_off_is_done_again(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
        head = await head_of(store)
        aside = f"k@{head.session_id}"
        lease, _ = await store.acquire(aside, owner="a host that died", ttl=0)
        await store.append(Append(lease=lease, session=replace(head, key=aside, last_seq=0)))
        await manager.session("k").hibernate()
        await manager.session(aside).ask("two")
        await manager.session("k").reset()
        assert (await head_of(store)).session_id is None
    assert (await head_of(store, aside)).turns == 2


async def test_a_reset_that_a_cancellation_has_cut_off_is_done_again_while_the_old_one_is_in_use(
    autojump_clock: MockClock,
) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        await session.ask("one")
        aside = f"k@{session.session_id}"
        await session.hibernate()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.reset)
            while await store.kept.get_session(aside) is None:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        running = await manager.session(aside).send("long")
        await session.reset()
        assert (await running.wait()).kind == "answered"
    assert (await head_of(store.kept)).session_id is None


async def test_resets_at_once_begin_anew_once(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        for _ in range(5):
            await session.ask("one")
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(session.reset)
    assert len(await store.list_sessions(prefix="k@")) == 5


async def test_a_reset_of_a_key_that_is_the_id_of_another_session_sets_nothing_aside(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
        id = manager.session("k").session_id
        assert id is not None
        await manager.session(id).reset()
    assert [head.key for head in await store.list_sessions(prefix="k")] == ["k"]


async def test_what_a_reset_has_set_aside_counts_once_and_is_not_the_latest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    store, agent, folder = MemoryStore(), new_agent(), str(tmp_path)

    async def latest() -> str | None:
        head = await latest_of(store, folder, agent=None)
        return head.key if head is not None else None

    async with tri.open_manager(agent, store=store, options=tri.Options(cwd=tmp_path)) as manager:
        await manager.session("before").ask("one")
        session = manager.session("k")
        await session.ask("one")
        aside = f"k@{session.session_id}"
        await session.reset()
        assert await latest() == "before"
        assert [(line.key, line.turns) for line in await manager.overview("k")] == [("k", 0), (aside, 1)]
        await manager.session(aside).ask("two")
        assert await latest() == aside
        await session.ask("two")
        assert await latest() == "k"
    assert {head.key: head.turns for head in await store.list_sessions(prefix="k")} == {"k": 1, aside: 2}


async def test_a_command_that_waited_is_run_as_a_command(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), LinkedAgent()

    async def run_command(session: tri.Session) -> None:
        with pytest.raises(tri.ManagerClosed):
            await session.command("/compact")

    async with trio.open_nursery() as nursery:
        async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
            session = manager.session("k")
            await session.send("wait 400")
            nursery.start_soon(run_command, session)
            await wait_all_tasks_blocked()
            await session.send("/compact is what I said")
            await wait_all_tasks_blocked()
    async with tri.open_manager(agent, store=store) as manager:
        for recovered in await manager.recover():
            await recovered.turn.wait()
    sent = [message for message in agent.links[-1].sent if isinstance(message, tri.UserMessage)]
    assert [(prompt.content, prompt.client_composed) for prompt in sent] == [
        ("/compact", False),
        ("/compact is what I said", True),
    ]


async def test_a_session_that_was_hibernated_is_free_for_others(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as one, tri.open_manager(agent, store=store) as other:
        for manager in (one, other, one):
            await manager.session("k").ask("mine")
            await manager.session("k").hibernate()
    assert [start.options.resume is None for start in agent.starts] == [True, False, False]


async def test_hibernating_waits_no_longer_for_a_session_that_is_woken_meanwhile(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        await session.ask("one")
        hibernated = trio.Event()

        async def hibernate() -> None:
            await session.hibernate()
            hibernated.set()

        store.hold()
        nursery.start_soon(hibernate)
        await wait_all_tasks_blocked()
        assert (session.state, hibernated.is_set()) == ("hibernated", False)
        nursery.start_soon(session.send, "two")
        await wait_all_tasks_blocked()
        assert hibernated.is_set()
        store.go_on()


async def test_who_interrupts_or_closes_a_session_that_falls_asleep_waits_for_no_disk(
    autojump_clock: MockClock,
) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        await session.ask("one")
        store.hold()
        nursery.start_soon(session.hibernate)
        await wait_all_tasks_blocked()
        assert session.state == "hibernated"
        began = trio.current_time()
        assert await session.interrupt() == "nothing_running"
        await session.close()
        assert trio.current_time() == began
        store.go_on()
        assert (await session.ask("two")).result is not None


async def test_what_was_accepted_once_is_taken_in_whatever_the_limit_is_now(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    await leave_unfinished(store, agent, "long", "2", "3", "4", "5")
    async with tri.open_manager(agent, store=store, limits=tri.Limits(mailbox=1)) as manager:
        recovered = await manager.recover()
        assert [(await each.turn.wait()).kind for each in recovered] == ["answered"] * 4
        with pytest.raises(tri.InvalidOption, match="belongs to another prompt"):
            await manager.session("k").send("another", id="3")
    assert (await head_of(store)).unfinished == ()


async def test_one_session_that_cannot_be_recovered_stops_no_other(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, agent, other = MemoryStore(), new_agent(), new_agent("other")
    await leave_unfinished(store, agent, "long", "two")
    async with tri.open_manager(other, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        await manager.session("its own").send("long")
        await manager.session("its own").send("two", id="2")
    async with tri.open_manager(other, store=store) as manager:
        with caplog.at_level(logging.WARNING):
            (recovered,) = await manager.recover()
        assert recovered.key == "its own"
        assert "the session 'k' cannot be recovered: the key 'k' has a conversation with 'scripted'" in caplog.text
        # And the agent that it is with can still be named.
        assert (await manager.session("k", agent=agent).ask("three")).result is not None


async def test_a_caller_that_is_cancelled_keeps_no_lease(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with (
        tri.open_manager(new_agent(), store=store.as_store) as one,
        tri.open_manager(new_agent(), store=store.as_store) as other,
    ):
        store.hold()
        with trio.move_on_after(1):
            await one.session("k").set_model("big")
        store.go_on()
        await wait_all_tasks_blocked()
        assert (await other.session("k").ask("one")).result is not None


async def test_a_disk_that_does_not_answer_holds_up_no_one_for_ever(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    began = trio.current_time()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        turn = await manager.session("k").send("long")
        await wait_all_tasks_blocked()
        store.hold()
        assert await manager.session("k").interrupt() == "stopped"
        assert trio.current_time() == began
        outcome = await turn.wait()
        assert isinstance(outcome.error, tri.TurnFailed)
        assert str(outcome.error) == "the store did not keep the session 'k' within 30 s"


@pytest.mark.parametrize("trouble", ["a full disk", "a lost lease"])
async def test_who_reads_a_turn_when_its_session_cannot_be_kept_any_more_hears_that_it_is_over(
    trouble: str, autojump_clock: MockClock
) -> None:
    store, kinds_of_end = SlowStore(), list[str]()

    async def read(turn: tri.Turn) -> None:
        assert not [message async for message in turn if isinstance(message, tri.ResultMessage)]
        assert turn.outcome is not None
        kinds_of_end.append(turn.outcome.kind)

    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        turns = [await session.send(prompt) for prompt in ("long", "two")]
        for turn in turns:
            nursery.start_soon(read, turn)
        await wait_all_tasks_blocked()
        if trouble == "a full disk":
            store.is_full = True
            with pytest.raises(tri.StoreError):
                await session.send("three")
        else:
            store.kept = MemoryStore()  # which lends nothing to this host
        with trio.fail_after(60):
            await turns[0].wait()
            await wait_all_tasks_blocked()
        assert sorted(kinds_of_end) == ["cancelled", "failed"]


async def test_leases_that_cannot_be_renewed_break_no_manager_whose_log_cannot_be_told(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, store = BrokenHandler(), with_store_faults(MemoryStore(), StoreFails(1, "renew"))
    logging.getLogger("triologue").addHandler(handler)
    try:
        async with tri.open_manager(new_agent(), store=store) as manager:
            assert not (await manager.session("k").ask("long")).is_error
    finally:
        logging.getLogger("triologue").removeHandler(handler)
    assert "RuntimeError: nobody can be told" in capsys.readouterr().err


async def test_an_error_that_many_are_told_of_shows_each_only_where_it_is_itself(autojump_clock: MockClock) -> None:
    store, shown = SlowStore(), list[int]()

    async def send(session: tri.Session) -> None:
        with pytest.raises(tri.StoreError, match="the disk is full") as refused:
            await session.send("one")
        shown.append(len(refused.traceback))

    async with tri.open_manager(new_agent(), store=store.as_store) as manager:
        await manager.session("k").send("long")
        store.hold()
        store.is_full = True
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(send, manager.session("k"))
            await wait_all_tasks_blocked()
            store.go_on()
    assert shown == shown[:1] * 3


async def test_whoever_waits_for_the_disk_when_the_manager_is_left_hears_of_it(autojump_clock: MockClock) -> None:
    store = SlowStore()
    errors: list[Exception] = []

    async def send(session: tri.Session) -> None:
        try:
            await session.send("one")
        except tri.TriologueError as error:
            errors.append(error)

    async with trio.open_nursery() as outside:
        async with tri.open_manager(new_agent(), store=store.as_store, deadlines=tri.Deadlines(drain=0)) as manager:
            store.hold()
            outside.start_soon(send, manager.session("k"))
            await wait_all_tasks_blocked()
    assert len(errors) == 1


class FullStore(SlowStore):
    """Nor are leases written, once it is full."""

    async def acquire(self, *args: Any, **more: Any) -> Any:
        self._refuse()
        return await self.kept.acquire(*args, **more)

    async def release(self, lease: tri.Lease) -> None:
        self._refuse()
        await self.kept.release(lease)

    def _refuse(self) -> None:
        if self.is_full:
            raise tri.StoreError("the disk is full")


async def test_a_full_disk_is_told_of_once_for_each_session(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = FullStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager:
        for key in "ab":
            await manager.session(key).ask("one")
        store.is_full = True
        for key in "aabb":
            with pytest.raises(tri.StoreError):
                await manager.session(key).send("two")
            await wait_all_tasks_blocked()
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == [
        "the session 'a' cannot be kept: the disk is full",
        "the session 'b' cannot be kept: the disk is full",
    ]


async def test_turns_that_wait_when_the_disk_is_full_go_on_later_and_are_told_so(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        await session.send("long", id="1")
        waiting = await session.send("two", id="2")
        store.is_full = True
        with pytest.raises(tri.StoreError):
            await session.send("three", id="3")
        outcome = await waiting.wait()
        assert (outcome.kind, str(outcome.error)) == (
            "cancelled",
            "the turn is kept, and runs when its session is used next, or by recover(): the disk is full",
        )
        store.is_full = False
        assert (await session.ask("two", id="2")).result is not None
    assert [prompt.text for prompt in agent.prompts] == ["long", "two"]
    assert await kinds(store.kept, "k") == [
        *("#turn_accepted", "#turn_started", "#turn_accepted"),
        *("#turn_ended", "#turn_started", "#turn_ended"),
    ]


async def test_a_turn_whose_start_cannot_be_kept_goes_on_later_and_is_told_so(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        running = await session.send("long", id="1")
        waiting = await session.send("two", id="2")
        await wait_all_tasks_blocked()
        store.is_full = True
        await session.interrupt()  # the end of the one and the start of the other go to the disk together
        outcomes = [await running.wait(), await waiting.wait()]
        assert [(outcome.kind, str(outcome.error)) for outcome in outcomes] == [
            ("failed", "the disk is full"),
            (
                "cancelled",
                "the turn is kept, and runs when its session is used next, or by recover(): the disk is full",
            ),
        ]
        store.is_full = False
        assert (await session.ask("two", id="2")).result is not None
    assert [prompt.text for prompt in agent.prompts] == ["long", "two"]


async def test_a_turn_that_its_own_host_could_not_keep_is_not_lost_by_its_death(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager:
        session = manager.session("k")
        await session.send("long", id="1")
        await wait_all_tasks_blocked()
        store.is_full = True
        with pytest.raises(tri.StoreError):
            await session.send("two", id="2")
        store.is_full = False
        (lost,) = await manager.recover()
        outcome = await lost.turn.wait()
    assert str(outcome.error) == "the turn '1' had started, and it could not be kept; nobody can tell how far it got"


async def test_a_turn_that_is_recovered_while_the_disk_is_full_goes_on_later_and_is_told_so(
    autojump_clock: MockClock,
) -> None:
    store, agent = SlowStore(), new_agent()
    await leave_unfinished(cast("MemoryStore", store.kept), agent, "long", "two")
    async with tri.open_manager(agent, store=store.as_store) as manager:
        store.is_full = True
        (recovered,) = await manager.recover()
        with trio.fail_after(60):
            outcome = await recovered.turn.wait()
        assert (outcome.kind, str(outcome.error)) == (
            "cancelled",
            "the turn is kept, and runs when its session is used next, or by recover(): the disk is full",
        )
        store.is_full = False
        (again,) = await manager.recover()
        assert ((await again.turn.wait()).kind, manager.turns()) == ("answered", [])
    assert [prompt.text for prompt in agent.prompts] == ["long", "two"]


async def test_who_found_a_turn_that_is_not_accepted_then_hears_so(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        await session.ask("one")
        store.hold()

        async def send() -> None:
            with pytest.raises(tri.StoreError):
                await session.send("two", id="2")

        async def read(turn: tri.Turn) -> None:
            with trio.fail_after(60):
                assert not [message async for message in turn]

        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        found = await session.find("2")
        assert found is not None
        assert manager.turns() == [found]
        nursery.start_soon(read, found)
        await wait_all_tasks_blocked()
        store.is_full = True
        store.go_on()
        with trio.fail_after(60):
            outcome = await found.wait()
        assert (outcome.kind, outcome.reason, str(outcome.error)) == ("failed", "StoreError", "the disk is full")
        assert (manager.turns(), await session.find("2"), manager.statistics().turns) == ([], None, {"answered": 1})


async def test_options_that_fail_for_one_key_keep_no_other_from_being_recovered(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        for key in ("bad", "good"):
            await manager.session(key).send("long", id="1")
            await manager.session(key).send("two", id="2")

    def options(key: str) -> tri.Options:
        if is_broken and key == "bad":
            raise LookupError("no such tenant")
        return tri.Options()

    is_broken = True
    async with tri.open_manager(agent, store=store, options=options) as manager:
        (good,) = await manager.recover()
        is_broken = False
        (bad,) = await manager.recover()
        assert [(each.key, (await each.turn.wait()).kind) for each in (good, bad)] == [
            ("good", "answered"),
            ("bad", "answered"),
        ]
    told = [(record.message, bool(record.exc_info)) for record in caplog.records]
    assert told == [("the session 'bad' cannot be recovered", True)]


async def test_explain_says_that_the_store_is_waited_for(autojump_clock: MockClock) -> None:
    store = SlowStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
        session = manager.session("k")
        await session.ask("one")
        said: list[str | None] = []
        store.hold()
        nursery.start_soon(session.ask, "two")
        await wait_all_tasks_blocked()
        said.append(manager.explain("k").waits_for)
        store.go_on()
        turn = await session.send("long")
        await wait_all_tasks_blocked()
        store.hold()
        await session.interrupt()
        said += [manager.explain("k").waits_for, manager.explain("k").state]
        store.go_on()
        await turn.wait()
        said.append(manager.explain("k").waits_for)
    assert said == ["the store to keep the prompt", "the store to keep what was said", "idle", None]


async def test_explain_says_that_the_end_of_a_lost_turn_waits_for_the_store(autojump_clock: MockClock) -> None:
    store, agent = SlowStore(), new_agent()
    async with (
        tri.open_manager(agent, store=store.as_store) as manager,
        tri.open_manager(agent, store=store.as_store) as other,
        trio.open_nursery() as nursery,
    ):
        await manager.session("k").send("long", id="1")
        await wait_all_tasks_blocked()
        store.is_full = True
        with pytest.raises(tri.StoreError):
            await manager.session("k").send("two", id="2")
        await wait_all_tasks_blocked()
        store.is_full = False
        store.hold()
        nursery.start_soon(other.recover)
        await wait_all_tasks_blocked()
        assert [turn.id for turn in other.turns()] == ["1"]
        assert other.explain("k").waits_for == "the store to keep what was said"
        store.go_on()
        await wait_all_tasks_blocked()
        assert (other.turns(), other.explain("k").waits_for) == ([], None)


async def test_a_reader_sees_what_another_host_did_meanwhile(autojump_clock: MockClock) -> None:
    store, agent, seen = MemoryStore(), new_agent(), list[Event]()

    async def listen(session: tri.Session, task_status: trio.TaskStatus[None]) -> None:
        async with session.subscribe(after=0) as events:
            task_status.started()
            async for event in events:
                seen.append(event)

    async with tri.open_manager(agent, store=store) as one, tri.open_manager(agent, store=store) as other:
        async with trio.open_nursery() as nursery:
            await one.session("k").ask("one")
            await nursery.start(listen, one.session("k"))
            for manager, prompt in ((other, "two"), (one, "three")):
                await one.session("k").hibernate()
                await other.session("k").hibernate()
                await wait_all_tasks_blocked()
                await manager.session("k").ask(prompt)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert not any(isinstance(event.message, Gap) for event in seen)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert len(seen) >= len(await store.read("k")) - 1  # it sleeps once more when the manager is left


async def test_a_turn_that_is_only_remembered_has_no_messages_but_an_end(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one", id="1")
    async with tri.open_manager(agent, store=store) as manager:
        turn = await manager.session("k").send("one", id="1")
        assert [message async for message in turn] == []


async def test_options_that_are_named_later_win_and_others_are_kept(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    secret = {"env": {"KEY": "secret"}, "system_prompt": "Be brief.", "disallowed_tools": ["Bash"]}
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k", options=tri.Options(**secret))  # type: ignore[arg-type]
        await session.ask("one")
        await session.hibernate()
        await manager.session("k", options=tri.Options(model="big")).ask("two")
    assert "secret" not in repr(await head_of(store))
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k", options=tri.Options(system_prompt="Be long.")).ask("three")
    assert [
        (start.options.model, start.options.system_prompt, start.options.disallowed_tools) for start in agent.starts
    ] == [
        (None, "Be brief.", ["Bash"]),
        ("big", "Be brief.", ["Bash"]),
        ("big", "Be long.", ["Bash"]),
    ]


async def test_an_option_that_cannot_be_kept_takes_the_place_of_one_that_was(autojump_clock: MockClock) -> None:
    store, agent, odd = MemoryStore(), new_agent(), {"is no JSON": object()}
    async with tri.open_manager(agent, store=store) as manager:
        for options in (tri.Options(sandbox={"enabled": True}), tri.Options(sandbox=odd), None):
            session = manager.session("k", options=options)
            await session.ask("hello")
            await session.hibernate()
    assert [start.options.sandbox for start in agent.starts] == [{"enabled": True}, odd, odd]


async def test_paths_are_kept_as_their_text(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k", options=tri.Options(add_dirs=[Path("/a"), "/b"], cli_path=Path("/c"))).ask("one")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("two")
    assert [(start.options.add_dirs, start.options.cli_path) for start in agent.starts] == [
        ([Path("/a"), "/b"], Path("/c")),
        (["/a", "/b"], "/c"),
    ]


async def test_the_folder_is_pinned(autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, agent = MemoryStore(), new_agent()
    monkeypatch.chdir(tmp_path)
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k", options=tri.Options(cwd="work")).ask("one")
    monkeypatch.chdir("/")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("two")
    async with tri.open_manager(agent, store=store) as manager:
        with pytest.raises(tri.InvalidOption, match=r"works in '.*work', where its agent keeps its history"):
            await manager.session("k", options=tri.Options(cwd="/elsewhere")).ask("three")
    assert [start.options.cwd for start in agent.starts] == [str(tmp_path / "work")] * 2


async def test_a_folder_stays_where_the_same_one_was_named_by_a_relative_path(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, here = new_agent(), tri.Options(cwd=".")
    agent.on("die", Crash())
    monkeypatch.chdir(tmp_path)
    async with tri.open_manager(agent, store=MemoryStore()) as manager:
        session = manager.session("k")
        await session.ask("one")
        manager.session("k", options=here)
        monkeypatch.chdir("/")
        with pytest.raises(tri.TurnFailed):
            await session.ask("die")
        await session.ask("two")
        await session.hibernate()
        with pytest.raises(tri.InvalidOption, match="use another key for another folder"):
            manager.session("k", options=here)
        await session.ask("three")
    assert [start.options.cwd for start in agent.starts] == [str(tmp_path)] * 3


@pytest.mark.parametrize("is_put_away", [False, True])
async def test_a_folder_that_was_wrong_is_corrected_where_no_agent_has_begun_in_it(
    is_put_away: bool, autojump_clock: MockClock, tmp_path: Path
) -> None:
    store, agent = MemoryStore(), new_agent()
    failing = with_faults(agent, StartFails(at=1))
    async with tri.open_manager(failing, store=store) as manager:
        session = manager.session("k", options=tri.Options(cwd=tmp_path / "wrnog"))
        with pytest.raises(tri.TurnFailed):
            await session.ask("one")
        if is_put_away:
            await manager.put_away("k")
        session = manager.session("k", options=tri.Options(cwd=tmp_path))
        await session.ask("two")
        with pytest.raises(tri.InvalidOption, match="use another key for another folder"):
            manager.session("k", options=tri.Options(cwd=tmp_path / "elsewhere"))
        await session.hibernate()
        await session.ask("three")
    kept = await store.get_session("k")
    assert kept is not None
    assert kept.cwd == str(tmp_path)
    assert [start.options.cwd for start in agent.starts] == [str(tmp_path)] * 2


@pytest.mark.parametrize("is_function", [False, True])
async def test_a_wrong_folder_of_the_manager_stays_with_no_key_that_no_agent_has_begun(
    is_function: bool, autojump_clock: MockClock
) -> None:
    store, agent = MemoryStore(), new_agent()
    now = tri.Options(cwd="/wrnog")
    async with tri.open_manager(
        with_faults(agent, StartFails(at=1)), store=store, options=(lambda _: now) if is_function else now
    ) as manager:
        with pytest.raises(tri.TurnFailed):
            await manager.session("k").ask("one")
        now = tri.Options(cwd="/usr")
        if is_function:
            await manager.session("k").ask("two")
    for folder in ("/usr", "/elsewhere"):
        async with tri.open_manager(agent, store=store, options=tri.Options(cwd=folder)) as manager:
            await manager.session("k").ask("three")
    assert {start.options.cwd for start in agent.starts} == {"/usr"}
    assert (await head_of(store)).cwd == "/usr"


async def test_a_folder_that_was_named_for_a_session_stays_before_an_agent_has_begun_in_it(
    autojump_clock: MockClock,
) -> None:
    store, agent, elsewhere = MemoryStore(), new_agent(), tri.Options(cwd="/elsewhere")
    async with tri.open_manager(with_faults(agent, StartFails(at=1)), store=store, options=elsewhere) as manager:
        with pytest.raises(tri.TurnFailed):
            await manager.session("k", options=tri.Options(cwd="/usr")).ask("one")
    for is_reset in (False, True, False):
        async with tri.open_manager(agent, store=store, options=elsewhere) as manager:
            if is_reset:
                await manager.session("k").reset()
            else:
                await manager.session("k").ask("two")
    assert [start.options.cwd for start in agent.starts] == ["/usr"] * 2


@pytest.mark.parametrize("is_function", [False, True])
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("is_awake", [False, True])
async def test_a_key_that_is_reset_stays_in_the_folder_in_which_its_agent_had_begun(
    is_awake: bool, is_restarted: bool, is_function: bool, autojump_clock: MockClock
) -> None:
    store, agent = MemoryStore(), new_agent()
    elsewhere = tri.Options(cwd="/elsewhere")
    async with tri.open_manager(agent, store=store, options=tri.Options(cwd="/usr")) as manager:
        await manager.session("k").ask("one")
    for is_first in (True, False):
        async with tri.open_manager(
            agent, store=store, options=(lambda _: elsewhere) if is_function else elsewhere
        ) as manager:
            session = manager.session("k")
            if is_first and is_awake:
                await session.ask("two")
            if is_first:
                await session.reset()
            if not (is_first and is_restarted):
                await session.ask("three")
    assert {start.options.cwd for start in agent.starts} == {"/usr"}


async def test_what_was_accepted_for_a_folder_runs_there_and_a_copy_where_its_original_does(
    autojump_clock: MockClock,
) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(
        agent, store=store, options=tri.Options(cwd="/usr"), deadlines=tri.Deadlines(drain=0)
    ) as manager:
        await manager.session("original").ask("one")
        await manager.session("original").fork("copy")
        await manager.session("k").send("long")
        await manager.session("k").send("two")
    async with tri.open_manager(agent, store=store, options=tri.Options(cwd="/elsewhere")) as manager:
        await manager.recover()
        await manager.session("k").ask("three")
        await manager.session("copy").ask("four")
    assert {start.options.cwd for start in agent.starts} == {"/usr"}


async def test_another_folder_is_refused_while_the_agent_is_started_in_the_first(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        turn = await manager.session("k", options=tri.Options(cwd="/usr")).send("one")
        assert manager.session("k").state == "starting"
        with pytest.raises(tri.InvalidOption, match="use another key for another folder"):
            manager.session("k", options=tri.Options(cwd="/elsewhere"))
        await turn.wait()
        await manager.session("k").hibernate()
        await manager.session("k").ask("two")
    assert [start.options.cwd for start in agent.starts] == ["/usr"] * 2
    assert (await head_of(store)).cwd == "/usr"


async def test_a_folder_that_is_named_for_an_agent_that_began_in_none_is_kept(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), tri.Embedded(model=OfflineModel(), transcripts=Transcripts())
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("one")
        assert (await head_of(store)).cwd is None
        await manager.session("k", options=tri.Options(cwd="/usr")).ask("two")
        assert (await head_of(store)).cwd == "/usr"
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("k").ask("three")
        with pytest.raises(tri.InvalidOption, match="works in '/usr'"):
            manager.session("k", options=tri.Options(cwd="/elsewhere"))


@pytest.mark.parametrize("is_awake", [False, True])
async def test_who_wants_another_folder_is_refused_and_nobody_else(is_awake: bool, autojump_clock: MockClock) -> None:
    agent = new_agent()
    agent.on("die", Crash())
    async with tri.open_manager(agent, store=MemoryStore()) as manager:
        first = manager.session("k")
        late = manager.session("k", options=tri.Options(cwd="/elsewhere"))  # which begins with its first use
        await manager.session("k", options=tri.Options(cwd="/usr")).ask("one")
        if not is_awake:
            await first.hibernate()
        with pytest.raises(
            tri.InvalidOption, match="works in '/usr', where its agent keeps its history, and not in '/"
        ):
            manager.session("k", options=tri.Options(cwd="/elsewhere"))
        for _ in range(2):
            with pytest.raises(tri.InvalidOption, match="use another key for another folder"):
                await late.ask("two")
        with pytest.raises(tri.TurnFailed):
            await first.ask("die")
        await manager.session("k", options=tri.Options(cwd="/usr")).ask("three")
    assert {str(start.options.cwd) for start in agent.starts} == {"/usr"}


@pytest.mark.parametrize("kept", ["/usr/", "/usr/./lib/", Path("/usr/lib")])
async def test_a_folder_is_the_same_however_it_is_written(kept: str | Path, autojump_clock: MockClock) -> None:
    store, agent, options = MemoryStore(), new_agent(), tri.Options(cwd=kept)
    for _ in range(2):
        async with tri.open_manager(agent, store=store) as manager:
            for _ in range(2):
                await manager.session("k", options=options).ask("hello")
                await manager.session("k").hibernate()
    assert {str(start.options.cwd) for start in agent.starts[1:]} == {str(Path(kept))}
    assert (await head_of(store)).cwd == str(Path(kept))


async def test_what_is_put_away_is_forgotten_here_and_kept_there(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager, tri.open_manager(agent, store=store) as other:
        await manager.session("k").ask("one")
        await manager.put_away("k")
        assert manager.sessions() == []
        assert (await head_of(store)).turns == 1
        assert await store.holders(["k"]) == {}
        await other.session("k").ask("two")
    assert [start.options.resume is None for start in agent.starts] == [True, False]


async def test_delete_and_send_at_once(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager:
        session = manager.session("k")
        await session.ask("one")

        async def send() -> None:
            try:
                await session.ask("two")
            except (tri.StoreError, tri.TurnError):
                pass

        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(manager.delete, "k")
                nursery.start_soon(send)
            began = trio.current_time()
            assert (await session.ask("three")).result is not None
            assert trio.current_time() - began < 1


def test_who_deletes_what_is_woken_while_the_disk_is_slow_does_not_wait_for_it_to_sleep() -> None:
    outcomes: list[str] = []

    async def story() -> None:
        store, never_idle = SlowStore(), tri.Deadlines(idle=None)
        async with tri.open_manager(new_agent(), store=store.as_store, deadlines=never_idle) as manager:
            session = manager.session("k")
            await session.ask("one")

            async def send() -> None:
                outcomes.append((await (await session.send("long")).wait()).kind)

            store.hold()
            async with trio.open_nursery() as nursery:
                for forget in 2 * [manager.delete, manager.put_away]:
                    nursery.start_soon(forget, "k")
                    await trio.sleep(2.5)  # its agent is gone, and its last words are on their way
                nursery.start_soon(send)
                await trio.sleep(10)
                store.go_on()
            assert (trio.current_time(), manager.sessions()) == (20, [])

    run_virtual(story, max_seconds=1000, max_passes=500)
    assert len(outcomes) == 1


def test_who_deletes_what_somebody_takes_from_a_slow_store_waits_and_does_not_ask_again_and_again() -> None:
    class SlowReads(SlowStore):
        async def read(self, key: str, **what: Any) -> list[tri.Record]:
            await trio.sleep(20)
            return await self.kept.read(key, **what)

    async def story() -> None:
        store = SlowReads()
        async with tri.open_manager(new_agent(), store=store.as_store) as manager, trio.open_nursery() as nursery:
            await manager.session("k").ask("one")
            await manager.session("k").hibernate()
            nursery.start_soon(partial(manager.session("k").send, "two", id="2"))  # is it known? The store is asked
            await wait_all_tasks_blocked()
            await manager.delete("k")
            assert (trio.current_time(), await store.kept.get_session("k")) == (20, None)

    run_virtual(story, max_passes=500)


async def test_who_uses_a_session_when_its_manager_is_left_hears_that_it_was(autojump_clock: MockClock) -> None:
    """Also who waits for the store then, and would write to it afterwards."""
    store = SlowStore()
    async with trio.open_nursery() as nursery:

        async def reset(session: tri.Session) -> None:
            with pytest.raises(tri.ManagerClosed, match="was left, so nothing more of the session 'k' is kept"):
                await session.reset()

        async with tri.open_manager(new_agent(), store=store.as_store) as manager:
            await manager.session("k").ask("one")
            await manager.session("k").hibernate()
            store.hold()
            nursery.start_soon(reset, manager.session("k"))
            await wait_all_tasks_blocked()
        store.go_on()
    async with tri.open_manager(new_agent("other"), store=store.as_store) as manager:
        await manager.delete("k")  # the lease was given back


async def test_a_fork_onto_a_key_of_the_store(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    await leave_unfinished(store, agent, "long", "two")
    async with tri.open_manager(agent, store=store) as manager:
        await manager.session("original").ask("one")
        with pytest.raises(tri.SessionExists):
            await manager.session("original").fork("k")
        assert manager.session("k").pid is None
        assert (await manager.session("k").ask("three")).result is not None


@pytest.mark.parametrize("looks", [False, True])
async def test_what_another_host_has_begun_meanwhile_goes_on_also_where_it_was_to_begin(
    looks: bool, autojump_clock: MockClock
) -> None:
    agent, store = new_agent(), MemoryStore()
    chosen = tri.Options(session_id="5f0c3c3e-0000-4000-8000-000000000000")
    async with tri.open_manager(agent, store=store) as here, tri.open_manager(agent, store=store) as there:
        await here.session("k").ask("one")
        copy, new = await here.session("k").fork("copy"), here.session("new", options=chosen)
        await new.set_model("big")
        for session in (copy, new):
            other = there.session(session.key)
            await other.ask("two")
            await other.hibernate()
            if looks:
                await session.read()
            await session.ask("three")
            assert agent.starts[-1].options.resume == session.session_id == other.session_id


async def test_a_store_with_a_bug_breaks_no_manager(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(SlowStore):
        async def renew(self, leases: Sequence[tri.Lease], *, ttl: float) -> list[tri.Lease]:
            raise KeyError("renew")

        async def release(self, lease: tri.Lease) -> None:
            raise KeyError("release")

    async with tri.open_manager(new_agent(), store=Odd().as_store) as manager:
        await manager.session("k").ask("one")
        await trio.sleep(70)
        await manager.session("k").hibernate()
        assert (await manager.session("k").ask("two")).result is not None
    line = "1 leases could not be renewed: KeyError('renew')"
    assert [said for said in caplog.messages if "renewed" in said] == [line, f"{line} (11 more since the last)"]


@pytest.mark.parametrize("what", [{"id": "\ud800"}, {"key": "\ud800"}])
async def test_half_a_character_is_refused(what: dict[str, str], autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent(), store=MemoryStore()) as manager:
        with pytest.raises(tri.InvalidOption, match="half a character"):
            await manager.session(what.get("key", "k")).send("one", id=what.get("id"))


class Older:
    """A store that was written before a store had all that it has now."""

    acquire = renew = release = append = get_session = list_sessions = read = read_transcript = label = MemoryStore.read


async def test_what_is_no_store(autojump_clock: MockClock) -> None:
    for wrong in (MemoryStore, 7):
        with pytest.raises(tri.InvalidOption, match="is no path of a file, and no SessionStore"):
            async with tri.open_manager(new_agent(), store=wrong):  # type: ignore[arg-type]
                pass
    with pytest.raises(tri.InvalidOption, match=r"Older object.* lacks methods of a SessionStore: holders, delete$"):
        async with tri.open_manager(new_agent(), store=Older()):  # type: ignore[arg-type]
            pass
    with pytest.raises(tri.InvalidOption, match=r"Deadlines\(lease=0\)"):
        async with tri.open_manager(new_agent(), deadlines=tri.Deadlines(lease=0)):
            pass


class TardyStore(SlowStore):
    """It tells a second later that something was done."""

    async def delete(self, key: str) -> bool:
        was_there = await self.kept.delete(key)
        await trio.sleep(1)
        return was_there

    async def acquire(self, key: str, **how: Any) -> Any:
        acquired = await self.kept.acquire(key, **how)
        await trio.sleep(1)
        return acquired


async def test_who_is_cancelled_while_it_is_deleted_has_deleted_it(autojump_clock: MockClock) -> None:
    store = TardyStore()
    async with tri.open_manager(new_agent(), store=store.as_store) as manager:
        session = manager.session("k")
        await session.ask("one")
        await session.hibernate()
        with trio.move_on_after(0.5):
            await manager.delete("k")
        assert (session.state, await store.kept.get_session("k")) == ("new", None)
        assert (await session.ask("two")).result == "two"
        assert await kinds(store.kept, "k") == ["#turn_accepted", "#turn_started", "#turn_ended"]


async def test_who_is_cancelled_at_a_first_use_keeps_nobody_else_away(autojump_clock: MockClock) -> None:
    store, agent = TardyStore(), new_agent()
    async with (
        tri.open_manager(agent, store=store.as_store) as manager,
        tri.open_manager(agent, store=store.as_store) as other,
    ):
        with trio.move_on_after(0.5):
            await manager.session("k").set_model("m")
        assert (await other.session("k").ask("two")).result == "two"


@pytest.mark.parametrize("seed", range(20))
def test_a_caller_that_leaves_as_it_comes_does_not_let_two_others_take_the_session(seed: int) -> None:
    """Neither where it comes at the moment when its lease is given back, and another one with it."""

    async def story() -> None:
        async with (
            tri.open_manager(new_agent(), store=SlowLeases().as_store) as manager,
            trio.open_nursery() as nursery,
        ):
            session = manager.session("k")

            async def come(after: float, patience: float) -> None:
                await trio.sleep(after)
                with trio.move_on_after(patience):
                    await session.ask("more")

            await session.ask("hello")
            nursery.start_soon(session.close)
            for after, patience in ((1, 0), (1, 10), (1.5, 10)):
                nursery.start_soon(come, after, patience)

    run_virtual(story, seed=seed)
