"""Law 8: live agents never exceed the cap, and none that is at work is evicted."""

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.session import Session
from triologue.session.link import LinkState
from triologue.supervision.housing import Housing
from triologue.supervision.pools import Pool
from triologue.testing import (
    AnswerPermission,
    Background,
    CancelTurn,
    Crash,
    CrashAgent,
    History,
    InterruptSession,
    Pause,
    Program,
    Say,
    ScriptedAgent,
    Send,
    Stall,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    8,
    "Live agents never exceed the cap, also while restarting; a session that is running, or waits for a permission, is "
    "never evicted.",
    Wild(
        "avibe#1810",
        "a change of settings tore an agent down in the middle of a turn",
        "https://github.com/avibe-bot/avibe/issues/1810",
    ),
    Wild(
        "teamclu#1424",
        "the eviction of idle sessions killed one that waited for a permission",
        "https://github.com/different-ai-studio/teamclu/issues/1424",
    ),
    Wild("vscode#331027", "one was taken for idle that was not", "https://github.com/microsoft/vscode/issues/331027"),
)

SESSION = st.integers(0, 3)
SCRIPTS = st.sampled_from(
    [
        (),
        (),
        (Wait(3),),
        (UseTool("Bash", asks=True, seconds=2), Say("x")),
        (Background((Say("by myself"),), 5.0), Say("x")),
        (Wait(1), Crash()),
        (Stall(),),
    ]
)
PROGRAMS = programs_of(
    st.builds(Send, SESSION, SCRIPTS),
    st.builds(Send, SESSION, SCRIPTS),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 3.0, 10.0])),
    st.one_of(
        st.builds(CrashAgent, SESSION),
        st.builds(AnswerPermission, st.integers(0, 1)),
        st.builds(InterruptSession, SESSION),
        st.builds(CancelTurn, SESSION),
    ),
    first=(Send(0), Send(1), Pause(), Pause(12), Send(2), Send(3)),
    sessions=4,
    most=12,
    max_live=st.integers(1, 3),
    retries=st.booleans(),
)


def only_idle_ones_leave(history: History) -> Iterator[str]:
    """Nobody is let go who works, waits for a permission or has something in the background, until the manager is left."""
    for stop in history.agent.stops:
        if stop.eof and (stop.was_running or stop.background) and (history.left is None or stop.time < history.left):
            yield f"{stop!r} of {history.key_of_session(stop.session_id)}"


@LAW.holds(st.tuples(PROGRAMS, st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from([0.0, 2.0])))
def test_the_cap_holds_and_only_idle_sessions_are_evicted(case: tuple[Program, float, float]) -> None:
    """Four sessions for one to three places, with crashes, restarts, permissions, agents that are slow to come and to go: the
    agent counts who lives."""
    program, start_seconds, leave_seconds = case
    agent = ScriptedAgent(start_seconds=start_seconds, leave_seconds=leave_seconds)
    history = run_program(program, agent=agent)
    check_history(history, (laws.cap, only_idle_ones_leave, laws.one_outcome))


@LAW.broken_by
def who_is_asked_to_leave_is_gone(patch: pytest.MonkeyPatch) -> None:
    """The place of a connection that was asked to leave is given away before it has left."""
    patch.setattr(Pool, "room", Pool.coming)


@LAW.broken_by
def who_begins_to_leave_is_gone(patch: pytest.MonkeyPatch) -> None:
    """The place of a connection that is being closed is free from then on."""
    patch.setattr(Housing, "closes", Housing.leave)


@LAW.broken_by
def whoever_has_an_agent_is_idle(patch: pytest.MonkeyPatch) -> None:
    """A session is taken for idle as soon as its agent is up."""
    patch.setattr(Session, "is_idle", property(lambda self: self.link.state is LinkState.READY and not self._leaves))
    patch.setattr(Session, "_is_at_rest", property(lambda self: self.link.state is LinkState.READY))
