"""Law 2: waiting turns start in the order in which they were accepted; only `interrupt` goes first."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.laws import Law, Wild, programs_of
from triologue.messages import InitMessage, ResultMessage, TurnAccepted, TurnEnded, TurnStarted
from triologue.session.mailbox import Mailbox, Waiting
from triologue.testing import (
    CancelTurn,
    Crash,
    CrashAgent,
    History,
    InterruptSession,
    Operation,
    Pause,
    Program,
    Say,
    Send,
    UseTool,
    Wait,
    check_history,
    laws,
    run_program,
)

LAW = Law(
    2,
    "Among waiting turns of a session, the order in which they were accepted is the order in which they start; only "
    "`interrupt` goes first.",
    Wild(
        "openclaw#120420",
        "a steer could be overtaken by a later message",
        "https://github.com/openclaw/openclaw/pull/120420",
    ),
)

SCRIPTS = st.sampled_from([(), (Say("a b", every=1),), (Wait(3),), (UseTool("Bash", seconds=2),), (Crash(),)])
LONG = (Send(0, (UseTool("Bash", seconds=3), Say("x"))), Pause())
# Behind it some wait; or one is with the agent, which may drop it, and another one waits.
BEHIND: tuple[tuple[Operation, ...], ...] = ((Send(0), Send(0)), (Send(0, (), "steer"), Pause(), Send(0)))


def programs(behind: tuple[Operation, ...]) -> st.SearchStrategy[Program]:
    """Programs that begin like that."""
    return programs_of(
        st.builds(Send, st.just(0), SCRIPTS),
        st.builds(Send, st.just(0), SCRIPTS, st.sampled_from(["queue", "collect", "interrupt", "steer"])),
        st.builds(Pause, st.sampled_from([0.0, 1.0, 3.0])),
        st.one_of(
            st.builds(CancelTurn, st.just(0), st.integers(0, 2)), st.just(InterruptSession(0)), st.just(CrashAgent(0))
        ),
        first=(*LONG, *behind),
        most=10,
        folds=st.booleans(),
        tells_lifecycle=st.booleans(),
        retries=st.booleans(),
    )


PROGRAMS = programs(BEHIND[0]) | programs(BEHIND[1])


def overlap_of(history: History, turn_id: str | None) -> object:
    """How the turn was sent."""
    return next((getattr(call.operation, "overlap", None) for call in history.calls if call.turn_id == turn_id), None)


def interrupts_go_first(history: History) -> Iterator[str]:
    """A turn that interrupts starts before those that wait as it comes."""
    waiting: list[str | None] = []
    overtaken: dict[str | None, list[str | None]] = {}
    for turn_id, message in history.messages("s0"):
        if isinstance(message, TurnAccepted):
            overlap = overlap_of(history, turn_id)
            if overlap == "interrupt":
                overtaken[turn_id] = list(waiting)
            # What steers is not taken out of the middle of a line, and may be with the agent already.
            elif overlap != "steer":
                waiting.append(turn_id)
        elif isinstance(message, TurnStarted | TurnEnded):
            overtaken.pop(turn_id, None)
            waiting = [other for other in waiting if other != turn_id]
            for interrupting, others in overtaken.items():
                if turn_id in others and isinstance(message, TurnStarted):
                    yield f"the turn {turn_id} started before {interrupting}, which interrupts"


def heard_in_order(history: History) -> Iterator[str]:
    """The agent hears prompts in the order in which they were accepted, but for those that do not wait."""
    numbers: list[int] = []
    for prompt in history.agent.prompts:
        number = int(prompt.text.partition(".")[0].removeprefix("m"))
        call = next(call for call in history.calls if call.number == number)
        if getattr(call.operation, "overlap", None) not in ("interrupt", "steer") and number not in numbers:
            numbers.append(number)
    accepted = [
        call.number
        for turn_id, message in history.messages("s0")
        if isinstance(message, TurnAccepted)
        for call in history.calls
        if call.turn_id == turn_id and call.number in numbers
    ]
    if numbers != accepted:
        yield f"the agent heard {numbers}, and accepted were {accepted}"


def hit_astray(history: History) -> set[str | None]:
    """The steers whose turns an interrupt hit that was meant for the one before: they run again, behind what the agent has."""
    hit: set[str | None] = set()
    begun: str | None = None
    for turn_id, message in history.messages("s0"):
        if isinstance(message, InitMessage):
            begun = turn_id
        elif isinstance(message, ResultMessage) and turn_id is None and message.subtype == "error_during_execution":
            hit.add(begun)
    return {id for id in hit if overlap_of(history, id) == "steer"}


def answered_in_order(history: History) -> Iterator[str]:
    """What is answered is answered in that order too: a prompt that the agent was handed, and dropped, is not overtaken.

    But for one that an interrupt hit which was meant for another, as the wire does not tell whom it means.
    """
    accepted = [id for id, message in history.messages("s0") if isinstance(message, TurnAccepted)]
    answered = [
        turn_id
        for turn_id, message in history.messages("s0")
        if isinstance(message, TurnEnded) and message.outcome.kind == "answered"
    ]
    excused = hit_astray(history)
    answered = [id for id in answered if overlap_of(history, id) != "interrupt" and id not in excused]
    expected = [turn_id for turn_id in accepted if turn_id in answered]
    if answered != expected:
        yield f"the turns {answered} were answered, and accepted as {expected}"


@LAW.holds(PROGRAMS)
def test_turns_start_in_the_order_of_their_acceptance(program: Program) -> None:
    """Prompts of every overlap, cancelled ones, crashes and interrupts: the log's order of starts and answers, and the agent's of prompts."""
    check_history(run_program(program), (laws.order, interrupts_go_first, heard_in_order, answered_in_order))


def test_a_steer_that_a_stray_interrupt_hits_runs_again_behind_what_the_agent_has() -> None:
    """Found by the law: nothing is lost, and nothing but this one comes late."""
    history = run_program(
        Program(
            operations=(
                *LONG,
                *(Send(), Send()),
                *(Send(), Send(script=(Say("a b", every=1),), overlap="steer"), InterruptSession(), Send()),
                *(CancelTurn(which=1), InterruptSession(), CancelTurn(), Send(overlap="steer"), InterruptSession()),
                Pause(0.0),
            ),
            seed=187,
            tells_lifecycle=True,
        )
    )
    check_history(history, (*laws.LAWS, interrupts_go_first, heard_in_order, answered_in_order))
    assert len(hit_astray(history)) == 1


@LAW.broken_by
def the_newest_is_next(patch: pytest.MonkeyPatch) -> None:
    """The mailbox gives the turn that was accepted last."""

    def take(self: Any) -> Waiting | None:
        return self._turns.popitem()[1] if self._turns else None

    patch.setattr(Mailbox, "take", take)


@LAW.broken_by
def what_an_agent_gives_back_waits_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """A prompt that was handed to the agent, and dropped by it, goes behind those that came later."""

    def put_back(self: Mailbox, turns: list[Waiting]) -> None:
        self._turns |= {turn.turn_id: turn for turn in turns}

    patch.setattr(Mailbox, "put_back", put_back)


@LAW.broken_by
def an_interrupt_waits_in_line(patch: pytest.MonkeyPatch) -> None:
    """A turn that interrupts goes behind those that wait."""
    put = Mailbox.put

    def put_last(self: Any, turn: Waiting, **more: Any) -> None:
        put(self, turn, **more)
        self._turns[turn.turn_id] = self._turns.pop(turn.turn_id)

    patch.setattr(Mailbox, "put", put_last)
