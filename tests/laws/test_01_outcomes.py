"""Law 1: every accepted turn reaches exactly one outcome."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.messages import Outcome, TurnEnded
from triologue.session.ground import Ground
from triologue.session.run import Run
from triologue.session.steering import Steering
from triologue.testing import (
    CancelTurn,
    CrashAgent,
    Fault,
    History,
    Operation,
    Pause,
    Program,
    Send,
    Stage,
    UseTool,
    check_history,
    laws,
    run_program,
)
from triologue.testing.strategies import faults, programs, scripts

LAW = Law(
    1,
    "Every accepted turn reaches exactly one outcome.",
    Wild(
        "openclaw#121831",
        "a message that came in the middle of a run aborted it, and vanished",
        "https://github.com/openclaw/openclaw/issues/121831",
    ),
    Wild("claudeclaw#250", "a promise chain for each session dropped messages by an early return"),
)

# A session that works on long turns, into which prompts come.
LONG = Send(0, (UseTool("Bash", seconds=3), UseTool("Bash", seconds=3)))
BUSY: tuple[st.SearchStrategy[Operation], ...] = (
    st.builds(Send, st.just(0), st.sampled_from([(), LONG.script])),
    st.builds(Send, st.just(0), scripts(), st.sampled_from(["steer", "steer", "collect", "interrupt"])),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 4.0])),
    st.just(CrashAgent(0)),
    st.builds(CancelTurn, st.just(0), st.integers(0, 2)),
)
FIRST = (LONG, Pause(), Pause(1), Send(0, (), "steer"), Pause())
LEFT_EARLY = programs_of(
    *BUSY,
    first=FIRST,
    leave=st.sampled_from(["normally", "by an error", "cancelled"]),
    retries=st.booleans(),
)
# So long that each deadline of each turn has passed.
IN_THE_END = Pause(20_000)
COLLECTED = (LONG, Pause(), Send(0, (), "collect"), Send(0, (), "collect"), Pause(1))
LEFT_LATE = programs_of(*BUSY, first=FIRST, last=(IN_THE_END,), retries=st.booleans()) | programs_of(
    *BUSY, first=COLLECTED, last=(IN_THE_END,), retries=st.booleans()
)


@LAW.holds(st.tuples(st.one_of(LEFT_EARLY, LEFT_LATE, programs(sessions=1, max_operations=8)), faults()))
def test_every_accepted_turn_has_one_outcome(case: tuple[Program, tuple[Fault, ...]]) -> None:
    """Any program, any faults, the block left in any way: the log has one outcome for each turn, and who holds it the same.
    Where the block is not left before that, each turn has it by itself."""
    program, wrong = case
    stages: list[Stage] = []
    history = run_program(program, faults=wrong, setup=stages.append)

    def holders_know(history: History) -> Iterator[str]:
        """Who holds a turn knows the outcome that the log has."""
        told = history.outcomes()
        for turn in (turn for turns in stages[0].turns.values() for turn in turns):
            logged = told[turn.id].outcome.kind if turn.id in told else None
            known = turn.outcome.kind if turn.outcome is not None else None
            if known != logged:
                yield f"of the turn {turn.id} its holder knows {known}, and the log has {logged}"

    def ends_by_itself(history: History) -> Iterator[str]:
        """No turn needs the end of the manager for its own."""
        is_late = program.operations[-1:] == (IN_THE_END,) and history.left is not None
        for seen in history.events.get("s0", ()) if is_late else ():
            if isinstance(seen.event.message, TurnEnded) and seen.time >= (history.left or 0.0):
                yield f"the turn {seen.event.turn_id} ended with its manager: {seen.event.message!r}"

    check_history(history, (laws.one_outcome, holders_know, ends_by_itself))


@LAW.broken_by
def a_steer_is_lost_with_its_agent(patch: pytest.MonkeyPatch) -> None:
    """What an agent was handed while it worked, and did not take up, is forgotten when it dies."""
    patch.setattr(Steering, "lost", lambda self: self._handed.clear())


@LAW.broken_by
def what_is_collected_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A message that goes into another one has its outcome when the manager ends, and not before."""

    def collect(self: Any, run: Run) -> None:
        if run.collects:
            self._mailbox.take_collected()

    patch.setattr(Steering, "collect", collect)


@LAW.broken_by
def an_interrupt_ends_a_turn_twice(patch: pytest.MonkeyPatch) -> None:
    """An interrupted turn has its outcome at the interrupt, and another at the result that follows."""
    settle = Ground.settle_turn

    def settle_twice(self: Any, turn_id: str, outcome: Outcome) -> None:
        settle(self, turn_id, outcome)
        if outcome.kind == "interrupted":
            settle(self, turn_id, outcome)

    patch.setattr(Ground, "settle_turn", settle_twice)
