"""Law 4: a message is only ever attributed to the turn that caused it."""

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from msgspec import structs

from tests.support.laws import Law, Wild, programs_of
from triologue.messages import Message, ResultMessage, TurnEnded
from triologue.session.run import Phase, Run
from triologue.testing import (
    Background,
    BeginOwnTurn,
    CrashAgent,
    Fail,
    History,
    InterruptSession,
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
    4,
    "A message is only ever attributed to the turn that caused it; background turns are events of their own.",
    Wild(
        "backtalk#16",
        "a turn of a sub-agent that nobody had read made every reply answer the question before",
        "https://github.com/jaredrhod/backtalk/issues/16",
    ),
    Wild("backtalk#47", "the same, with background turns", "https://github.com/jaredrhod/backtalk/issues/47"),
)

OWN = (Say("by myself"), Wait(1), Say("still"))
SCRIPTS = st.sampled_from(
    [
        (),
        (Say("a b", every=0.5),),
        (Background(OWN, 1.0), Say("x")),
        (Background(OWN, 0.0), Wait(2)),
        (UseTool("Bash", seconds=1), Say("y")),
        (Say("z"), Fail()),
    ]
)
PROGRAMS = programs_of(
    st.builds(Send, st.just(0), SCRIPTS, st.sampled_from([None, "steer", "collect", "interrupt"])),
    st.builds(Send, st.just(0), SCRIPTS),
    st.builds(BeginOwnTurn, st.just(0), st.sampled_from([(Say("mine"),), OWN, (UseTool("Bash", seconds=2),)])),
    st.builds(Pause, st.sampled_from([0.0, 0.5, 1.0, 3.0])),
    st.sampled_from([InterruptSession(0), CrashAgent(0)]),
    first=(Send(0, (Background(OWN, 1.0), Say("first"))), Pause()),
    last=(Pause(60),),
    folds=st.booleans(),
    tells_lifecycle=st.booleans(),
    partials=st.booleans(),
)


def nothing_is_orphaned(history: History) -> Iterator[str]:
    """While a turn runs, what it causes is attributed to it, or to the one that it merged with, and not to none.

    But a turn has one result. Where an interrupt that was meant for the turn before hit it as it began, it is run again,
    and the result of the attempt that was stopped is none of its own.
    """
    ended: set[str | None] = set()
    for turn_id, message in history.messages("s0"):
        if isinstance(message, TurnEnded):
            ended.add(turn_id)
        if turn_id is not None or not isinstance(message, laws.TALK) or is_of_a_stopped_attempt(message):
            continue
        running = [id for id in history.outcomes() if id not in ended]
        owners = [
            id
            for id in running
            if history.agent.causes.get(message.uuid or "") and history.is_caused(message.uuid or "", id)
        ]
        if owners:
            yield f"{message!r} is attributed to no turn, and {owners} caused it"


def is_of_a_stopped_attempt(message: Message) -> bool:
    """Is this a result that says that an interrupt came?"""
    return isinstance(message, ResultMessage) and message.terminal_reason == "aborted_streaming"


def test_an_attempt_that_an_interrupt_for_another_turn_stopped_is_run_again() -> None:
    """The interrupt comes after the turn that it was meant for, and stops the one that was handed over behind it."""
    begun = (Send(script=(Say("first"),)), Pause())
    steered = (Send(), Send(overlap="steer"), InterruptSession())
    history = run_program(Program(operations=(*begun, *steered, Pause(60)), folds=False))
    results = [
        (turn_id is not None, message.terminal_reason)
        for turn_id, message in history.messages("s0")
        if isinstance(message, ResultMessage)
    ]
    assert results == [(True, None), (True, None), (False, "aborted_streaming"), (True, None)]
    assert [ended.outcome.kind for ended in history.outcomes().values()] == ["answered"] * 3


@LAW.holds(PROGRAMS)
def test_a_message_belongs_to_the_turn_that_caused_it(program: Program) -> None:
    """An agent with turns of its own between and behind ours: it knows the prompts that caused each frame, and the log agrees."""
    # An agent that tells nothing of its turns is never handed a prompt to fold.
    program = structs.replace(program, folds=program.folds and program.tells_lifecycle)
    check_history(run_program(program), (laws.attribution, laws.answers, nothing_is_orphaned))


@LAW.broken_by
def whatever_comes_is_the_answer(patch: pytest.MonkeyPatch) -> None:
    """What the agent says after a prompt has gone out belongs to its turn, though the agent did not take it up yet."""
    patch.setattr(Run, "owns_messages", property(lambda self: self.phase in (Phase.SENT, Phase.STARTED)))


@LAW.broken_by
def the_next_result_is_the_answer(patch: pytest.MonkeyPatch) -> None:
    """The first result after a prompt is its own, whatever prompts it names."""
    patch.setattr(Run, "is_answered_by", lambda self, result: self.phase in (Phase.SENT, Phase.STARTED))
