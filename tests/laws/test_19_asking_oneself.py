"""Law 19: asking oneself never hangs."""

import itertools
from collections.abc import Sequence

import pytest
import trio
from hypothesis import strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.calling_back import PLACES, CallingBack
from tests.support.laws import ENDLESS, Law, Wild, play
from triologue.actors import Home, Turn, turn
from triologue.manager import Session, intake
from triologue.options import Overlap
from triologue.session import inputs as on
from triologue.supervision.circles import Circles
from triologue.testing import Say, ScriptedAgent, Step, Wait

LAW = Law(
    19,
    "Asking oneself never hangs.",
    Wild(
        "triologue, before its first release",
        "a tool that asked its own session waited for the turn that waited for it",
    ),
)

SESSIONS = 3
ASKING = ("ask", "turn", "send and wait", "send and iterate", "send and cancel", "send")
LEAVING = ("hibernate", "interrupt", "close", "reset", "set model", "status")


class Act(Struct, frozen=True, repr_omit_defaults=True):
    """What a callback of a turn does to a session, and what the callbacks of the turn do that it asks for."""

    where: str
    what: str
    session: int
    overlap: Overlap | None = None
    after: float = 0.0
    inner: tuple["Act", ...] = ()


class Case(Struct, frozen=True):
    """What comes from outside, all at once."""

    acts: tuple[Act, ...]
    tells_lifecycle: bool
    folds: bool
    max_live: int | None
    seed: int


def acts(depth: int) -> st.SearchStrategy[Act]:
    """Acts that go so deep."""
    places = st.sampled_from(PLACES), st.sampled_from(ASKING), st.integers(0, SESSIONS - 1)
    overlaps: Sequence[Overlap | None] = (None, None, "steer", "interrupt", "collect")
    inner = st.lists(acts(depth - 1), max_size=2).map(tuple) if depth else st.just(())
    ask = st.builds(Act, *places, st.sampled_from(overlaps), st.sampled_from([0.0, 0.0, 1.0]), inner)
    return ask if depth > 2 else ask | ask | st.builds(Act, places[0], st.sampled_from(LEAVING), places[2])


CASES = st.builds(
    Case,
    st.lists(acts(3), min_size=1, max_size=3).map(tuple),
    tells_lifecycle=st.booleans(),
    folds=st.booleans(),
    max_live=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 2**16),
)


@LAW.holds(CASES)
def test_asking_oneself_never_hangs(case: Case) -> None:
    """Tools, hooks and permission callbacks ask, read, cancel, hibernate, close ... their own and other sessions, in circles
    too, with room for all of them or for few, without any deadline: each call gives something or raises one of our errors, and every turn ends."""
    play(Circle(case), seed=case.seed)


@LAW.broken_by
def only_who_asks_itself_straight_is_refused(patch: pytest.MonkeyPatch) -> None:
    """A circle by way of another session is not seen."""
    patch.setattr(Home, "reaches", lambda self, other: self is other)


@LAW.broken_by
def callbacks_are_not_known_for_what_they_are(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits, it is taken for somebody from outside."""
    for module in (turn, intake):
        patch.setattr(module, "current_home", lambda: None)


@LAW.broken_by
def hibernating_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    """A callback may wait until its own session has nothing to do."""
    patch.setattr(Session, "hibernate", lambda self: self._leave(on.Rest))


@LAW.broken_by
def room_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    """A callback may wait for a session that finds no room before it returns."""
    patch.setattr(Circles, "look", lambda self: None)


class Circle:
    """Sessions whose callbacks use each other."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agent = ScriptedAgent(tells_lifecycle=case.tells_lifecycle, folds=case.folds)
        self.callbacks = CallingBack(self.called)
        self.numbers = itertools.count()
        self.acts: dict[int, Act] = {}
        self.turns: list[Turn] = []
        self.wrong: list[str] = []

    async def main(self) -> None:
        options = self.callbacks.options
        limits = tri.Limits(max_live=self.case.max_live)
        async with tri.open_manager(self.agent, options=options, deadlines=ENDLESS, limits=limits) as self.manager:
            async with trio.open_nursery() as nursery:
                for act in self.case.acts:
                    nursery.start_soon(self.perform, act)
            for turn in self.turns:
                await turn.wait()

    async def called(self, number: int) -> None:
        await self.perform(self.acts[number])

    async def perform(self, act: Act) -> None:
        await trio.sleep(act.after)
        try:
            await self.use(self.manager.session(f"s{act.session}"), act)
        except tri.TriologueError:
            pass
        except Exception as error:  # noqa: BLE001 - the law is broken
            self.wrong.append(f"{act}: {error!r}")

    async def use(self, session: Session, act: Act) -> None:
        match act.what:
            case "ask":
                await session.ask(self.prompt(act), overlap=act.overlap)
            case "turn":
                async with session.turn(self.prompt(act), overlap=act.overlap) as turn:
                    self.turns.append(turn)
                    async for _ in turn:
                        pass
            case "hibernate":
                await session.hibernate()
            case "interrupt":
                await session.interrupt()
            case "close":
                await session.close()
            case "reset":
                await session.reset()
            case "set model":
                await session.set_model("m")
            case "status":
                await session.get_mcp_status()
            case _:
                await self.hold(await session.send(self.prompt(act), overlap=act.overlap), act.what)

    async def hold(self, turn: Turn, what: str) -> None:
        self.turns.append(turn)
        match what:
            case "send and wait":
                await turn.wait()
            case "send and iterate":
                async for _ in turn:
                    pass
            case "send and cancel":
                await turn.cancel()
            case _:
                pass

    def prompt(self, act: Act) -> str:
        """A prompt at which the agent calls back for each of the inner acts."""
        prompt = f"m{next(self.numbers)}."
        self.agent.on(prompt, *(self.step(inner) for inner in act.inner), Wait(0.5), Say(prompt))
        return prompt

    def step(self, act: Act) -> Step:
        number = next(self.numbers)
        self.acts[number] = act
        return self.callbacks.step(act.where, number)
