"""Law 12: a failed resume never overwrites a stored session id; a time-out at start is not "missing"."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.laws import Law, Wild, programs_of
from triologue.actors import Conversation, described
from triologue.errors import AgentStartError, SessionNotFound
from triologue.messages import ResultMessage
from triologue.options import Options
from triologue.ports import StoredSession
from triologue.session.ground import Ground
from triologue.session.hearing import Hearing
from triologue.session.losing import Losing
from triologue.stores import MemoryStore
from triologue.supervision import shelf
from triologue.testing import (
    Crash,
    CrashAgent,
    Fault,
    Hibernate,
    History,
    Operation,
    Pause,
    Program,
    ScriptedAgent,
    Send,
    Stage,
    StartFails,
    StartHangs,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    12,
    "A failed resume never overwrites a stored id; a time-out at start is not “missing”.",
    Wild("multica#1285", "a resume that failed left another id in the place of the good one"),
    Wild("claude-code-telegram#163", "a start that timed out was taken for a conversation that is gone"),
)

KNOWN = "11111111-1111-4111-8111-111111111111"


class Look(Operation, frozen=True, repr_omit_defaults=True):
    """Look at the session's id."""

    async def run(self, stage: Stage) -> str | None:
        """Gives it."""
        return stage.session(0).session_id


class LookInStore(Operation, frozen=True, repr_omit_defaults=True):
    """Look at the id that the store has of the session."""

    async def run(self, stage: Stage) -> str | None:
        """Gives it; None where there is no store, or the store does not know it yet."""
        store = stage.manager.store
        head = await store.get_session(stage.key(0)) if store is not None else None
        return head.session_id if head is not None else None


class Forget(Operation, frozen=True, repr_omit_defaults=True):
    """Let the agent lose all conversations, or find them again."""

    is_lost: bool

    async def run(self, stage: Stage) -> None:
        """Gives nothing."""
        kept, agent = stage.model, stage.agent
        assert isinstance(kept, dict)
        if self.is_lost:
            kept.update(agent.conversations)
            agent.conversations.clear()
        else:
            agent.conversations.update(kept)


KEPT = (Send(0), Pause(1), Look(), LookInStore())
LOST = (*KEPT, Forget(is_lost=True), CrashAgent(0), Pause(1), Send(0), Pause(1), LookInStore())
OPERATIONS: tuple[st.SearchStrategy[Operation], ...] = (
    st.builds(Send, st.just(0), st.sampled_from([(), (), (Crash(),), (Crash(0),)])),
    st.one_of(st.builds(CrashAgent, st.just(0), st.sampled_from([-9, 0])), st.just(Hibernate(0))),
    st.builds(Forget, st.booleans()),
    st.sampled_from([Look(), LookInStore()]),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 3.0, 130.0])),
)
LAST = (LookInStore(), Forget(is_lost=False), Pause(200), Send(0), Pause(200), Look(), LookInStore())


def programs(first: tuple[Operation, ...]) -> st.SearchStrategy[Program]:
    """Programs that begin like that."""
    return programs_of(*OPERATIONS, first=first, last=LAST, retries=st.booleans(), tells_lifecycle=st.booleans())


PROGRAMS = programs(KEPT) | programs(LOST)
FAULTS = st.lists(st.builds(StartFails, st.integers(1, 5)) | st.builds(StartHangs, st.integers(1, 5)), max_size=3)
BEGINS = st.sampled_from(["new", "resumed", "resumed in vain"])
CASES = st.tuples(PROGRAMS, FAULTS.map(tuple), BEGINS, st.booleans(), st.booleans())


@LAW.holds(CASES)
def test_a_known_id_is_kept(case: tuple[Program, tuple[Fault, ...], str, bool, bool]) -> None:
    """Starts that fail, hang, die, or find the conversation missing, of new sessions and of resumed ones, with a store and
    without: the session's id never changes, nor does the stored one; each start resumes it, and only of one that gave no
    result yet, and is missing, it begins anew under its id."""
    program, wrong, begins, is_slow, is_kept = case
    agent = ScriptedAgent(start_seconds=2 if is_slow else 0)
    if begins == "resumed":
        agent.conversation(KNOWN)

    def set_up(stage: Stage) -> None:
        stage.model = {}
        if begins != "new":
            stage.manager.session("s0", options=Options(resume=KNOWN)).statistics()

    store = MemoryStore() if is_kept else None
    history = run_program(program, agent=agent, faults=wrong, setup=set_up, store=store)

    def id_is_kept(history: History) -> Iterator[str]:
        """What it is called once, it is always called, here and in the store."""
        ids = [each.value for each in history.calls_of(Look, LookInStore) if each.value is not None]
        ids += [KNOWN] if begins != "new" and ids else []
        if len(set(ids)) > 1:
            yield f"the session was called {ids}"
        stored = [each.value for each in history.calls_of(LookInStore)]
        if None in stored[next((place for place, id in enumerate(stored) if id is not None), len(stored)) :]:
            yield f"the store knew the session as {stored}"

    def resumes(history: History) -> Iterator[str]:
        """Each start goes on with the conversation that is known then."""
        results = [seen.time for seen in history.events["s0"] if isinstance(seen.event.message, ResultMessage)]
        known, was_refused = KNOWN if begins != "new" else None, False
        for start in agent.starts:
            options = start.options
            begins_anew = options.session_id is not None
            is_confirmed = any(time < start.time for time in results)
            if begins_anew and (not was_refused or is_confirmed):
                yield f"start {start.number} begins {options.session_id} anew, which was not missing"
            if known is not None and known not in (options.resume, options.session_id):
                yield f"start {start.number} has {options.named()}, and {known} is known"
            if is_confirmed:
                known = known or start.session_id
            was_refused = start.is_refused

    check_history(history, (id_is_kept, resumes, laws.one_outcome))


@LAW.broken_by
def a_refusal_gives_its_id(patch: pytest.MonkeyPatch) -> None:
    """The session takes the id of any result, also of the one that says that there is no such conversation."""
    result = Hearing._result

    def learn(self: Hearing, message: ResultMessage) -> None:
        self._session.session_id = message.session_id
        result(self, message)

    table: dict[Any, Any] = Hearing._NOTABLE
    patch.setitem(table, ResultMessage, learn)


@LAW.broken_by
def what_is_missing_is_struck_out(patch: pytest.MonkeyPatch) -> None:
    """The store is told that a conversation has no id where its agent did not find it."""

    def without_id(conversation: Conversation, head: StoredSession) -> StoredSession:
        head = described(conversation, head)
        return replace(head, session_id=None) if isinstance(conversation.last_error, SessionNotFound) else head

    patch.setattr(shelf, "described", without_id)


@LAW.broken_by
def a_late_start_is_a_missing_conversation(patch: pytest.MonkeyPatch) -> None:
    """After a start that timed out the next one begins a new conversation."""
    refuse = Ground.refuse_start

    def forget(self: Ground, error: AgentStartError, **more: Any) -> None:
        refuse(self, error, **more)
        self.session_id = None

    patch.setattr(Ground, "refuse_start", forget)


@LAW.broken_by
def whatever_fails_is_missing(patch: pytest.MonkeyPatch) -> None:
    """After any failure of an agent the conversation is begun anew under its id."""
    count = Losing._count_crash

    def begin_anew(self: Losing, *args: object) -> bool:
        self.begins_fresh = True
        return count(self, *args)  # type: ignore[arg-type]  # as it came

    patch.setattr(Losing, "_count_crash", begin_anew)
