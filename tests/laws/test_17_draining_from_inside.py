"""Law 17: a drain that is asked for from inside a turn ends."""

import msgspec
import pytest
import trio
from hypothesis import strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.calling_back import PLACES, CallingBack
from tests.support.laws import ENDLESS, Law, Wild, play
from triologue.actors import Turn
from triologue.manager import Session, SessionManager
from triologue.manager.draining import Draining
from triologue.options import Overlap
from triologue.testing import (
    Crash,
    Deaf,
    Fail,
    Say,
    ScriptedAgent,
    Stall,
    Step,
    Unread,
    UseTool,
    Wait,
)

LAW = Law(
    17,
    "A drain that is asked for from inside a turn ends.",
    Wild("hermes#77184", "a restart that a turn asked for waited for that turn, until it was killed"),
)

DEADLINES = msgspec.structs.replace(ENDLESS, interrupt=5, drain=10, close=4)
BOUND = DEADLINES.drain + DEADLINES.interrupt + 2 * DEADLINES.close
SESSIONS = 2
PATIENCE = 500.0
"""How long the block lasts where nobody drains."""


class Other(Struct, frozen=True, repr_omit_defaults=True):
    """A prompt beside the one whose turn drains."""

    session: int
    script: tuple[Step, ...]
    overlap: Overlap
    by: str
    after: float


class Case(Struct, frozen=True):
    """A night."""

    where: str
    then: tuple[str, ...]
    """What the callback does when it has drained."""
    script: tuple[Step, ...]
    """What the agent does when it has returned."""
    others: tuple[Other, ...]
    body: str
    start_seconds: float
    tells_lifecycle: bool
    seed: int


ENDS: list[tuple[Step, ...]] = [(), (Stall(),), (Deaf(), Stall()), (Crash(),), (Fail(),), (Wait(7),), (Wait(100),)]
SCRIPTS: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [*ENDS, (Unread(),), (UseTool("Bash", seconds=20),), (UseTool("Bash", asks=True),), (Say("a b", every=6),)]
)
OTHERS = st.builds(
    Other,
    st.integers(0, SESSIONS - 1),
    SCRIPTS,
    st.sampled_from(["queue", "queue", "steer", "collect", "interrupt"]),
    st.sampled_from(["ask", "send", "turn"]),
    st.sampled_from([0.0, 0.0, 1.0, 4.0, 12.0]),
)
THEN = st.sampled_from(
    ["sleep 3", "sleep for ever", "ask the other", "ask itself", "drain", "close", "hibernate", "raise"]
)
CASES = st.builds(
    Case,
    where=st.sampled_from(PLACES),
    then=st.lists(THEN, max_size=2).map(tuple),
    script=st.sampled_from(ENDS),
    others=st.lists(OTHERS, max_size=4).map(tuple),
    body=st.sampled_from(["sleeps", "sleeps", "is left", "raises", "is cancelled"]),
    start_seconds=st.sampled_from([0.0, 2.0]),
    tells_lifecycle=st.booleans(),
    seed=st.integers(0, 2**16),
)


@LAW.holds(CASES)
def test_a_drain_from_inside_a_turn_ends(case: Case) -> None:
    """A tool, hook or permission callback drains the manager, and returns, sleeps, asks, raises ...; other turns run and wait,
    on agents that stall, do not listen, crash: the block ends within its deadlines, and every waiter hears."""
    play(Night(case), seed=case.seed)


@LAW.broken_by
def a_drain_waits_for_what_runs(patch: pytest.MonkeyPatch) -> None:
    """First every turn has to end by itself, the one that asked for the drain among them."""
    drain = Draining._drain

    async def drain_at_last(self: Draining) -> None:
        for turn in [turn for conversation in self._registry for turn in conversation.turns.values()]:
            await turn.wait()
        await drain(self)

    patch.setattr(Draining, "_drain", drain_at_last)


@LAW.broken_by
def subscribers_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """Who reads a log waits for more of it after the end."""
    patch.setattr(SessionManager, "finish", lambda _: None)


class Night:
    """A manager that is drained by one of its turns."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.agent = ScriptedAgent(start_seconds=case.start_seconds, tells_lifecycle=case.tells_lifecycle)
        self.callbacks = CallingBack(self.drain)
        self.agent.on("drain", self.callbacks.step(case.where), *case.script)
        self.turns: list[Turn] = []
        self.drained_at: float | None = None
        self.wrong: list[str] = []

    async def main(self) -> None:
        async with trio.open_nursery() as callers:
            with trio.CancelScope() as scope:
                try:
                    await self.block(callers, scope)
                except tri.TriologueError as error:
                    self.wrong.append(f"the block raised {error!r}")
                except LookupError:
                    pass
            took = trio.current_time() - (self.drained_at if self.drained_at is not None else trio.current_time())
            if took > BOUND:
                self.wrong.append(f"it took {took:g} s, and {BOUND:g} are allowed")
        self.wrong += [f"{turn} has no outcome" for turn in self.turns if turn.outcome is None]
        if self.drained_at is not None and self.agent.live:
            self.wrong.append(f"{self.agent.live} agents are alive")

    async def block(self, callers: trio.Nursery, scope: trio.CancelScope) -> None:
        case = self.case
        options = self.callbacks.options
        async with tri.open_manager(self.agent, options=options, deadlines=DEADLINES) as self.manager:
            for number in range(SESSIONS):
                callers.start_soon(self.listen, self.manager.session(f"s{number}"))
            callers.start_soon(self.ask, Other(0, (), "queue", "ask", 0.0), "drain")
            for number, other in enumerate(case.others):
                self.agent.on(f"m{number}.", *other.script)
                callers.start_soon(self.ask, other, f"m{number}.")
            if case.body == "sleeps":
                await trio.sleep(PATIENCE)
            await trio.sleep(5)
            if case.body == "raises":
                raise LookupError
            if case.body == "is cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()

    # The turn that drains.

    async def drain(self, _: int) -> None:
        self.drained_at = trio.current_time()
        self.manager.drain()
        for what in self.case.then:
            await self.go_on(what)

    async def go_on(self, what: str) -> None:
        """What a callback may do when it has drained; what is refused is refused with one of our errors."""
        own, other = self.manager.session("s0"), self.manager.session("s1")
        try:
            match what:
                case "sleep 3":
                    await trio.sleep(3)
                case "sleep for ever":
                    await trio.sleep_forever()
                case "ask the other":
                    await other.ask("too late")
                case "ask itself":
                    await own.ask("too late")
                case "drain":
                    self.manager.drain()
                case "close":
                    await own.close()
                case "hibernate":
                    await other.hibernate()
                case _:
                    raise LookupError(what)
        except tri.TriologueError:
            pass

    # Others.

    async def listen(self, session: Session) -> None:
        async with session.subscribe(after=0) as events:
            async for _ in events:
                pass

    async def ask(self, other: Other, prompt: str) -> None:
        await trio.sleep(other.after)
        session = self.manager.session(f"s{other.session}")
        try:
            match other.by:
                case "ask":
                    await session.ask(prompt, overlap=other.overlap)
                case "turn":
                    async with session.turn(prompt, overlap=other.overlap) as turn:
                        self.turns.append(turn)
                        async for _ in turn:
                            pass
                case _:
                    turn = await session.send(prompt, overlap=other.overlap)
                    self.turns.append(turn)
                    await turn.wait()
        except tri.TriologueError:
            pass
