"""Law 10: a permission request is answered once; late answers are refused and reported; expiry denies with a reason."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.errors import AlreadyAnswered
from triologue.messages import (
    Message,
    PermissionAnswered,
    PermissionAsked,
    PermissionResultAllow,
    ToolResultBlock,
    UserMessage,
)
from triologue.session import effects as do, inputs as on
from triologue.session.duties import Duties, Duty
from triologue.session.serving import EXPIRED, Serving
from triologue.testing import (
    CancelTurn,
    CloseSession,
    CrashAgent,
    History,
    InterruptSession,
    Operation,
    Pause,
    Program,
    Say,
    Send,
    Stage,
    UseTool,
    check_history,
    laws,
    run_program,
)
from triologue.testing.laws import GRACE

ROUNDING = 1e-9
"""Seconds that the difference of two times may be off."""

LAW = Law(
    10,
    "A permission request is answered once; late answers are refused and reported; expiry denies with a reason.",
    Wild(
        "claude-terminal#147",
        "a request that had expired was denied without a word, which looked like a broken program",
        "https://github.com/Sterll/claude-terminal/issues/147",
    ),
)


class Answer(Operation, frozen=True):
    """Answer one of the last permission requests, open or not."""

    which: int = 0
    allow: bool = True
    by: str = "ada"

    async def run(self, stage: Stage) -> tuple[str, str, str | None] | None:
        """Gives the request's id, and the answer that counts with who gave it; None where there is no request."""
        if not stage.permissions:
            await trio.lowlevel.checkpoint()
            return None
        request = stage.permissions[-1 - self.which % len(stage.permissions)]
        try:
            await (request.allow(by=self.by) if self.allow else request.deny("no", by=self.by))
        except AlreadyAnswered as late:
            return request.id, late.answer, late.by
        return request.id, "allow" if self.allow else "deny", self.by


ASKING = (UseTool("Bash", asks=True, seconds=1), UseTool("Write", asks=True), Say("x"))
ANSWERS = st.builds(Answer, st.integers(0, 2), st.booleans(), st.sampled_from(["ada", "bob", "cyd"]))
PROGRAMS = programs_of(
    ANSWERS,
    ANSWERS,
    st.builds(Send, st.integers(0, 1), st.just(ASKING)),
    st.builds(Pause, st.sampled_from([0.0, 0.0, 1.0, 24.0, 25.0])),
    st.sampled_from([InterruptSession(0), CrashAgent(0), CancelTurn(0), CloseSession(1)]),
    first=(Send(0, ASKING), Pause(), Pause(1), Answer()),
    last=(Pause(60), Answer(0), Answer(1)),
    sessions=2,
    most=10,
)


def the_answer_is_known(history: History) -> Iterator[str]:
    """Whoever answers is told which answer counts, and it is the one that the log has."""
    settled = {
        message.id: message
        for key in history.events
        for _, message in history.messages(key)
        if isinstance(message, PermissionAnswered)
    }
    for call in history.calls_of(Answer):
        if call.error is not None:
            yield f"call {call.number} {call.operation!r} {call.describe()}"
        elif isinstance(call.value, tuple):
            id, answer, by = call.value
            logged = settled.get(id)
            if logged is None or (logged.answer, logged.by) != (answer, by):
                yield f"call {call.number} {call.operation!r} was told {answer!r} by {by!r}, and the log has {logged!r}"


def expiry_denies(history: History) -> Iterator[str]:
    """A request expires when its deadline passes, not before; its tool does not run, and the agent is told why."""
    seconds = history.deadlines.permission or 0.0
    for key, events in history.events.items():
        ran = {block.tool_use_id for seen in events for block in _results(seen.event.message) if not block.is_error}
        asked: dict[str, tuple[float, str | None]] = {}
        for seen in events:
            message = seen.event.message
            if isinstance(message, PermissionAsked):
                asked[message.id] = seen.time, message.request.tool_use_id
            elif isinstance(message, PermissionAnswered):
                since, tool_use_id = asked[message.id]
                is_expired, waited = message.answer == "expired", seen.time - since
                if is_expired and (waited < seconds - ROUNDING or message.reason != EXPIRED or tool_use_id in ran):
                    ends = "its tool ran" if tool_use_id in ran else f"the reason is {message.reason!r}"
                    yield f"{key}: the permission {message.id} expired after {waited} s, and {ends}"
                elif waited > seconds + GRACE:
                    yield f"{key}: the permission {message.id} was open for {waited} s"


def _results(message: Message) -> list[ToolResultBlock]:
    """What tools gave, where a message tells that."""
    content = message.content if isinstance(message, UserMessage) else ""
    return [block for block in content if isinstance(block, ToolResultBlock)]


@LAW.holds(PROGRAMS)
def test_a_permission_is_answered_once(program: Program) -> None:
    """Requests answered twice and at the same time, late, by nobody, of turns that are interrupted, of agents that die."""
    history = run_program(program)
    check_history(history, (laws.permissions, laws.host_behaves, the_answer_is_known, expiry_denies))


@LAW.broken_by
def a_late_answer_is_taken(patch: pytest.MonkeyPatch) -> None:
    """Who answers after another one is told that it counts."""

    def agree(self: Any, event: on.Decide) -> None:
        if event.ticket is not None:
            self._session.effect(do.Answer(event.ticket))

    patch.setattr(Serving, "_refuse_late", agree)


@LAW.broken_by
def expiry_allows(patch: pytest.MonkeyPatch) -> None:
    """When nobody answers in time, the tool runs."""

    def let_it_run(self: Any, permission_id: str) -> None:
        duty = self._session.duties.permission(permission_id)
        if duty is not None:
            self._settle(duty, self._reply(duty, PermissionResultAllow()))
            self._session.settle_permission(duty, "expired", reason=EXPIRED)

    patch.setattr(Serving, "expired", let_it_run)


@LAW.broken_by
def an_answered_request_stays_open(patch: pytest.MonkeyPatch) -> None:
    """A request can be answered again."""

    def keep(self: Any, duty: Duty) -> None:
        self._open.pop(duty.request_id, None)

    patch.setattr(Duties, "remove", keep)
