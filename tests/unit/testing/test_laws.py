"""Every law that histories are checked for can be broken: here something breaks it, and it is caught."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import triologue as tri
from triologue.messages import Message, Outcome, PermissionAnswered, StateChanged, TurnEnded, TurnStarted
from triologue.testing import (
    LAWS,
    AnswerPermission,
    Ask,
    CancelTurn,
    ChangeModel,
    Complaint,
    History,
    InterruptSession,
    LawBroken,
    Pause,
    Program,
    Say,
    Seen,
    Send,
    Stall,
    UseTool,
    check_history,
    run_program,
)

PROGRAM = Program(
    operations=(
        Send(0, (UseTool("Bash", asks=True), Say("x"))),
        Send(0),
        Pause(),
        AnswerPermission(by="ada"),
        Pause(1),
        ChangeModel(0, "opus"),
        Pause(1),
        Ask(0),
        Pause(1),
        Send(0, (Say("y"), Stall())),
        Pause(),
        InterruptSession(0),
        Pause(1),
    ),
    sessions=1,
)


def swap(history: History, kind: type[Message], change: Callable[[Any], Message], *, number: int = 0) -> None:
    """Change the n-th message of a kind."""
    events = history.events["s0"]
    place = [index for index, seen in enumerate(events) if isinstance(seen.event.message, kind)][number]
    events[place] = with_message(events[place], change(events[place].event.message))


def with_message(seen: Seen, message: Message) -> Seen:
    return msgspec.structs.replace(seen, event=msgspec.structs.replace(seen.event, message=message))


def with_turn(seen: Seen, turn_id: str | None) -> Seen:
    return msgspec.structs.replace(seen, event=msgspec.structs.replace(seen.event, turn_id=turn_id))


def ends_twice(history: History) -> None:
    events = history.events["s0"]
    events.append(next(seen for seen in events if isinstance(seen.event.message, TurnEnded)))


def starts_out_of_order(history: History) -> None:
    events = history.events["s0"]
    first, second, *_ = [index for index, seen in enumerate(events) if isinstance(seen.event.message, TurnStarted)]
    turns = events[first].event.turn_id, events[second].event.turn_id
    events[first], events[second] = with_turn(events[first], turns[1]), with_turn(events[second], turns[0])


def tells_it_to_another_turn(history: History) -> None:
    events = history.events["s0"]
    said = [index for index, seen in enumerate(events) if isinstance(seen.event.message, tri.AssistantMessage)]
    events[said[0]] = with_turn(events[said[0]], events[said[-1]].event.turn_id)


def gives_the_result_of_another(history: History) -> None:
    ended = [seen.event.message for seen in history.events["s0"] if isinstance(seen.event.message, TurnEnded)]
    other = ended[1].outcome.result
    swap(history, TurnEnded, lambda _: TurnEnded(outcome=Outcome(kind="answered", result=other)))


def loses_a_record(history: History) -> None:
    del history.events["s0"][3]


def takes_long_to_interrupt(history: History) -> None:
    call = next(history.calls_of(InterruptSession))
    assert call.ended is not None
    call.ended += 100


def settles_a_permission_twice(history: History) -> None:
    settled = next(seen for seen in history.events["s0"] if isinstance(seen.event.message, PermissionAnswered))
    history.events["s0"].append(settled)


def answers_otherwise(history: History) -> None:
    swap(history, PermissionAnswered, lambda told: msgspec.structs.replace(told, answer="deny"))


def leaves_an_agent(history: History) -> None:
    history.agents_left = 1


def has_too_many(history: History) -> None:
    history.limits = tri.Limits(max_live=1)
    history.agent.max_live = 2


def raises_something_else(history: History) -> None:
    history.calls[0].error = KeyError("k")


def interrupts_unasked(history: History) -> None:
    history.calls = [call for call in history.calls if not isinstance(call.operation, InterruptSession)]


def forgets_a_setting(history: History) -> None:
    prompts = history.agent.prompts
    history.agent.prompts = [msgspec.structs.replace(prompt, model=None) for prompt in prompts]


def breaks_by_a_bug(history: History) -> None:
    swap(
        history,
        StateChanged,
        lambda told: StateChanged(state="hibernated", reason="the session 's0' broke: KeyError()"),
    )


def answers_the_agent_twice(history: History) -> None:
    history.agent.complaints.append("the host answered 'agent-1' twice")


BREAKERS: dict[str, tuple[Callable[[History], None], ...]] = {
    "one outcome": (ends_twice,),
    "order": (starts_out_of_order,),
    "attribution": (tells_it_to_another_turn,),
    "answers": (gives_the_result_of_another,),
    "gapless": (loses_a_record,),
    "interrupts settle": (takes_long_to_interrupt,),
    "permissions": (settles_a_permission_twice, answers_otherwise),
    "nothing remains": (leaves_an_agent,),
    "cap": (has_too_many,),
    "typed errors": (raises_something_else,),
    "endings have reasons": (interrupts_unasked,),
    "settings": (forgets_a_setting,),
    "nothing breaks": (breaks_by_a_bug,),
    "host behaves": (answers_the_agent_twice,),
}


def test_nothing_is_broken_by_itself() -> None:
    check_history(run_program(PROGRAM))
    assert {law.__name__.replace("_", " ") for law in LAWS} == BREAKERS.keys()


def test_a_turn_that_interrupts_goes_first_whoever_cancels_it_later() -> None:
    program = Program(
        operations=(Send(0, (Stall(),)), Pause(), Send(0), Send(0, overlap="interrupt"), Pause(), CancelTurn()),
        sessions=1,
    )
    check_history(run_program(program))


@pytest.mark.parametrize(
    ("law", "breaks"),
    [(law, breaks) for law, each in BREAKERS.items() for breaks in each],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_each_law_can_be_broken(law: str, breaks: Callable[[History], None]) -> None:
    history = run_program(PROGRAM)
    breaks(history)
    with pytest.raises(LawBroken) as raised:
        check_history(history)
    assert law in {each.law for each in raised.value.complaints}
    assert all(isinstance(each, Complaint) and each.what for each in raised.value.complaints)
