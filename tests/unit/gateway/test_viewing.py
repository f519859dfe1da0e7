"""What viewers see: every record once and in order, whatever they read and however fast, or a gap that says so."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import Client, House, covered, house, said
from tests.support.other_agent import OtherAgent
from triologue.actors import Batch, OnceAMinute
from triologue.gateway.attachment import CHUNK_BYTES, Attachment
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.rooms import Item, Room
from triologue.messages import Event, Gap, Message, StreamEvent, SystemMessage, text_delta
from triologue.ports import Agent, Carrier, Connection, Sink
from triologue.protocol import asked, told
from triologue.protocol.events import Labels
from triologue.stores import MemoryStore
from triologue.testing import Line, Say, ScriptedAgent, Wait

BIG = 10_000


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent(max_message_bytes=1 << 20)
    agent.on("long", Wait(300))
    agent.on("story", Say("once upon a time there was", every=1.0))
    agent.on("saga", Say("in the beginning nobody was awake who could have told of it", every=1.0))
    agent.on("quick", Say(" ".join("abcdefghijklmnopqrstuvwxyz1234"), every=0.1))
    agent.on("flood", *[Line(b'{"type":"big","n":%d,"x":"%s"}' % (n, b"x" * BIG)) for n in range(60)])
    odd = b'{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"citations_delta","":"x"}}}'
    agent.on("odd", *[Line(odd)] * 100, Wait(1), Say("done"))
    return agent


@asynccontextmanager
async def stage(
    *, limits: GatewayLimits | None = None, store: MemoryStore | None = None, log_bytes: int = 1 << 24
) -> AsyncGenerator[tuple[House, tri.SessionManager]]:
    async with tri.open_manager(
        new_agent(),
        store=store,
        limits=tri.Limits(log_bytes=log_bytes),
        options=tri.Options(include_partial_messages=True),
    ) as manager:
        async with house(manager, limits=limits) as gateway:
            yield gateway, manager


def texts(events: list[Event]) -> list[str]:
    deltas = [text_delta(event.message) for event in events if isinstance(event.message, StreamEvent)]
    return [delta[1] for delta in deltas if delta is not None]


async def seen_from(gateway: House, after: int) -> list[Event]:
    """All that a new client sees after a position."""
    client = await gateway.client()
    await client.ask(asked.Attach, key="k", after=after)
    await wait_all_tasks_blocked()
    await client.socket.aclose()
    return client.events.get("k", [])


@pytest.mark.parametrize("is_kept", [False, True])
async def test_whoever_comes_sees_all_that_is_kept_after_its_position(is_kept: bool, autojump_clock: MockClock) -> None:
    async with stage(store=MemoryStore() if is_kept else None, log_bytes=500 if is_kept else 1 << 24) as (
        gateway,
        manager,
    ):
        session = manager.session("k")
        for number in range(20):
            await session.ask(f"prompt {number}")
        await trio.sleep(1)
        log = said(await session.read(limit=10_000))
        for after in (0, 1, len(log) // 2, len(log) - 1, len(log)):
            assert said(await seen_from(gateway, after)) == log[after:]


async def test_who_has_seen_another_log_sees_all_of_this_one(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        await manager.session("k").ask("of the first")
        client = await gateway.client()
        first = await client.ask(asked.Attach, key="k", after=0)
        assert isinstance(first, told.Attached)
        same = await client.ask(asked.Attach, key="k", after=first.last, log=first.log)
        assert isinstance(same, told.Attached)
        assert same.log == first.log
        await manager.delete("k")
        for number in range(5):  # so it is longer
            await manager.session("k").ask(f"prompt {number}")
        await wait_all_tasks_blocked()
        client.events.clear()
        other = await client.ask(asked.Attach, key="k", after=first.last, log=first.log)
        assert isinstance(other, told.Attached)
        assert (other.last > first.last, other.log != first.log) == (True, True)
        await wait_all_tasks_blocked()
        assert said(client.events["k"]) == said(await manager.session("k").read(limit=10_000))


async def test_a_log_that_is_kept_is_the_same_one_whoever_serves_it(autojump_clock: MockClock) -> None:
    store, names = MemoryStore(), list[str]()

    async def look(gateway: House) -> None:
        attached = await (await gateway.client()).ask(asked.Attach, key="k", after=0)
        assert isinstance(attached, told.Attached)
        names.append(attached.log)

    async with stage(store=store) as (gateway, manager):
        await look(gateway)  # before anything was said
        await manager.session("k").ask("hello")
        await look(gateway)
    async with stage(store=store) as (gateway, _):
        await look(gateway)
    assert len(set(names)) == 1


async def test_what_is_not_kept_is_a_gap(autojump_clock: MockClock) -> None:
    async with stage(log_bytes=2_000) as (gateway, manager):
        for number in range(20):
            await manager.session("k").ask(f"prompt {number}")
        await trio.sleep(1)
        gap, *rest = await seen_from(gateway, 3)
        assert isinstance(gap.message, Gap)
        assert gap.message.first == 4
        assert [event.seq for event in rest] == list(
            range(gap.message.last + 1, manager.session("k").statistics().records + 1)
        )


async def test_a_position_of_another_log_begins_anew(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        await manager.session("k").ask("hello")
        await trio.sleep(1)
        client = await gateway.client()
        attached = await client.ask(asked.Attach, key="k", after=1_000)
        assert isinstance(attached, told.Attached)
        assert attached.last == manager.session("k").statistics().records
        await wait_all_tasks_blocked()
        assert said(client.events["k"]) == said(await manager.session("k").read())


async def test_partial_text_comes_to_those_who_want_it(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        some, others = await gateway.client(), await gateway.client()
        await some.ask(asked.Attach, key="k")
        await others.ask(asked.Attach, key="k", partials=False)
        await manager.session("k").ask("story")
        await wait_all_tasks_blocked()
        assert "".join(texts(some.events["k"])) == "once upon a time there was"
        assert texts(others.events["k"]) == []
        assert said(some.events["k"]) == said(others.events["k"]) == said(await manager.session("k").read())


async def test_text_that_came_meanwhile_is_one_event_for_who_can_wait(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        eager, patient = await gateway.client(), await gateway.client()
        await eager.ask(asked.Attach, key="k")
        await patient.ask(asked.Attach, key="k", coalesce_ms=1000)
        await manager.session("k").ask("quick")
        await wait_all_tasks_blocked()
        assert len(texts(eager.events["k"])) == 30
        assert len(texts(patient.events["k"])) <= 3  # of what came last the whole message comes instead
        assert "".join(texts(eager.events["k"])).startswith("".join(texts(patient.events["k"])))
        assert said(patient.events["k"]) == said(eager.events["k"])


async def test_text_that_comes_seldom_is_sent_at_once_to_who_can_wait_too(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        patient = await gateway.client()
        await patient.ask(asked.Attach, key="k", coalesce_ms=400)
        await manager.session("k").send("story")  # a word a second
        await trio.sleep(0.2)
        shown = []
        for _ in range(3):
            await trio.sleep(1)
            await wait_all_tasks_blocked()
            shown.append("".join(texts(patient.events["k"])).split())
        assert shown == [["once", "upon"], ["once", "upon", "a"], ["once", "upon", "a", "time"]]


class Overheard(OtherAgent):
    """One whose pipe is told for how long what it says next may wait."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.patience: list[float | None] = []
        """After each piece of text."""

    def connect(self, options: tri.Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        def hear(batch: list[Message]) -> float | None:
            is_text = all(isinstance(message, StreamEvent) for message in batch)
            patience = sink(batch)
            if is_text:
                self.patience.append(patience)
            else:
                assert not patience
            return patience

        return self._agent.connect(options, sink=hear, carrier=carrier)


@pytest.mark.parametrize("is_kept", [False, True])
async def test_text_may_wait_in_the_pipe_while_all_who_read_it_gather_it(
    is_kept: bool, autojump_clock: MockClock
) -> None:
    agent = Overheard(new_agent())
    options = tri.Options(include_partial_messages=True)
    async with (
        tri.open_manager(agent, options=options, store=MemoryStore() if is_kept else None) as manager,
        house(manager) as gateway,
    ):
        session, other, client = manager.session("k"), await gateway.client(), await gateway.client()
        turn = await session.send("saga")  # a word a second
        await trio.sleep(0.5)

        async def next_patience() -> float | None:
            await trio.sleep(1)
            return agent.patience[-1]

        assert await next_patience() == 0  # nobody reads it
        await client.ask(asked.Attach, key="k", coalesce_ms=400)
        assert await next_patience() == 0.4
        await other.ask(asked.Attach, key="k")
        assert await next_patience() == 0
        await other.ask(asked.Attach, key="k", coalesce_ms=30)
        assert await next_patience() == 0.03
        await other.ask(asked.Detach, key="k")
        assert await next_patience() == 0.4
        async with session.subscribe():
            assert await next_patience() == 0
        await turn.wait()


class Eye:
    """Who watches a room."""

    def __init__(self, patience: float = 0.0) -> None:
        self.patience = patience
        self.offered: list[Item] = []

    def offer(self, items: Sequence[Item]) -> None:
        self.offered += items

    def skip(self) -> None:
        raise AssertionError("no record was written elsewhere")

    def end(self, error: tri.TriologueError) -> None:
        raise error


async def test_text_that_comes_at_once_is_not_all_sent_at_once(autojump_clock: MockClock) -> None:
    async with stage() as (_, manager):
        room, eye = Room(manager.session("k"), OnceAMinute()), Eye()
    room.admit(eye)
    text: list[Message] = [StreamEvent.of({"type": "x", "n": n, "text": "x" * 500}) for n in range(100)]
    room.offer(Batch("t", text, 1))
    assert [message for item in eye.offered for message in item.messages] == text
    assert max(len(item.data) for item in eye.offered) < CHUNK_BYTES / 4


async def test_text_that_comes_at_once_is_joined_once_for_all_who_gather_it(autojump_clock: MockClock) -> None:
    async with stage() as (_, manager):
        room, eyes = Room(manager.session("k"), OnceAMinute()), [Eye(0.05), Eye(0.2)]
    for eye in eyes:
        room.admit(eye)
    text: list[Message] = [StreamEvent.of(delta(letter)) for letter in "abc"]
    record = SystemMessage(subtype="x")
    room.offer(Batch("t", text, 1))
    room.offer(Batch("t", [*text, record, *text], 1, 1))
    joined = [StreamEvent.of(delta("abc"))]
    assert [list(item.messages) for item in eyes[0].offered] == [joined, joined, [record], joined]
    assert eyes[1].offered == eyes[0].offered
    room.admit(Eye())
    room.offer(Batch("t", text, 2, 1))
    assert eyes[0].offered[-1].messages == text


def delta(text: str) -> dict[str, object]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


async def test_a_ping_is_answered_in_the_middle_of_a_catch_up(autojump_clock: MockClock) -> None:
    async with stage(store=MemoryStore(), log_bytes=1_000) as (gateway, manager):
        session = manager.session("k")
        for _ in range(5):
            await session.ask("flood")
        await trio.sleep(1)
        client = await gateway.client(slow=True)
        await client.say(client.numbered(asked.Attach, key="k", after=0))
        await client.say(client.numbered(asked.Ping))
        await client.reply(2)
        assert len(client.order) <= 4
        while len(client.events.get("k", [])) < session.statistics().records:
            await trio.sleep(0.1)
        assert len(client.order) > 3_000_000 // (CHUNK_BYTES + 2 * BIG)  # no frame is much longer than a chunk
        assert said(client.events["k"]) == said(await session.read(limit=10_000))


async def test_who_reads_slowly_sees_all_and_holds_little(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(viewer_bytes=100_000, stall=10_000)
    async with stage(store=MemoryStore(), limits=limits, log_bytes=1_000) as (gateway, manager):
        session = manager.session("k")
        slow, quick = await gateway.client(slow=True), await gateway.client()
        await slow.ask(asked.Attach, key="k")
        await quick.ask(asked.Attach, key="k")
        slow.may_read = trio.Event()
        for _ in range(5):
            await session.ask("flood")
        await trio.sleep(1)
        log = said(await session.read(limit=10_000))
        assert said(quick.events["k"]) == log
        assert len(said(slow.events.get("k", []))) < len(log)
        assert gateway.hall.counters.gaps > 0
        assert gateway.hall.statistics().waiting_bytes < limits.viewer_bytes + 3 * CHUNK_BYTES
        slow.may_read.set()
        await trio.sleep(10)
        assert said(slow.events["k"]) == log


async def test_who_reads_slowly_sees_a_gap_where_nothing_is_kept(autojump_clock: MockClock) -> None:
    limits = GatewayLimits(viewer_bytes=100_000, stall=10_000)
    async with stage(limits=limits, log_bytes=50_000) as (gateway, manager):
        slow = await gateway.client(slow=True)
        await slow.ask(asked.Attach, key="k", after=0)
        slow.may_read = trio.Event()
        for _ in range(5):
            await manager.session("k").ask("flood")
        await trio.sleep(1)
        slow.may_read.set()
        await trio.sleep(10)
        assert any(isinstance(event.message, Gap) for event in slow.events["k"])
        assert covered(slow.events["k"]) == list(range(1, manager.session("k").statistics().records + 1))


async def test_who_never_reads_is_closed_and_nobody_else_notices(autojump_clock: MockClock) -> None:
    async with stage(store=MemoryStore()) as (gateway, manager):
        stuck, other = await gateway.client(slow=True), await gateway.client()
        for client in (stuck, other):
            await client.ask(asked.Attach, key="k")
        stuck.may_read = trio.Event()
        await manager.session("k").ask("flood")
        await trio.sleep(29)
        assert len(gateway.hall.guests) == 2
        await trio.sleep(7)
        assert len(gateway.hall.guests) == 1
        assert gateway.hall.statistics().slow_closes == 1
        assert said(other.events["k"]) == said(await manager.session("k").read(limit=1_000))


async def test_who_reads_again_just_in_time_hears_why_it_was_closed(autojump_clock: MockClock) -> None:
    async with stage(store=MemoryStore()) as (gateway, manager):
        stuck = await gateway.client(slow=True)
        await stuck.ask(asked.Attach, key="k", after=0)
        stuck.may_read = trio.Event()
        await manager.session("k").ask("flood")
        await trio.sleep(31)
        stuck.may_read.set()
        closed = await stuck.wait_closed()
        assert closed is not None
        assert closed[0] == 4430
        seqs = [event.seq for event in stuck.events["k"] if event.seq is not None]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_who_says_nothing_at_all_is_closed(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _):
        quiet = await gateway.client(slow=True)
        await trio.sleep(1_000)
        assert len(gateway.hall.guests) == 1  # it answers pings
        quiet.socket._reader_running = False  # and now no more
        await trio.sleep(100)
        assert len(gateway.hall.guests) == 0


async def test_a_session_that_is_deleted_ends_for_who_watches_it(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _):
        client = await gateway.client()
        await client.ask(asked.Attach, key="k")
        await client.ask(asked.Prompt, key="k", prompt="hello")
        await client.until_idle("k")
        assert isinstance(await client.ask(asked.Delete, key="k"), told.Done)
        await wait_all_tasks_blocked()
        assert [(each.key, each.code) for each in client.detached] == [("k", "closed")]
        assert len(gateway.hall.rooms) == 0
        attached = await client.ask(asked.Attach, key="k", after=0)
        assert isinstance(attached, told.Attached)
        assert (attached.state, attached.last) == ("new", 0)


async def test_who_detaches_sees_no_more_and_who_attaches_again_begins_there(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        client = await gateway.client()
        await client.ask(asked.Attach, key="k")
        await client.ask(asked.Attach, key="other")
        assert len(gateway.hall.rooms) == 2
        await client.ask(asked.Detach, key="k")
        assert len(gateway.hall.rooms) == 1
        await manager.session("k").ask("hello")
        await wait_all_tasks_blocked()
        assert client.events == {}
        for _ in range(2):
            await client.ask(asked.Attach, key="k", after=0)
            await wait_all_tasks_blocked()
        log = said(await manager.session("k").read())
        assert said(client.events["k"]) == log + log


async def test_one_reader_of_the_log_serves_all_who_watch(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager):
        clients: list[Client] = [await gateway.client() for _ in range(5)]
        for client in clients:
            await client.ask(asked.Attach, key="k")
        assert (len(gateway.hall.rooms), gateway.hall.statistics().viewers) == (1, 5)
        await manager.session("k").ask("hello")
        await wait_all_tasks_blocked()
        log = said(await manager.session("k").read())
        assert [said(client.events["k"]) for client in clients] == [log] * 5
        for client in clients:
            await client.socket.aclose()
        await wait_all_tasks_blocked()
        assert (len(gateway.hall.rooms), len(gateway.hall.guests)) == (0, 0)


async def test_what_another_program_wrote_meanwhile_is_seen_too(autojump_clock: MockClock) -> None:
    store, agent = MemoryStore(), new_agent()
    async with tri.open_manager(agent, store=store) as manager, house(manager) as gateway:
        client = await gateway.client()
        await client.ask(asked.Attach, key="k", after=0)
        async with tri.open_manager(agent, store=store) as other:
            for number in range(40):
                await other.session("k").ask(f"prompt {number}")
        assert client.events == {}
        await manager.session("k").ask("hello")
        await trio.sleep(1)
        assert said(client.events["k"]) == said(await manager.session("k").read(limit=10_000))


async def test_options_that_fail_for_a_key_are_no_end_of_the_gateway(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    tenants = {"good": tri.Options()}
    async with tri.open_manager(new_agent(), options=tenants.__getitem__) as manager, house(manager) as gateway:
        client = await gateway.client()
        assert await client.fails(asked.Attach, key="bad") == "internal"
        assert await client.fails(asked.Prompt, key="bad", turn="1", prompt="hello") == "internal"
        assert isinstance(await client.ask(asked.Attach, key="good"), told.Attached)
    assert [(record.message, str(record.exc_info and record.exc_info[1])) for record in caplog.records] == [
        ("the session 'bad' cannot be shown", "'bad'"),
        ("a request of the kind 'Prompt' broke", "'bad'"),
    ]


async def test_a_client_that_comes_again_and_again_with_such_a_key_does_not_fill_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    tenants: dict[str, tri.Options] = {}
    async with tri.open_manager(new_agent(), options=tenants.__getitem__) as manager, house(manager) as gateway:
        client = await gateway.client()
        for _ in range(1_000):
            assert await client.fails(asked.Attach, key="bad") == "internal"
        for number in range(5):
            assert await client.fails(asked.Prompt, key="bad", turn=str(number), prompt="hello") == "internal"
        await trio.sleep(60)
        assert await client.fails(asked.Attach, key="worse") == "internal"
    assert caplog.messages == [
        "the session 'bad' cannot be shown",
        "a request of the kind 'Prompt' broke",
        "the session 'worse' cannot be shown (999 more since the last)",
    ]


async def test_a_key_that_always_fails_hides_no_other_cause_from_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def options_of(key: str) -> tri.Options:
        if key == "bad":
            raise KeyError(key)
        raise ValueError("no account left")

    async with tri.open_manager(new_agent(), options=options_of) as manager, house(manager) as gateway:
        client = await gateway.client()
        for key in ("bad", "bad", "worse", "bad", "worst"):
            assert await client.fails(asked.Attach, key=key) == "internal"
        for key in ("bad", "bad", "worse"):
            assert await client.fails(asked.Prompt, key=key, prompt="hello") == "internal"
        await trio.sleep(60)
        assert await client.fails(asked.Attach, key="worse") == "internal"
    assert [(record.message, repr(record.exc_info and record.exc_info[1])) for record in caplog.records] == [
        ("the session 'bad' cannot be shown", "KeyError('bad')"),
        ("the session 'worse' cannot be shown", "ValueError('no account left')"),
        ("a request of the kind 'Prompt' broke", "KeyError('bad')"),
        ("a request of the kind 'Prompt' broke", "ValueError('no account left')"),
        ("the session 'worse' cannot be shown (1 more since the last)", "ValueError('no account left')"),
    ]


async def test_a_bug_in_showing_a_session_ends_its_viewers_and_not_the_session(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as (gateway, manager):
        client = await gateway.client()
        await client.ask(asked.Attach, key="k")
        with monkeypatch.context() as patch:
            patch.setattr(Attachment, "offer", lambda *_: 1 / 0)
            await manager.session("k").ask("hello")
            await wait_all_tasks_blocked()
        assert "cannot be shown" in caplog.text
        assert [(each.key, each.code) for each in client.detached] == [("k", "internal")]
        await client.ask(asked.Attach, key="k", after=0)
        await wait_all_tasks_blocked()
        assert said(client.events["k"]) == said(await manager.session("k").read())


async def test_odd_partials_that_wait_for_a_slow_viewer_harm_nobody(autojump_clock: MockClock) -> None:
    async with stage(limits=GatewayLimits(viewer_bytes=2_000)) as (gateway, manager):
        slow, other = await gateway.client(slow=True), await gateway.client()
        for client in (slow, other):
            await client.ask(asked.Attach, key="k", coalesce_ms=100)
        slow.may_read = trio.Event()
        await manager.session("k").ask("odd")
        slow.may_read.set()
        for client in (slow, other):
            await client.until_idle("k")


def test_an_event_weighs_at_least_what_is_sent_of_it() -> None:
    partials = [StreamEvent.of({"type": "message_start"})] * 3
    item = Item(None, "t" * 256, partials, sum(len(each.line) for each in partials), Labels("k" * 512))
    assert item.size >= len(item.data)
