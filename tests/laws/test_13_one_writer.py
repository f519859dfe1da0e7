"""Law 13: at most one writer per session."""

from collections.abc import Iterator

import pytest
import trio
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.actors.writers import Writers
from triologue.options import Options
from triologue.testing import (
    BeginOwnTurn,
    CloseSession,
    Crash,
    CrashAgent,
    CrashTask,
    Fault,
    Fork,
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
    Stage,
    Stall,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)
from triologue.testing.strategies import faults

LAW = Law(
    13,
    "At most one writer per session. (Across hosts where they share a store: `tests/properties/test_rival_hosts.py`.)",
    Wild("claudecodeui#883", "two processes resumed one session id, and the transcript was torn"),
)

SESSIONS = 3
KNOWN = "11111111-1111-4111-8111-111111111111"


class Begin(Operation, frozen=True, repr_omit_defaults=True):
    """Begin a session with an id that another one may have: one that is known from earlier, or that of a session."""

    session: int = 0
    of: int | None = None

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        await trio.lowlevel.checkpoint()
        known = KNOWN if self.of is None else stage.session(self.of).session_id
        if known is None:
            return
        session = stage.manager.session(stage.key(self.session), options=Options(resume=known))
        stage.add_turn(self.session, await session.send(stage.prompt(()), meta=stage.meta))


SESSION = st.integers(0, SESSIONS - 1)
SCRIPTS = st.sampled_from([(), (), (UseTool("Bash", seconds=3), Say("x")), (Stall(),), (Crash(),)])
PROGRAMS = programs_of(
    *(st.builds(Begin, SESSION, st.none() | SESSION) for _ in range(3)),
    st.builds(Send, SESSION, SCRIPTS, st.sampled_from([None, "interrupt", "steer"])),
    st.one_of(*(st.builds(kind, SESSION) for kind in (CrashAgent, Hibernate, CloseSession, Reset, InterruptSession))),
    st.builds(Fork, SESSION, SESSION),
    st.builds(BeginOwnTurn, SESSION, st.just((Wait(3),))),
    st.builds(Pause, st.sampled_from([0.0, 0.0, 1.0, 3.0])),
    first=(Begin(0), Pause()),
    sessions=0,
    most=12,
    retries=st.booleans(),
    max_live=st.sampled_from([None, None, 2]),
)
ALONE = programs_of(
    st.builds(Send, st.just(0), SCRIPTS, st.sampled_from([None, "interrupt"])),
    st.one_of(*(st.just(kind(0)) for kind in (CrashAgent, Hibernate, CloseSession, Reset, InterruptSession))),
    st.just(BeginOwnTurn(0, (Wait(3),))),
    st.builds(Pause, st.sampled_from([0.0, 0.0, 1.0, 3.0])),
    sessions=1,
    retries=st.booleans(),
)
CRASHES = st.none() | st.builds(CrashTask, st.just("triologue session"), st.integers(1, 30))
CASES = st.tuples(PROGRAMS | PROGRAMS | ALONE, faults() | st.just(()), st.sampled_from([0.0, 1.0]), CRASHES)


@LAW.holds(CASES)
def test_a_session_has_one_writer(case: tuple[Program, tuple[Fault, ...], float, CrashTask | None]) -> None:
    """Sessions are begun with each other's ids, forked, reset, closed, interrupted; agents crash and hang, and so do actors: no
    conversation has two agents at any instant, and no key has two connections."""
    program, wrong, start_seconds, crash = case
    agent = ScriptedAgent(start_seconds=start_seconds)
    agent.conversation(KNOWN)
    instruments = [CrashTask(crash.name, crash.at)] if crash is not None else []
    history = run_program(program, agent=agent, faults=wrong, instruments=instruments)

    def one_for_a_key(history: History) -> Iterator[str]:
        """There are not more connections than keys."""
        keys = program.sessions or SESSIONS
        if agent.max_live > keys:
            yield f"{agent.max_live} agents lived at once, and there are {keys} keys"

    check_history(history, (laws.host_behaves, one_for_a_key))


@LAW.broken_by
def nobody_looks_who_else_writes(patch: pytest.MonkeyPatch) -> None:
    """Whatever conversation an agent is started with, it is started."""
    patch.setattr(Writers, "enter", lambda *_: None)


@LAW.broken_by
def only_ids_of_starts_are_looked_at(patch: pytest.MonkeyPatch) -> None:
    """An id that an agent chose by itself may be resumed under another key at once."""
    patch.setattr(Writers, "told", lambda *_: None)
