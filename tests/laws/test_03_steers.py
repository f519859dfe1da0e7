"""Law 3: a failed steer never disables a later one."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.session.steering import Steering
from triologue.testing import (
    DEADLINES,
    Ask,
    Call,
    Cancelling,
    CancelTurn,
    Crash,
    CrashAgent,
    Deaf,
    Hibernate,
    History,
    InterruptSession,
    Pause,
    Program,
    Say,
    Send,
    Stall,
    UseTool,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    3,
    "A failed steer never disables a later one.",
    Wild(
        "openclaw#148731",
        "one steer that failed, and no later one was tried",
        "https://github.com/openclaw/openclaw/issues/148731",
    ),
)

TOOL = UseTool("Bash", seconds=3)
STEERED = st.sampled_from([(), (Say("x"),), (TOOL,), (Crash(),), (Stall(),), (Deaf(), Stall())])
STEER = st.builds(Send, st.just(0), STEERED, st.just("steer"))

# When all of it is long over (a steer that stalls an agent, deaf as it is, runs again up to five times, 46 seconds each):
# one more turn, and a steer into it.
PROBE = (Pause(2_000), Send(0, (TOOL, TOOL)), Pause(), Pause(1), Send(0, (Say("z"),), "steer"), Pause(100))

PROGRAMS = programs_of(
    STEER,
    STEER,
    st.builds(Cancelling, st.builds(Ask, st.just(0), STEERED, st.just("steer")), st.sampled_from([0.0, 1.0])),
    st.builds(Send, st.just(0), st.sampled_from([(), (TOOL,), (TOOL, TOOL)])),
    st.one_of(
        st.just(InterruptSession(0)),
        st.just(CrashAgent(0)),
        st.builds(CancelTurn, st.just(0), st.integers(0, 1)),
        st.just(Hibernate(0)),
    ),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 2.0, 4.0])),
    first=(Send(0, (TOOL, TOOL, TOOL)), Pause(), Pause(1), Send(0, (), "steer"), Pause()),
    last=PROBE,
    folds=st.booleans(),
    tells_lifecycle=st.booleans(),
    retries=st.booleans(),
)


def last_steer_is_taken(history: History) -> Iterator[str]:
    """The last steer reaches the agent at once, where it can be steered, and has an outcome of its own kind."""
    sent, steer = _probe(history)
    agent = history.agent
    prompts = [prompt for prompt in agent.prompts if prompt.text == f"m{steer.number}."]
    kinds = [ended.outcome.kind for id, ended in history.outcomes().items() if id in (sent.turn_id, steer.turn_id)]
    can_fold = agent.folds and agent.tells_lifecycle
    if kinds != (["merged", "answered"] if can_fold else ["answered", "answered"]):
        yield f"the last two turns ended as {kinds}"
    elif agent.tells_lifecycle and (prompts[0].time, prompts[0].priority) != (steer.began, "next"):
        yield f"the last steer was sent at {steer.began} and reached the agent as {prompts}"


def _probe(history: History) -> list[Call]:
    return list(history.calls_of(Send))[-2:]


@LAW.holds(PROGRAMS)
def test_a_steer_is_taken_whatever_became_of_those_before(program: Program) -> None:
    """Steers that are folded, dropped, withdrawn, lost with their agent, on agents that fold and that do not; then one more."""
    history = run_program(program, deadlines=msgspec.structs.replace(DEADLINES, idle=None))
    check_history(history, (laws.one_outcome, last_steer_is_taken))


@LAW.broken_by
def one_dropped_steer_was_the_last(patch: pytest.MonkeyPatch) -> None:
    """Once an agent has dropped a steer, the session takes it for one that cannot be steered."""
    dropped, can_steer = Steering.dropped, Steering._can_steer
    failed: list[Steering] = []  # kept, so that no other one is taken for it

    def remember(self: Steering, uuid: str) -> bool:
        is_steer = dropped(self, uuid)
        if is_steer:
            failed.append(self)
        return is_steer

    patch.setattr(Steering, "dropped", remember)
    patch.setattr(Steering, "_can_steer", lambda self: all(each is not self for each in failed) and can_steer(self))
