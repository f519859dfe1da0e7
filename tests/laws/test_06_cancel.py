"""Law 6: cancelling one turn never touches another."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.messages import TurnAccepted
from triologue.session import Session
from triologue.session.mailbox import Mailbox
from triologue.session.run import cancelled
from triologue.session.steering import Steering
from triologue.testing import (
    Ask,
    Cancelling,
    CancelTurn,
    History,
    Pause,
    Program,
    Say,
    Send,
    Stream,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    6,
    "Cancelling one turn never touches another.",
    Wild("deepagents#5937", "the cancellation of one run ended another one"),
)

SESSION = st.integers(0, 1)
# None of these fails by itself, nor takes so long that a deadline passes.
SCRIPTS = st.sampled_from([(), (Say("a b c", every=1),), (Wait(2),), (UseTool("Bash", seconds=2), Say("x"))])
OVERLAPS = st.sampled_from([None, None, "steer", "collect", "reject"])
ASKS = st.builds(Ask, SESSION, SCRIPTS, OVERLAPS)
STREAMS = st.builds(Stream, SESSION, SCRIPTS, OVERLAPS, st.sampled_from([None, 0, 1, 2]))
PROGRAMS = programs_of(
    st.builds(Send, SESSION, SCRIPTS, OVERLAPS),
    ASKS,
    STREAMS,
    st.builds(Cancelling, ASKS | STREAMS, after=st.sampled_from([0.0, 1.0, 3.0])),
    st.builds(Cancelling, ASKS | STREAMS, at=st.integers(1, 4)),
    st.builds(CancelTurn, SESSION, st.integers(0, 3)),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 2.0])),
    first=(Send(0, (UseTool("Bash", seconds=3), Say("x"))), Pause(), Pause(1), Send(0, (), "steer"), Pause()),
    last=(Pause(100),),
    sessions=2,
    folds=st.booleans(),
    tells_lifecycle=st.booleans(),
    max_live=st.sampled_from([None, 1]),
)


def others_are_answered(history: History) -> Iterator[str]:
    """Whoever was not cancelled has an answer, or was merged."""
    touched = {call.turn_id for call in history.calls if _cancels(call)}
    outcomes = history.outcomes()
    for key in history.events:
        for turn_id, message in history.messages(key):
            if isinstance(message, TurnAccepted) and turn_id is not None and turn_id not in touched:
                ended = outcomes.get(turn_id)
                kind = str(ended.outcome.kind) if ended is not None else None
                if ended is not None and kind == "merged":  # then it is in a turn that ran
                    into = outcomes.get(ended.outcome.into or "")
                    kind = kind if into is not None and into.outcome.kind != "cancelled" else "lost with another turn"
                if kind not in ("answered", "merged"):
                    yield f"{key}: nobody cancelled the turn {turn_id}, and it was {kind}: {ended!r}"


def _cancels(call: Any) -> bool:
    """Does this call cancel its turn, or leave it early?"""
    left_early = isinstance(call.operation.inner, Stream) and call.operation.inner.messages is not None
    return call.was_cancelled or left_early or isinstance(call.operation.inner, CancelTurn)


@LAW.holds(PROGRAMS)
def test_who_is_not_cancelled_is_answered(program: Program) -> None:
    """Callers that are cancelled, blocks left early, turns withdrawn, in line, in the agent's hands and at work; all others are answered."""
    check_history(run_program(program), (others_are_answered, laws.one_outcome, laws.endings_have_reasons))


@LAW.broken_by
def a_cancel_stops_what_runs(patch: pytest.MonkeyPatch) -> None:
    """Cancelling a turn interrupts its session, also where the turn only waits."""
    withdraw = Session._withdraw

    def stop(self: Any, turn_id: str) -> None:
        run = self.run
        withdraw(self, turn_id if run is None or run.turn_id == turn_id else run.turn_id)

    patch.setattr(Session, "_withdraw", stop)


@LAW.broken_by
def what_would_be_merged_goes_along(patch: pytest.MonkeyPatch) -> None:
    """With a message that waits, those go that would have gone into it."""
    remove = Mailbox.remove

    def remove_all(self: Any, turn_id: str) -> bool:
        is_removed = remove(self, turn_id)
        if is_removed:
            self.take_collected()
        return is_removed

    patch.setattr(Mailbox, "remove", remove_all)


@LAW.broken_by
def what_is_dropped_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    """A prompt that an agent drops, since the turn before it was interrupted, ends with that turn."""

    def end(self: Any, turns: list[Any]) -> None:
        for turn in turns:
            self._session.settle_turn(turn.turn_id, cancelled("dropped"))

    patch.setattr(Steering, "_give_back", end)
