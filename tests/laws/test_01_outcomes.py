"""Law 1: every accepted turn reaches exactly one outcome."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.messages import Outcome
from triologue.session.ground import Ground
from triologue.session.steering import Steering
from triologue.testing import (
    CancelTurn,
    CrashAgent,
    Fault,
    History,
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
BUSY = programs_of(
    st.builds(Send, st.just(0), st.sampled_from([(), LONG.script])),
    st.builds(Send, st.just(0), scripts(), st.sampled_from(["steer", "steer", "collect", "interrupt"])),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 4.0])),
    st.just(CrashAgent(0)),
    st.builds(CancelTurn, st.just(0), st.integers(0, 2)),
    first=(LONG, Pause(), Pause(1), Send(0, (), "steer"), Pause()),
    leave=st.sampled_from(["normally", "by an error", "cancelled"]),
    retries=st.booleans(),
)


@LAW.holds(st.tuples(BUSY | programs(sessions=1, max_operations=8), faults()))
def test_every_accepted_turn_has_one_outcome(case: tuple[Program, tuple[Fault, ...]]) -> None:
    """Any program, any faults, the block left in any way: the log has one outcome for each turn, and who holds it the same."""
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

    check_history(history, (laws.one_outcome, holders_know))


@LAW.broken_by
def a_steer_is_lost_with_its_agent(patch: pytest.MonkeyPatch) -> None:
    """What an agent was handed while it worked, and did not take up, is forgotten when it dies."""
    patch.setattr(Steering, "lost", lambda self: self._handed.clear())


@LAW.broken_by
def an_interrupt_ends_a_turn_twice(patch: pytest.MonkeyPatch) -> None:
    """An interrupted turn has its outcome at the interrupt, and another at the result that follows."""
    settle = Ground.settle_turn

    def settle_twice(self: Any, turn_id: str, outcome: Outcome) -> None:
        settle(self, turn_id, outcome)
        if outcome.kind == "interrupted":
            settle(self, turn_id, outcome)

    patch.setattr(Ground, "settle_turn", settle_twice)
