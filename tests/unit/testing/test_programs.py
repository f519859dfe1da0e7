"""Programs run on a real manager, and what they leave behind can be read."""

import logging
import re
from collections.abc import Iterator

import pytest
import trio
from hypothesis import given, settings

import triologue as tri
from triologue.testing import (
    LAWS,
    AnswerPermission,
    Ask,
    Cancelling,
    CancelTurn,
    ChangeMode,
    ChangeModel,
    CrashAgent,
    Fault,
    Fork,
    Hibernate,
    History,
    InterruptSession,
    LawBroken,
    Operation,
    Pause,
    Program,
    Reset,
    Say,
    Send,
    Stage,
    Stall,
    StartFails,
    Stream,
    UseTool,
    check_history,
    laws,
    run_program,
)
from triologue.testing.strategies import faults, programs

ALL_KINDS = Program(
    operations=(
        Send(0, (Say("a b c", every=1),)),
        Send(0),
        Ask(1, (UseTool("Bash", asks=True), Say("x"))),
        Pause(),
        AnswerPermission(by="ada"),
        AnswerPermission(allow=False),
        InterruptSession(0),
        Pause(5),
        ChangeModel(0, "opus"),
        CrashAgent(0),
        Send(0, overlap="interrupt"),
        Cancelling(Ask(1, (Stall(),)), after=2.0),
        Cancelling(ChangeMode(1, "plan"), at=1),
        Fork(0, 2),
        Pause(10),
        Stream(2, (Say("one"), Stall()), messages=1),
        CancelTurn(0),
        Hibernate(0),
        Reset(1),
        Pause(10),
    ),
    sessions=3,
)


def test_a_program_is_run_and_written_down() -> None:
    history = run_program(ALL_KINDS)
    check_history(history)
    assert sorted(history.events) == ["s0", "s1", "s2"]
    told = {call.number: call.value if call.error is None else type(call.error).__name__ for call in history.calls}
    assert {number: told[number] for number in (5, 6, 9, 15)} == {5: "AlreadyAnswered", 6: "stopped", 9: True, 15: 1}
    assert [call.number for call in history.calls if call.was_cancelled] == [11, 12]
    assert [prompt.text for prompt in history.agent.prompts][:2] == ["m0.", "m2."]


def test_the_same_program_takes_the_same_course() -> None:
    def course(seed: int) -> list[str]:
        history = run_program(Program(operations=ALL_KINDS.operations, sessions=3, seed=seed))
        return [re.sub(r"[0-9a-f-]{8,}", "", line) for line in history.lines()]

    assert course(5) == course(5)
    assert course(5) != course(6)


@pytest.mark.parametrize("leave", ["normally", "by an error", "cancelled"])
def test_a_program_may_be_left_in_every_way(leave: str) -> None:
    program = Program(operations=(Ask(0, (Stall(),)), Send(0), Ask(1)), leave=leave)  # type: ignore[arg-type]
    history = run_program(program)
    check_history(history)
    assert all(call.ended is not None for call in history.calls)


class Forget(Operation, frozen=True):
    """An operation of our own, which waits for what never comes."""

    async def run(self, stage: Stage) -> None:
        await trio.Event().wait()


def test_a_hang_shows_the_program_and_what_waits() -> None:
    with pytest.raises(LawBroken) as raised:
        run_program(Program(operations=(Send(0), Forget()), seed=3, sessions=1))
    said = str(raised.value)
    assert said.startswith(
        "everything ends: it did not end within 1e+06 virtual seconds; call 1 Forget() waits\n\nprogram, with seed 3:\n"
    )
    assert "Program(operations=(Send(), Forget()), sessions=1, seed=3)" in said
    assert "call 1: Forget()" in said
    assert re.search(r"call 1 Forget\(\): .*test_programs.py:\d+ run > Event.wait", said)


def test_a_broken_law_is_told_with_the_history() -> None:
    def nobody_is_interrupted(history: History) -> Iterator[str]:
        for turn_id, ended in history.outcomes().items():
            if ended.outcome.kind == "interrupted":
                yield f"{turn_id} was"

    history = run_program(Program(operations=(Send(0, (Stall(),)), Pause(), InterruptSession(0)), sessions=1))
    check_history(history)
    with pytest.raises(LawBroken) as raised:
        check_history(history, (*LAWS, nobody_is_interrupted))
    assert [each.law for each in raised.value.complaints] == ["nobody is interrupted"]
    assert "call 2 gave 'stopped'" in str(raised.value)


def test_faults_are_part_of_a_run() -> None:
    history = run_program(Program(operations=(Ask(0), Pause(), Ask(0), Pause(9)), sessions=1), faults=[StartFails(1)])
    check_history(history)
    assert [type(call.error) for call in history.calls] == [tri.TurnFailed, type(None)]


@settings(max_examples=100)
@given(programs())
def test_the_laws_hold_in_every_program(program: Program) -> None:
    check_history(run_program(program))


@settings(max_examples=50)
@given(programs(), faults())
def test_the_laws_hold_whatever_fails(program: Program, wrong: tuple[Fault, ...]) -> None:
    # An agent that died while it was given a setting, and then does not start with it, is started without it.
    check_history(run_program(program, faults=wrong), [law for law in LAWS if law is not laws.settings])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Actors tell of each crash in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
