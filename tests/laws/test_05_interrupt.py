"""Law 5: interrupt settles within its deadline in every state."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild
from triologue.actors.clock import Clock
from triologue.messages import SetModel, TurnEnded, TurnStarted
from triologue.session import effects as do
from triologue.session.ground import INTERRUPT, Ground
from triologue.session.run import Phase
from triologue.testing import (
    Cancelling,
    ChangeModel,
    CloseSession,
    Crash,
    CrashAgent,
    Deaf,
    Fault,
    Hibernate,
    History,
    InterruptSession,
    Operation,
    Pause,
    Program,
    Reset,
    Say,
    ScriptedAgent,
    Send,
    Stall,
    StartFails,
    StartHangs,
    Unread,
    UseTool,
    Wait,
    WriteFails,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    5,
    "Interrupt settles within its deadline in every state.",
    Wild(
        "ts#425",
        "an interrupt in the middle of a model's answer never settled",
        "https://github.com/anthropics/claude-agent-sdk-typescript/issues/425",
    ),
    Wild(
        "ts#429",
        "one before the agent was up did nothing, and said that it had",
        "https://github.com/anthropics/claude-agent-sdk-typescript/issues/429",
    ),
)

ASKING = (UseTool("Bash", asks=True, seconds=3), Say("x"))
STATES: dict[str, tuple[Operation, ...]] = {
    "before start": (),
    "as it is sent": (Send(0),),
    "starting": (Send(0), Pause()),
    "behind one that starts": (Send(0), Send(0), Pause()),
    "in back-off": (Send(0, (Crash(),)), Pause(0.1), Send(0), Pause(0.1)),
    "waiting for room": (Send(1, (Wait(20),)), Pause(), Pause(1), Send(0), Pause()),
    "thinking": (Send(0, (Wait(20),)), Pause(), Pause(1)),
    "speaking": (Send(0, (Say("a b c d e f", every=1),)), Pause(), Pause(2.5)),
    "in a tool": (Send(0, (UseTool("Bash", seconds=20),)), Pause(), Pause(1)),
    "waiting for a permission": (Send(0, ASKING), Pause(), Pause(1)),
    "hung": (Send(0, (Stall(),)), Pause(), Pause(1)),
    "hung and deaf": (Send(0, (Deaf(), Stall())), Pause(), Pause(1)),
    "in a request that hangs": (Send(0), Pause(12), ChangeModel(0, "m"), Pause()),
    "in a turn with a request that hangs": (Send(0, (Wait(20),)), Pause(), ChangeModel(0, "m"), Pause(1)),
    "prompt never read": (Send(0, (Unread(),)), Pause(), Pause(1)),
    "steered": (Send(0, ASKING), Pause(), Send(0, (), "steer"), Pause()),
    "being stopped for a deadline": (Send(0, (Deaf(), Stall())), Pause(), Pause(43)),
    "being interrupted": (Send(0, (Deaf(), Stall())), Pause(), InterruptSession(0), Pause(4.5)),
    "after the result": (Send(0), Pause(), Pause(12)),
    "hibernating": (Send(0), Pause(12), Hibernate(0)),
    "hibernated": (Send(0), Pause(12), Hibernate(0), Pause(6)),
    "restarting": (Send(0, (Stall(),)), Pause(), Pause(1), CrashAgent(0), Send(0), Pause()),
    "closing": (Send(0, (Deaf(), Stall())), Pause(), CloseSession(0), Pause(1)),
    "being reset": (Send(0, (Wait(3),)), Pause(), Reset(0)),
}


class Case(msgspec.Struct, frozen=True):
    """An interrupt in a state, on an agent with its faults."""

    states: tuple[str, ...]
    interrupts: tuple[Operation, ...]
    faults: tuple[Fault, ...]
    start_seconds: float
    max_live: int | None
    retries: bool
    seed: int

    def run(self) -> History:
        before = [operation for state in self.states for operation in STATES[state]]
        program = Program(
            operations=(*before, *self.interrupts, Pause(9), InterruptSession(0), Pause(9)),
            seed=self.seed,
            max_live=self.max_live,
            retries=self.retries,
        )
        agent = ScriptedAgent(start_seconds=self.start_seconds)
        agent.ignores = {SetModel}
        return run_program(program, agent=agent, faults=self.faults)


INTERRUPTS: st.SearchStrategy[Operation] = st.sampled_from(
    [InterruptSession(0), InterruptSession(0), Cancelling(InterruptSession(0), at=1), Pause(), Pause(1), CrashAgent(0)]
)
FAULTS: st.SearchStrategy[Fault] = st.one_of(
    st.builds(StartHangs, st.integers(1, 2)),
    st.builds(StartFails, st.integers(1, 2)),
    st.builds(WriteFails, st.integers(2, 6)),
)
CASES = st.builds(
    Case,
    st.lists(st.sampled_from(sorted(STATES)), min_size=1, max_size=2).map(tuple),
    st.lists(INTERRUPTS, max_size=2).map(lambda more: (InterruptSession(0), *more)),
    st.just(()) | st.lists(FAULTS, max_size=1).map(tuple),
    st.sampled_from([0.0, 0.0, 2.0, 30.0]),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(0, 2**16),
)


def says_what_happened(history: History) -> Iterator[str]:
    """It never raises. After `stopped` and `killed` a turn has ended meanwhile; after `nothing_running` none goes on."""
    begun: dict[str | None, float] = {}
    over: dict[str | None, float] = {}
    for seen in history.events.get("s0", ()):
        if isinstance(seen.event.message, TurnStarted):
            begun[seen.event.turn_id] = seen.time
        elif isinstance(seen.event.message, TurnEnded):
            over[seen.event.turn_id] = seen.time
    for call in history.calls_of(InterruptSession):
        if call.ended is None or call.was_cancelled:
            continue
        if call.error is not None:
            yield call.blame()
            continue
        if call.value in ("stopped", "killed") and not any(call.began <= time <= call.ended for time in over.values()):
            yield f"call {call.number} gave {call.value!r}, and no turn ended from {call.began} to {call.ended}"
        running = [id for id, time in begun.items() if time < call.began and over.get(id, call.ended + 1) > call.ended]
        if call.value == "nothing_running" and running:
            yield f"call {call.number} gave 'nothing_running' at {call.ended}, and {running} ran on"


@LAW.holds(CASES)
def test_an_interrupt_settles_in_every_state(case: Case) -> None:
    """Each state that a session can be in, two of them one after the other, with faults: it is over in time, and says how."""
    check_history(case.run(), (laws.interrupts_settle, laws.one_outcome, says_what_happened))


@LAW.broken_by
def nobody_looks_at_the_clock(patch: pytest.MonkeyPatch) -> None:
    """An interrupt has no deadline: it ends when the agent ends the turn."""
    set_timer = Clock.set

    def forget(self: Any, effect: do.SetTimer) -> None:
        if effect.timer != INTERRUPT:
            set_timer(self, effect)

    patch.setattr(Clock, "set", forget)


@LAW.broken_by
def who_interrupts_what_is_stopped_already_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Where a turn fails for the deadline that it was stopped for, nobody is told who wanted to stop it too."""
    end_run = Ground.end_run

    def end(self: Any, outcome: Any, **more: Any) -> None:
        if self.run is not None and outcome.kind == "failed":
            self.run.stop_tickets.clear()
        end_run(self, outcome, **more)

    patch.setattr(Ground, "end_run", end)


@LAW.broken_by
def a_start_is_not_interrupted(patch: pytest.MonkeyPatch) -> None:
    """A turn whose agent is not up yet is interrupted once it is."""
    end_run = Ground.end_run

    def wait_for_agent(self: Any, outcome: Any, **more: Any) -> None:
        if self.run is None or self.run.phase is not Phase.PENDING or outcome.kind != "interrupted":
            end_run(self, outcome, **more)

    patch.setattr(Ground, "end_run", wait_for_agent)
