"""The composed session: turns, interrupts, and what it tells, whole effect lists compared."""

import math

import pytest

from tests.support.frames import (
    SESSION_ID,
    aborted,
    assistant,
    init,
    lifecycle,
    of_background,
    partial,
    prompt,
    refusal,
    result,
    success,
)
from tests.unit.session.stage import Stage, ready, running, told
from triologue.errors import AgentCrashed, MailboxFull
from triologue.messages import (
    CanUseTool,
    ControlRequest,
    ControlResponse,
    ConversationReset,
    HookCallback,
    Initialize,
    Message,
    Outcome,
    StateChanged,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)
from triologue.options import Overlap
from triologue.session import effects as do, inputs as on

TOOL = CanUseTool(tool_name="Bash", input={})

# A turn, from the prompt to its result.


def test_the_first_prompt_starts_the_agent_and_goes_out_after_the_handshake() -> None:
    stage = Stage()
    assert stage.session.state == "new"
    assert stage.submit("a") == ["a: TurnAccepted", "start 1: as it began", "-: starting"]
    assert stage.submit("b") == ["b: TurnAccepted"]
    assert stage.receive(on.Admitted(1)) == ["timer start 1"]
    assert stage.receive(on.Linked(1, Initialize())) == ["send 1: Initialize g1_1"]
    assert stage.hear(success("g1_1")) == ["clear start", "a: TurnStarted", "prompt 1: a", "-: running"]


def test_effects_are_values() -> None:
    session = Stage().session
    sent = prompt("a")
    answer = result("a")
    assert session.receive(on.Submit("a", sent, {"user": "U1"})) == [
        do.Publish("a", [TurnAccepted(prompt=sent, meta={"user": "U1"})]),
        do.Start(1, None, fresh=False, model=None, permission_mode=None),
        do.Publish(None, [StateChanged(state="starting")]),
    ]
    session.receive(on.Admitted(1))
    session.receive(on.Linked(1, Initialize()))
    assert session.receive(on.Heard(1, [success("g1_1")])) == [
        do.ClearTimer("start"),
        do.Publish("a", [TurnStarted()]),
        do.SendPrompt(1, sent, "a"),
        do.Publish(None, [StateChanged(state="running")]),
    ]
    outcome = Outcome(kind="answered", result=answer)
    assert session.receive(on.Heard(1, [init(), answer])) == [
        do.Account(answer),
        do.Publish("a", [init(), answer, TurnEnded(outcome=outcome)]),
        do.Settle("a", outcome),
        do.Publish(None, [StateChanged(state="idle")]),
    ]
    assert session.session_id == SESSION_ID


def test_the_next_turn_begins_when_the_result_is_there() -> None:
    stage = ready("a", "b")
    assert stage.hear(lifecycle("a", "queued"), lifecycle("a", "started"), init()) == [
        "-: CommandLifecycle",
        "-: CommandLifecycle",
        "a: InitMessage",
    ]
    assert stage.hear(partial("h"), assistant("hi")) == ["a: StreamEvent, AssistantMessage"]
    assert stage.hear(result("a"), lifecycle("a", "completed")) == [
        "a: ResultMessage",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: CommandLifecycle",
        "b: TurnStarted",
        "prompt 1: b",
    ]


def test_an_agent_without_lifecycle_begins_a_turn_with_the_first_sign_of_one() -> None:
    stage = Stage()
    stage.submit("a")
    stage.begin(lifecycle=False)
    assert stage.hear(init(), assistant("hi"), result()) == [
        "a: InitMessage, AssistantMessage, ResultMessage",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: idle",
    ]


def test_a_prompt_too_many_changes_nothing() -> None:
    stage = running("a", "b", "c", "d")
    with pytest.raises(MailboxFull):
        stage.submit("e")
    assert [stage.session.mailbox.position(each) for each in "abcde"] == [None, 0, 1, 2, None]
    assert "TurnAccepted" not in " ".join(stage.hear(result("a")))


def test_an_error_result_is_failed_whatever_its_subtype_says() -> None:
    stage = running("a")
    assert stage.hear(result("a", is_error=True, result="API Error: 529"))[-2:] == [
        "settle a: failed TurnFailed",
        "-: idle",
    ]


def test_a_prompt_that_the_agent_puts_aside_fails() -> None:
    stage = ready("a")
    assert stage.hear(lifecycle("a", "completed"))[-2:] == [
        "settle a: failed TurnFailed by AgentProtocolError",
        "-: idle",
    ]


def test_a_prompt_that_was_dropped_ends_with_the_result_that_tells_why() -> None:
    stage = ready("a")
    assert stage.hear(lifecycle("a", "cancelled")) == ["-: CommandLifecycle", "timer interrupt 1"]
    assert stage.hear(result("a", is_error=True, result="the token is not good")) == [
        "a: ResultMessage",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed",
        "-: idle",
    ]


def test_a_prompt_that_was_dropped_without_a_word_fails_too() -> None:
    stage = ready("a")
    stage.hear(lifecycle("a", "discarded"))
    assert stage.expire("interrupt") == [
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentProtocolError",
        "-: idle",
    ]


def test_what_an_agent_says_by_itself_after_it_dropped_a_prompt_is_not_of_that_turn() -> None:
    stage = ready("a")
    stage.hear(lifecycle("a", "discarded"))
    own = [init(), assistant("the task is done"), of_background()]
    assert stage.hear(*own) == ["-: InitMessage, AssistantMessage, ResultMessage"]
    assert stage.hear(partial("and"), assistant("more"), result("a", is_error=True, result="no")) == [
        "-: StreamEvent, AssistantMessage",
        "a: ResultMessage",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed",
        "-: idle",
    ]


@pytest.mark.parametrize("answer", [success("g1_2", {"cancelled": []}), refusal("g1_2")])
def test_who_stops_a_prompt_that_was_dropped_waits_for_the_answer_to_that_only(answer: ControlResponse) -> None:
    stage = ready("a")
    stage.hear(lifecycle("a", "cancelled"))
    stage.receive(on.StopTurn(1))
    stage.submit("b")
    assert [line for line in stage.hear(answer) if not line.startswith("note")] == [
        "clear interrupt",
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "b: TurnStarted",
        "prompt 1: b",
        "-: running",
    ]


def test_an_agent_without_an_account_says_so_in_the_place_of_an_answer() -> None:
    stage = running("a", "b")
    refused = assistant("Please run /login", error="authentication_failed")
    assert not stage.session.lets_pass(1, [refused])
    assert stage.hear(refused) == ["a: AssistantMessage"]
    assert stage.hear(result("a", is_error=True, result="Please run /login"))[2] == (
        "settle a: failed TurnFailed by NotLoggedIn"
    )
    stage.hear(lifecycle("b", "started"))
    assert "settle b: failed TurnFailed" in stage.hear(result("b", is_error=True))


# Prompts that no agent took up.

LEFT = AgentCrashed("it left", exit_code=0)


def test_a_prompt_that_an_agent_left_alone_goes_to_the_next_once() -> None:
    stage = ready("a")
    assert stage.gone(LEFT) == ["clear start", "clear interrupt", "start 2: as it began", "-: restarting"]
    assert stage.begin() == ["clear start", "prompt 2: a", "-: running"]
    assert "settle a: failed TurnFailed by AgentCrashed" in stage.gone(LEFT)


def test_a_prompt_that_an_agent_may_have_taken_up_is_not_repeated() -> None:
    for sign in (lifecycle("a", "queued"), lifecycle("a", "started"), ControlRequest(request_id="x", request=TOOL)):
        stage = ready("a")
        stage.hear(sign)
        assert "settle a: failed TurnFailed by AgentCrashed" in stage.gone(LEFT), sign
    stage = ready("a")
    assert "settle a: failed TurnFailed by AgentCrashed" in stage.gone(AgentCrashed("killed", exit_code=-9))


# Turns that the agent begins by itself.


def test_what_a_background_turn_says_belongs_to_no_turn() -> None:
    stage = running("a")
    stage.hear(result("a"), lifecycle("a", "completed"))
    assert stage.hear(init(), of_background(num_turns=0)) == ["-: InitMessage, ResultMessage"]
    assert stage.hear(init(), assistant("the task is done"), of_background()) == [
        "-: InitMessage, AssistantMessage, ResultMessage"
    ]


def test_a_prompt_behind_a_background_turn_gets_its_own_messages_only() -> None:
    stage = running("a")
    stage.hear(result("a"), lifecycle("a", "completed"), init())
    assert stage.submit("b") == ["b: TurnAccepted", "b: TurnStarted", "prompt 1: b", "-: running"]
    assert stage.hear(lifecycle("b", "queued"), assistant("background"), of_background()) == [
        "-: CommandLifecycle",
        "-: AssistantMessage, ResultMessage",
    ]
    assert stage.hear(
        init(),
        assistant("another"),
        of_background(),
        assistant("stray"),
        lifecycle("b", "started"),
        init(),
        result("b"),
    ) == [
        "-: InitMessage, AssistantMessage, ResultMessage",
        "-: AssistantMessage",
        "-: CommandLifecycle",
        "b: InitMessage, ResultMessage",
        "b: TurnEnded answered",
        "settle b: answered",
        "-: idle",
    ]


def test_a_result_for_another_prompt_ends_nothing() -> None:
    stage = running("a", "b")
    stage.hear(result("a"), lifecycle("a", "completed"))
    assert stage.hear(result("a")) == ["-: ResultMessage"]
    stage.hear(lifecycle("b", "started"))
    assert stage.hear(result("a")) == ["-: ResultMessage"]
    assert stage.session.run is not None


# Interrupts, wherever the turn is.


def test_interrupt_with_nothing_running() -> None:
    assert Stage().receive(on.StopTurn(1)) == ["answer 1: 'nothing_running'"]
    stage = running("a")
    stage.hear(result("a"))
    assert stage.receive(on.StopTurn(1)) == ["answer 1: 'nothing_running'"]


def test_interrupt_before_the_prompt_went_out() -> None:
    stage = Stage()
    stage.submit("a")
    stage.submit("b")
    assert stage.receive(on.StopTurn(1)) == [
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
    ]
    assert stage.begin() == ["clear start", "b: TurnStarted", "prompt 1: b", "-: running"]


def test_interrupt_of_a_prompt_that_waits_inside_the_agent() -> None:
    stage = ready("a")
    assert stage.receive(on.StopTurn(1)) == [
        "send 1: Interrupt g1_2 cancel_queued=True",
        "timer interrupt 1",
        "-: interrupting",
    ]
    assert stage.hear(lifecycle("a", "cancelled")) == [
        "-: CommandLifecycle",
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "-: idle",
    ]
    # What would start now might be what the interrupt hits.
    assert stage.submit("b") == ["b: TurnAccepted"]
    assert stage.hear(success("g1_2", {"cancelled": ["a"]})) == [
        "clear interrupt",
        "b: TurnStarted",
        "prompt 1: b",
        "-: running",
    ]


def test_interrupt_right_behind_the_prompt_is_latched_by_the_agent() -> None:
    stage = ready("a")
    stage.receive(on.StopTurn(1))
    assert stage.hear(
        lifecycle("a", "queued"), success("g1_2", {"still_queued": ["a"]}), lifecycle("a", "started")
    ) == [
        "-: CommandLifecycle",
        "-: CommandLifecycle",
    ]
    assert stage.hear(init(), aborted("a"), lifecycle("a", "cancelled")) == [
        "a: InitMessage, ResultMessage",
        "clear interrupt",
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "-: CommandLifecycle",
        "-: idle",
    ]


def test_interrupt_of_a_running_turn_keeps_those_that_wait() -> None:
    stage = running("a", "b")
    assert stage.receive(on.StopTurn(1)) == [
        "send 1: Interrupt g1_2 cancel_queued=True",
        "timer interrupt 1",
        "-: interrupting",
    ]
    assert stage.receive(on.StopTurn(2)) == []
    assert stage.hear(success("g1_2"), assistant("half"), aborted("a"), lifecycle("a", "cancelled")) == [
        "a: AssistantMessage, ResultMessage",
        "clear interrupt",
        "answer 1: 'stopped'",
        "answer 2: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "-: CommandLifecycle",
        "b: TurnStarted",
        "prompt 1: b",
        "-: running",
    ]


def test_interrupt_that_crosses_the_result() -> None:
    stage = running("a", "b")
    stage.receive(on.StopTurn(1))
    assert stage.hear(result("a")) == [
        "a: ResultMessage",
        "answer 1: 'already_done'",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: idle",
    ]
    assert stage.hear(success("g1_2")) == ["clear interrupt", "b: TurnStarted", "prompt 1: b", "-: running"]


def test_an_agent_that_does_not_stop_is_killed() -> None:
    stage = running("a", "b")
    stage.receive(on.StopTurn(1))
    assert stage.expire("interrupt") == [
        "answer 1: 'killed'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "stop 1: at once",
        "-: restarting",
    ]
    assert stage.hear(assistant("too late"), result("a")) == ["-: AssistantMessage, ResultMessage"]
    assert stage.gone() == [
        "clear start",
        "clear interrupt",
        f"start 2: resume {SESSION_ID}",
        "-: starting",
    ]


def test_an_agent_that_never_answers_the_interrupt_is_killed_for_the_next_turn() -> None:
    stage = running("a", "b")
    stage.receive(on.StopTurn(1))
    stage.hear(aborted("a"))
    assert stage.session.run is None
    assert stage.expire("interrupt") == ["stop 1: at once", "-: restarting"]
    assert stage.gone()[-2:] == [f"start 2: resume {SESSION_ID}", "-: starting"]


def test_a_refused_interrupt_still_has_its_deadline() -> None:
    stage = running("a")
    stage.receive(on.StopTurn(1))
    assert stage.hear(refusal("g1_2")) == ["note"]
    assert stage.expire("interrupt")[:2] == ["clear interrupt", "answer 1: 'killed'"]


def test_a_deadline_of_an_interrupt_that_is_over_does_nothing() -> None:
    stage = running("a", "b")
    stage.receive(on.StopTurn(1))
    stage.hear(success("g1_2"), aborted("a"))
    assert stage.expire("interrupt") == []


# Withdrawing.


def test_withdraw_a_waiting_turn() -> None:
    stage = running("a", "b", "c")
    assert stage.receive(on.Withdraw("b")) == ["b: TurnEnded cancelled", "settle b: cancelled TurnCancelled"]
    assert stage.hear(result("a"))[-2:] == ["c: TurnStarted", "prompt 1: c"]


def test_withdraw_a_turn_before_it_went_out() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(on.Admitted(1))
    assert stage.receive(on.Withdraw("a")) == ["a: TurnEnded cancelled", "settle a: cancelled TurnCancelled"]
    assert stage.begin() == ["clear start", "-: idle"]


def test_a_start_that_waits_in_line_for_a_turn_that_was_withdrawn_is_given_up() -> None:
    stage = Stage()
    stage.submit("a")
    assert stage.receive(on.Withdraw("a"))[-2:] == ["stop 1: at once", "-: hibernated"]
    stage.submit("b")
    assert stage.gone()[-2:] == ["start 2: as it began", "-: starting"]


def test_withdraw_a_running_turn_interrupts_it() -> None:
    stage = running("a")
    assert stage.receive(on.Withdraw("a")) == [
        "send 1: Interrupt g1_2 cancel_queued=True",
        "timer interrupt 1",
        "-: interrupting",
    ]
    assert stage.receive(on.Withdraw("a")) == []
    assert stage.hear(success("g1_2"), aborted("a"))[-2:] == ["settle a: interrupted TurnInterrupted", "-: idle"]
    assert stage.receive(on.Withdraw("a")) == []
    assert stage.receive(on.Withdraw("never there")) == []


# Costs.


def test_each_result_costs_what_the_total_grew_by() -> None:
    stage = ready("a", "b")
    first, second, background = result("a", total_cost_usd=0.5), result("b", total_cost_usd=2.0), of_background()
    background.total_cost_usd = 0.75
    stage.hear(first, background, second)
    assert [first.cost_usd, background.cost_usd, second.cost_usd] == [0.5, 0.25, 1.25]
    assert stage.session.total_cost_usd == 2.0


def test_a_total_that_shrank_began_anew() -> None:
    stage = ready("a", total_cost_usd=3.0)
    message = result("a", total_cost_usd=0.5)
    stage.hear(message)
    assert message.cost_usd == 0.5


def test_what_a_conversation_cost_before_it_was_resumed_is_nobodys_turn() -> None:
    stage = ready("a", "b", total_cost_usd=None)
    first, second = result("a", total_cost_usd=5.0), result("b", total_cost_usd=5.5)
    stage.hear(first, second)
    assert [first.cost_usd, second.cost_usd] == [None, 0.5]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, -5.0])
@pytest.mark.parametrize(("since", "costs"), [(None, [0.5, None, 1.5]), (0.25, [0.5, 0.25, 1.25])])
def test_a_total_that_cannot_be_is_not_counted_and_the_next_one_tells(
    odd: float, since: float | None, costs: list[float | None]
) -> None:
    stage = ready("a", "b", "c", total_cost_usd=0.0)
    results = [result("a", total_cost_usd=0.5), result("b", total_cost_usd=odd), result("c", total_cost_usd=2.0)]
    if since is not None:
        results[1].model_usage_since_last_result = {"m": {"costUSD": since}, "n": {"costUSD": odd}, "o": None}
    stage.hear(*results)
    assert [message.cost_usd for message in results] == costs
    assert stage.session.total_cost_usd == 2.0


def test_a_cleared_conversation_has_another_id_and_costs_nothing_yet() -> None:
    stage = running("a")
    message = result("a", total_cost_usd=0.5, session_id="new")
    stage.hear(ConversationReset(new_conversation_id="new"), message)
    assert (stage.session.session_id, message.cost_usd) == ("new", 0.5)


# What is too late.


def test_nothing_of_an_older_link_is_heard() -> None:
    stage = running("a", "b")
    stage.gone(AgentCrashed("it died"))
    assert stage.generation == 2
    stale: list[on.Input] = [
        on.Heard(1, [assistant("late"), result("b"), success("g2_1")]),
        on.Unlinked(1, AgentCrashed("late")),
        on.Admitted(1),
        on.Linked(1, Initialize()),
        on.Expired("start", 1),
        on.Expired("interrupt", 1),
    ]
    assert [told(stage.session.receive(event)) for event in stale] == [[]] * 6
    assert stage.session.state == "restarting"


# Turns of others.


def guarded(text: str, overlap: Overlap = "queue") -> on.Submit:
    return on.Submit(text, prompt(text), {}, overlap, is_guarded=True)


def is_asked(stage: Stage) -> bool:
    return stage.session.is_vetting


def test_whether_a_turn_may_begin_is_asked_when_it_would() -> None:
    stage = running("a")
    assert stage.receive(guarded("b")) == ["b: TurnAccepted"]
    assert not is_asked(stage)
    assert stage.hear(result("a")) == ["a: ResultMessage", "a: TurnEnded answered", "settle a: answered"]
    assert is_asked(stage)
    assert stage.receive(on.Vetted()) == ["b: TurnStarted", "prompt 1: b"]


def test_a_turn_that_may_not_begin_any_more_makes_room_for_the_next() -> None:
    stage = running("a")
    for text in ("b", "c"):
        stage.receive(guarded(text))
    stage.hear(result("a"))
    assert stage.receive(on.Vetted(("b",))) == [
        "b: TurnEnded cancelled",
        "settle b: cancelled TurnCancelled",
        "c: TurnStarted",
        "prompt 1: c",
    ]


def test_the_agent_is_there_before_it_is_asked_whether_a_turn_may_begin() -> None:
    stage = Stage()
    stage.receive(guarded("a"))
    assert not is_asked(stage)
    stage.begin()
    assert is_asked(stage)
    assert stage.receive(on.Vetted(("a",)))[-1] == "-: idle"


def test_a_turn_that_would_go_into_another_one_is_asked_for_too() -> None:
    stage = running("a")
    stage.submit("b", "collect")
    stage.receive(guarded("c", "collect"))
    stage.hear(result("a"))
    assert stage.receive(on.Vetted(("c",))) == [
        "c: TurnEnded cancelled",
        "settle c: cancelled TurnCancelled",
        "b: TurnStarted",
        "prompt 1: b",
    ]
    assert stage.receive(guarded("d", "steer")) == ["d: TurnAccepted"]
    assert not is_asked(stage)
    assert stage.hear(lifecycle("b", "started"), init())[-1] == "b: InitMessage"
    assert is_asked(stage)
    assert stage.receive(on.Vetted()) == ["d: TurnStarted", "prompt 1: d"]


def test_an_agent_that_floods_with_frames_that_nobody_waits_for_does_not_fill_the_log() -> None:
    stage = running("a")
    flood: list[Message] = [success(f"x{number}") for number in range(1, 10_001)]
    notes = [effect.text for effect in stage.session.receive(on.Heard(1, flood)) if isinstance(effect, do.Note)]
    assert notes == [
        *(f"ignored a control frame: an answer to 'x{number}', which waits for none" for number in range(1, 11)),
        *(
            f"ignored a control frame ({number} by now): an answer to 'x{number}', which waits for none"
            for number in (100, 1_000, 10_000)
        ),
    ]


# What is told of 10,000 that are alike.
COUNTED = [*[""] * 10, " (100 by now)", " (1000 by now)", " (10000 by now)"]


def notes_of(stage: Stage, *heard: Message) -> list[str]:
    """What the log is told as an agent says this."""
    return [effect.text for effect in stage.session.receive(on.Heard(1, [*heard])) if isinstance(effect, do.Note)]


def test_an_agent_that_asks_on_while_its_turn_is_stopped_does_not_fill_the_log() -> None:
    stage = running("a")
    stage.receive(on.StopTurn(None))
    flood = [ControlRequest(request_id=f"x{n}", request=HookCallback(callback_id="h", input={})) for n in range(10_000)]
    late = "a request came too late to be answered{}: hook_callback"
    assert notes_of(stage, *flood) == [late.format(number) for number in COUNTED]


def test_an_agent_that_tells_wrong_costs_without_end_does_not_fill_the_log() -> None:
    stage = running("a")
    flood = [of_background(total_cost_usd=-1.0) for _ in range(10_000)]
    wrong = "the agent told a cost that cannot be{}: -1.0 US dollars"
    assert notes_of(stage, *flood) == [wrong.format(number) for number in COUNTED]


def test_what_an_agent_does_after_a_flood_of_something_else_is_told_and_so_is_what_the_next_one_does() -> None:
    stage = running("a")
    assert len(notes_of(stage, *(success(f"x{number}") for number in range(10_000)))) == 13
    assert len(notes_of(stage, of_background(total_cost_usd=-1.0))) == 1
    stage.gone()
    stage.submit("b")
    stage.begin()
    effects = stage.session.receive(on.Heard(2, [success("x1")]))
    assert [effect.text for effect in effects if isinstance(effect, do.Note)] == [
        "ignored a control frame: an answer to 'x1', which waits for none"
    ]
