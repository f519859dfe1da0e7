"""A manager that remembers next to nobody who sleeps is, for who uses its sessions, like one that remembers all."""

import math
import random
from typing import Any, cast

import pytest
import trio
from hypothesis import given, strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.let_go import let_go
from tests.support.one_writer import check_one_writer
from triologue.messages import SettingsChanged
from triologue.stores import MemoryStore
from triologue.testing import ScriptedAgent, Wait, run_virtual

pytestmark = pytest.mark.usefixtures("quick_collector")

KEYS = ("a", "b", "c")


class Deed(Struct, frozen=True):
    """Something that is done with a session, by a handle that is kept for all, or by one of its own; then time passes."""

    what: str
    key: str
    is_kept: bool
    seconds: float


DEEDS = st.lists(
    st.builds(
        Deed,
        st.sampled_from(
            [
                "ask",
                "ask",
                "ask",
                "ask again",
                "long",
                "model",
                "read",
                "reset",
                "hibernate",
                "delete",
                "fork",
                "ask a copy",
                "watch",
            ]
        ),
        st.sampled_from(KEYS),
        st.booleans(),
        st.sampled_from([0.0, 0.0, 2.0, 20.0]),
    ),
    max_size=25,
)


class Story:
    """What happens where so many that sleep are remembered, and what callers see of it.

    Args:
        max_asleep: how many.
    """

    _kept: dict[str, tri.Session]
    _nursery: trio.Nursery

    def __init__(self, max_asleep: int | None) -> None:
        self._limits = tri.Limits(max_asleep=max_asleep)
        self._agent = ScriptedAgent()
        self._agent.on("long", Wait(5))
        self._copies: list[str] = []
        self.seen: list[Any] = []
        self.put_away = 0

    async def run(self, deeds: list[Deed]) -> None:
        options = tri.Options(system_prompt="Be brief.")
        deadlines = tri.Deadlines(idle=1)
        async with (
            tri.open_manager(self._agent, store=MemoryStore(), limits=self._limits, deadlines=deadlines) as manager,
            trio.open_nursery() as self._nursery,
        ):
            self._kept = {key: manager.session(key, options=options) for key in KEYS}
            for session in self._kept.values():
                await session.ask("hello")  # what a handle wants counts from its first use on
            for number, deed in enumerate(deeds):
                session = self._kept[deed.key] if deed.is_kept else manager.session(deed.key)
                try:
                    self.seen.append(await self._do(manager, session, deed.what, number))
                except tri.TriologueError as error:
                    self.seen.append(repr(error))
                del session
                let_go(self._agent)  # else what nobody uses is found where it lies
                await trio.sleep(deed.seconds)
            await trio.sleep(60)
            self.put_away = manager.statistics().put_away
            self.seen += [(each.key, each.cost_usd, each.turns, each.last) for each in await manager.overview()]
        ids = [None, *(start.session_id for start in self._agent.starts)]
        self.seen += [
            (start.options.model, start.options.system_prompt, ids.index(start.options.resume))
            for start in self._agent.starts
        ]

    async def _do(self, manager: tri.SessionManager, session: tri.Session, what: str, number: int) -> Any:
        match what:
            case "ask" | "ask again":  # the latter is sent twice under one id
                return (await session.ask(what, id=what if what == "ask again" else None)).total_cost_usd
            case "long":
                return (await session.send(what)).outcome
            case "model":
                return await session.set_model(f"model {number}")
            case "read":
                events = await session.read()
                models = [each.message.model for each in events if isinstance(each.message, SettingsChanged)]
                return [each.seq for each in events], models, session.statistics().records
            case "reset":
                return await session.reset()
            case "hibernate":
                return await session.hibernate()
            case "delete":
                await manager.delete(session.key)
                return (await self._kept[session.key].ask("hello again")).total_cost_usd
            case "fork":
                self._copies.append(copy := f"{session.key}.{number}")
                return (await (await session.fork(copy)).ask("hello")).total_cost_usd
            case "ask a copy":
                return (await manager.session(self._copies[-1]).ask("hello")).total_cost_usd if self._copies else None
            case _:
                self.seen.append(seqs := list[int | None]())
                return await self._nursery.start(self._watch, session, seqs)

    async def _watch(self, session: tri.Session, seqs: list[int | None], task_status: trio.TaskStatus[None]) -> None:
        with trio.move_on_after(30):
            async with session.subscribe() as events:
                task_status.started()
                while batch := await events.batch():
                    seqs.extend(event.seq for event in batch)


@given(DEEDS, st.integers(0, 2**16))
def test_who_uses_a_session_does_not_see_that_it_was_put_away(deeds: list[Deed], seed: int) -> None:
    """Whatever is done, what is answered, read and started is the same where each session that sleeps is put away for the next."""
    bounded, unbounded = Story(1), Story(None)
    run_virtual(lambda: bounded.run(deeds), seed=seed, max_seconds=10_000)
    run_virtual(lambda: unbounded.run(deeds), seed=seed, max_seconds=10_000)
    assert bounded.seen == unbounded.seen
    assert unbounded.put_away == 0


class Sluggish:
    """A store that takes its time over everything, now and then.

    Args:
        kept: where it is kept.
    """

    def __init__(self, kept: MemoryStore) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kept, name)

        async def call(*given: Any, **named: Any) -> Any:
            await trio.sleep(random.choice([0, 0, 0.1, 0.4]))
            done = await method(*given, **named)
            await trio.sleep(random.choice([0, 0, 0.1, 0.4]))
            return done

        return call


class Crowd:
    """Callers who all come at once, and some of whom leave in the middle."""

    def __init__(self) -> None:
        self.store = MemoryStore(now=trio.current_time)
        self._agent = ScriptedAgent()
        self._agent.on("long", Wait(0.3))
        self._agent.on("model", Wait(0.1))
        self._answered: set[str] = set()
        self._numbers = iter(range(1_000))

    async def run(self, deeds: list[Deed]) -> int:
        """Gives how many were put away."""
        async with (
            tri.open_manager(
                self._agent,
                store=cast("tri.SessionStore", Sluggish(self.store)),
                limits=tri.Limits(max_asleep=1),
                deadlines=tri.Deadlines(idle=0, drain=60),
            ) as manager,
            trio.open_nursery() as nursery,
        ):
            for deed in deeds:
                nursery.start_soon(self._do, manager, deed)
                await trio.sleep(deed.seconds / 10)
                let_go(self._agent)
            await trio.sleep(60)
            return manager.statistics().put_away

    async def _do(self, manager: tri.SessionManager, deed: Deed) -> None:
        with trio.move_on_after(deed.seconds if deed.is_kept else math.inf):
            match deed.what:
                case "read" | "watch":
                    check_whole(await manager.session(deed.key).read())
                case "hibernate":
                    await manager.session(deed.key).hibernate()
                case "model":
                    await manager.session(deed.key).set_model("big")
                case what:
                    turn = await manager.session(deed.key).send(what, id=f"{next(self._numbers)}")
                    if (await turn.wait()).kind == "answered":
                        self._answered.add(turn.id)

    async def check(self) -> None:
        ended = set[str | None]()
        for key in KEYS:
            log = await self.store.read(key, limit=100_000)
            check_one_writer(log)
            ended |= {record.turn_id for record in log if record.kind == "result"}
        assert self._answered <= ended


def check_whole(events: list[tri.Event]) -> None:
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


@given(DEEDS, st.integers(0, 2**16))
def test_a_session_may_be_used_at_the_moment_when_it_is_put_away(deeds: list[Deed], seed: int) -> None:
    """However callers and their leaves fall together with that, nothing is lost, doubled or refused."""

    async def main() -> None:
        crowd = Crowd()
        await crowd.run(deeds)
        await crowd.check()

    run_virtual(main, seed=seed, max_seconds=10_000)
