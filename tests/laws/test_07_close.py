"""Law 7: after close nothing is left, in bounded time, whoever closes and whatever cancels that."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.errors import TriologueError
from triologue.messages import McpStatus
from triologue.session import Session
from triologue.session.link import Purpose
from triologue.session.losing import Losing
from triologue.testing import (
    Ask,
    Cancelling,
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
    ScriptedAgent,
    Send,
    Stage,
    Stall,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)
from triologue.testing.laws import GRACE
from triologue.testing.strategies import faults, scripts

LAW = Law(
    7,
    "After close: no descendant process, no waiter, in bounded time, whichever task calls it and whatever cancels that "
    "task.",
    Wild(
        "py#378",
        "`close()` had no time limit, and spun at 100 % CPU",
        "https://github.com/anthropics/claude-agent-sdk-python/issues/378",
    ),
    Wild(
        "daydream#266",
        "a teardown that was not shielded crashed under a cancellation",
        "https://github.com/existential-birds/daydream/pull/266",
    ),
)


class CloseAndLook(Operation, frozen=True):
    """Close a session, and see which of the agents that it had are alive afterwards."""

    session: int = 0

    async def run(self, stage: Stage) -> list[int]:
        session_id = stage.session(self.session).session_id
        before = [each for each in stage.agent.connections if each.session_id == session_id]
        await stage.session(self.session).close()
        return [each.number for each in before if not each.is_gone]


class AskStatus(Operation, frozen=True):
    """Ask the agent for something that is no turn; it is started for that, if need be, and does not answer."""

    session: int = 0

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await stage.session(self.session).get_mcp_status()


SESSION = st.integers(0, 1)
SCRIPTS = scripts() | st.sampled_from(
    [(Deaf(), Stall()), (Stall(),), (UseTool("Bash", asks=True),), (Wait(5), Crash())]
)
SENDS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Send, SESSION, SCRIPTS), st.builds(Ask, SESSION, SCRIPTS), st.builds(AskStatus, SESSION)
)
CLOSES: st.SearchStrategy[Operation] = st.builds(CloseAndLook, SESSION) | st.builds(CloseSession, SESSION)
PROGRAMS = programs_of(
    SENDS,
    SENDS,
    CLOSES,
    st.builds(Cancelling, SENDS | CLOSES, after=st.sampled_from([0.0, 1.0, 6.0])),
    st.builds(Cancelling, SENDS | CLOSES, at=st.integers(1, 4)),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 4.0])),
    st.sampled_from([CrashAgent(0), Hibernate(0), InterruptSession(0), Reset(0)]),
    sessions=2,
    leave=st.sampled_from(["normally", "by an error", "cancelled"]),
    max_live=st.sampled_from([None, 1]),
    retries=st.booleans(),
)


def closes_in_time(history: History) -> Iterator[str]:
    """A session closes within an interrupt and a close, a manager within a drain and these; its agents are gone then."""
    deadlines = history.deadlines
    one = deadlines.interrupt + 2 * deadlines.close + GRACE
    for call in history.calls_of(CloseSession, CloseAndLook):
        if call.ended is not None and call.ended - call.began > one:
            yield f"call {call.number} {call.operation!r} took {call.ended - call.began:.3f} s and not {one:.3f}"
        if isinstance(call.value, list) and call.value:
            yield f"call {call.number} closed the session, and its agents {call.value} live"
    assert isinstance(history.program, Program)
    patience = deadlines.drain if history.program.leave == "normally" else 0.0
    if history.left is not None and history.closed is not None and history.closed - history.left > patience + one:
        yield f"the manager's block took {history.closed - history.left:.3f} s to leave, and not {patience + one:.3f}"


def nobody_waits(history: History) -> Iterator[str]:
    """Every call has ended, and no later than the manager's block."""
    for call in history.calls:
        if call.ended is None or (history.closed is not None and call.ended > history.closed):
            yield f"call {call.number} {call.operation!r} ended at {call.ended}, and the manager at {history.closed}"


@LAW.holds(st.tuples(PROGRAMS, faults(), st.sampled_from([0.0, 0.0, 10.0])))
def test_nothing_is_left_after_a_close(case: tuple[Program, tuple[Fault, ...], float]) -> None:
    """Sessions closed in every state, the block left in every way, closers cancelled, with faults: no agent, no waiter, in time."""
    program, wrong, start_seconds = case
    agent = ScriptedAgent(start_seconds=start_seconds)
    agent.ignores = {McpStatus}
    history = run_program(program, agent=agent, faults=wrong)
    check_history(history, (laws.nothing_remains, laws.one_outcome, closes_in_time, nobody_waits))


@LAW.broken_by
def a_close_waits_for_the_turn(patch: pytest.MonkeyPatch) -> None:
    """The turn that runs is not interrupted by a close: it ends when it ends."""
    begin = Session._begin_leave

    def wait(self: Any, event: Any) -> None:
        run, self.run = self.run, None
        begin(self, event)
        self.run = run

    patch.setattr(Session, "_begin_leave", wait)


@LAW.broken_by
def who_asked_the_agent_waits_on(patch: pytest.MonkeyPatch) -> None:
    """Who waits for the agent's answer to a request is not told that the agent is gone."""

    def give_up(_: Losing, request_id: str, purpose: Purpose, error: TriologueError) -> None:
        pass

    patch.setattr(Losing, "_give_up", give_up)


@LAW.broken_by
def only_one_who_closes_is_told(patch: pytest.MonkeyPatch) -> None:
    """Of several who close a session together, the first hears that it is done."""
    settle = Session._settle_rest

    def tell_one(self: Any) -> None:
        del self._leaves[1:]
        settle(self)

    patch.setattr(Session, "_settle_rest", tell_one)
