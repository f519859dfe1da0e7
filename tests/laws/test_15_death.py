"""Law 15: when the agent dies the running turn ends with a typed reason, and no later send reports success from it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from msgspec import Struct

import triologue as tri
from tests.support.laws import ENDLESS, Law, Wild, programs_of
from triologue.errors import AgentCrashed, AgentStartError, SessionFailed, TurnTimeout
from triologue.messages import TurnEnded
from triologue.session import inputs as on
from triologue.session.losing import Losing
from triologue.testing import (
    AnswerPermission,
    Crash,
    Fault,
    Hibernate,
    History,
    InterruptSession,
    Operation,
    Pause,
    Program,
    Say,
    ScriptedAgent,
    Send,
    Stage,
    Step,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)
from triologue.testing.strategies import faults

LAW = Law(
    15,
    "When the child dies the running turn ends with a typed reason, and no later send reports success from it.",
    Wild("sdk-go#144", "the CLI died, and its client went on to write to it and to report success"),
)

DEADLINES = msgspec.structs.replace(ENDLESS, start=20, drain=0)
CAUSES = (AgentCrashed, AgentStartError, SessionFailed, TurnTimeout)


class Death(Struct, frozen=True):
    """An agent died, with what ran at that moment."""

    time: float
    code: int
    running: tuple[str | None, ...]


class Kill(Operation, frozen=True, repr_omit_defaults=True):
    """Let the agent die."""

    code: int = -9
    session: int = 0

    async def run(self, stage: Stage) -> Death | None:
        """Gives what died with it."""
        connection = stage.agent.connection_of(stage.session(0).session_id)
        if connection is None:
            return None
        uuids = connection.turn.uuids[:1] if connection.turn is not None else []
        connection.die(self.code)
        return Death(stage.call.began, self.code, tuple(uuids))


SCRIPTS: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [
        *((), (Say("a b c", every=1),), (Wait(2),), (UseTool("Bash", seconds=3), Say("x"))),
        *((UseTool("Bash", asks=True, seconds=1),), (Crash(3),), (Say("x"), Wait(1), Crash(0))),
    ]
)
PROGRAMS = programs_of(
    st.builds(Send, st.just(0), SCRIPTS),
    st.builds(Send, st.just(0), SCRIPTS, st.sampled_from(["steer", "collect", "interrupt"])),
    st.builds(Kill, st.sampled_from([-9, 0, 1, 137])),
    st.builds(Pause, st.sampled_from([0.0, 0.0, 1.0, 2.0])),
    st.sampled_from([InterruptSession(0), Hibernate(0), AnswerPermission(0)]),
    first=(Send(0), Pause(1)),
    last=(Pause(1), AnswerPermission(0), AnswerPermission(1), Pause(400), Send(0), Pause(100)),
    most=10,
    retries=st.booleans(),
    tells_lifecycle=st.booleans(),
    partials=st.booleans(),
)


@LAW.holds(st.tuples(PROGRAMS, st.just(()) | faults(), st.sampled_from([0.0, 1.0])))
def test_a_death_ends_the_turn_with_its_reason(case: tuple[Program, tuple[Fault, ...], float]) -> None:
    """Agents that die at any time, with any exit code, at a write or a read: what ran fails at once, with the death as its
    cause, and what is sent later is answered by another agent, or fails."""
    program, wrong, start_seconds = case
    agent = ScriptedAgent(start_seconds=start_seconds, tells_lifecycle=program.tells_lifecycle)
    history = run_program(program, agent=agent, faults=wrong, deadlines=DEADLINES)

    def deaths(history: History) -> Iterator[str]:
        """What ran when an agent died has failed, with the exit code in its cause."""
        ended = {seen.event.turn_id: seen for seen in history.events["s0"] if isinstance(seen.event.message, TurnEnded)}
        for call in history.calls_of(Kill):
            if isinstance(death := call.value, Death) and not program.retries:
                for turn_id in death.running:
                    yield from _wrong_end(death, turn_id, ended.get(turn_id))

    def typed(history: History) -> Iterator[str]:
        """A turn that failed tells which death it was, and none is still under way."""
        told = history.outcomes()
        for turn_id in {id for id, _ in history.messages("s0") if id is not None}:
            outcome = told[turn_id].outcome if turn_id in told else None
            if outcome is None or outcome.reason == "ManagerClosed":
                yield f"the turn {turn_id} did not end"
            elif outcome.kind == "failed" and not isinstance(_cause(outcome), CAUSES):
                yield f"the turn {turn_id} failed by {_cause(outcome)!r}"

    check_history(history, (deaths, typed, laws.answers, laws.one_outcome))


@LAW.broken_by
def a_turn_is_replayed_blindly(patch: pytest.MonkeyPatch) -> None:
    """What ran when the agent died is run again, whatever it had done, and nobody hears of the death."""
    patch.setattr(Losing, "_may_retry", lambda *_: True)


@LAW.broken_by
def a_death_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """A connection that ends ends nothing but itself."""

    def lost(_: Losing, __: on.Lost) -> None:
        pass

    patch.setattr(Losing, "lost", lost)


def _wrong_end(death: Death, turn_id: str | None, seen: Any) -> Iterator[str]:
    if seen is None:
        return  # a turn of the agent's own
    outcome, cause = seen.event.message.outcome, _cause(seen.event.message.outcome)
    if outcome.kind in ("interrupted", "merged"):
        return  # it was being stopped
    is_its_reason = isinstance(cause, AgentCrashed) and cause.exit_code == death.code
    if outcome.kind != "failed" or not is_its_reason or seen.time > death.time:
        yield f"{death}, and the turn {turn_id} ended at {seen.time:g} as {outcome.kind} by {cause!r}"


def _cause(outcome: tri.Outcome) -> BaseException | None:
    return outcome.error.__cause__ if outcome.error is not None else None
