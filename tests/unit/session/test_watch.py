"""The deadlines of a turn: when each runs, when it means nothing, and what it ends in."""

import pytest

from tests.properties.model_agent import ModelAgent
from tests.support.frames import aborted, assistant, init, lifecycle, partial, result, success
from tests.unit.session.stage import Stage, ready, running
from triologue.errors import AgentCrashed, TurnFailed, TurnTimeout
from triologue.messages import (
    ApiRetryMessage,
    AssistantBody,
    AssistantMessage,
    CanUseTool,
    ControlRequest,
    HookCallback,
    MalformedMessage,
    Message,
    OversizeMessage,
    PermissionResultAllow,
    ToolUseBlock,
    TurnEnded,
)
from triologue.session import FIRST_EVENT, IDLE, INTERRUPT, MAX_AGE, SILENCE, TOOL, TURN, effects as do, inputs as on

ALL = frozenset({FIRST_EVENT, SILENCE, TOOL, TURN, IDLE, MAX_AGE})
INTERRUPTED = ["send 1: Interrupt g1_2 cancel_queued=True", "timer interrupt 1", "-: interrupting"]
BASH = CanUseTool(tool_name="Bash", input={}, tool_use_id="t1")


def watched() -> tuple[Stage, ModelAgent]:
    """A turn in which the model has said something."""
    stage, agent = running("a", timed=ALL), ModelAgent(1, {}, "early", running="a")
    stage.hear(assistant("x"))
    return stage, agent


def deadline_of(stage: Stage, *messages: object) -> str:
    """Whatever the agent says to its interrupt, the turn failed for this deadline."""
    effects = stage.session.receive(on.Heard(1, list(messages)))  # type: ignore[arg-type]
    outcome = next(effect.outcome for effect in effects if isinstance(effect, do.Settle))
    assert isinstance(outcome.error, TurnFailed)
    assert isinstance(outcome.error.__cause__, TurnTimeout)
    assert (outcome.kind, outcome.reason) == ("failed", outcome.error.__cause__.phase)
    return outcome.error.__cause__.phase


def test_timers_run_from_the_prompt_to_the_first_word_and_from_there_on() -> None:
    stage = Stage(timed=ALL)
    stage.submit("a")
    assert stage.begin() == [
        "clear start",
        "timer max_age 1",
        "a: TurnStarted",
        "timer first_event 1",
        "timer turn 1",
        "prompt 1: a",
        "-: running",
    ]
    assert stage.hear(lifecycle("a", "started"), init()) == [
        "-: CommandLifecycle",
        "a: InitMessage",
    ]
    assert stage.hear(partial("h")) == ["clear first_event", "timer silence 1", "a: StreamEvent"]
    assert stage.hear(partial("i")) == ["a: StreamEvent"]  # words set no timers
    assert stage.hear(result("a")) == [
        "a: ResultMessage",
        "a: TurnEnded answered",
        "settle a: answered",
        "clear silence",
        "clear turn",
        "-: idle",
        "timer idle 1",
    ]


@pytest.mark.parametrize("timer", [FIRST_EVENT, TURN])
def test_an_agent_that_says_nothing_is_interrupted(timer: str) -> None:
    stage = ready("a", timed=ALL)
    assert stage.expire(timer) == ["clear first_event", "clear turn", *INTERRUPTED]
    assert deadline_of(stage, success("g1_2", {"cancelled": ["a"]})) == timer


def test_a_silent_agent_is_interrupted() -> None:
    stage, _ = watched()
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED
    assert deadline_of(stage, success("g1_2"), aborted("a")) == SILENCE


def test_a_turn_of_the_agents_own_is_no_late_first_word_as_long_as_it_goes_on() -> None:
    stage = ready("a", timed=ALL)
    assert stage.hear(init(), assistant("something of its own")) == ["-: InitMessage, AssistantMessage"]
    assert stage.expire(FIRST_EVENT) == ["timer first_event 1"]
    assert stage.expire(FIRST_EVENT)[-3:] == INTERRUPTED  # it has said nothing since then


def test_a_tool_that_runs_is_no_silence_but_has_a_deadline_of_its_own() -> None:
    stage, agent = watched()
    assert stage.hear(agent.call_tool("t1")) == ["timer tool 1 t1", "a: AssistantMessage"]
    assert stage.expire(SILENCE) == ["timer silence 1"]
    assert stage.expire(TOOL, about="t1")[2:] == ["clear tool t1", *INTERRUPTED]
    assert deadline_of(stage, success("g1_2"), aborted("a", terminal_reason="aborted_tools")) == TOOL


def test_a_tool_that_is_done_is_waited_for_no_longer() -> None:
    stage, agent = watched()
    stage.hear(agent.call_tool("t1"))
    assert stage.hear(agent.end_tool()) == ["clear tool t1", "a: UserMessage"]
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED


# Results that nobody could read.


def calls(message_id: str, *tools: str, parent: str | None = None) -> list[AssistantMessage]:
    """One frame for each call of a message, as Claude Code sends them."""
    return [
        AssistantMessage(
            message=AssistantBody(content=[ToolUseBlock(id=tool, name="Bash", input={})], model="m", id=message_id),
            parent_tool_use_id=parent,
        )
        for tool in tools
    ]


def too_long(tool: str) -> OversizeMessage:
    """A result that begins as Claude Code's do."""
    begin = '{"type":"user","message":{"role":"user","content":[{"tool_use_id":"%s","type":"tool_result","content":"x'
    return OversizeMessage(size=20_000_000, head=(begin % tool).encode())


GARBLED = MalformedMessage(error="truncated")


def test_a_result_that_was_too_long_to_read_ends_its_tool_and_no_other() -> None:
    stage, _ = watched()
    stage.hear(*calls("m1", "t1", "t2"))
    assert stage.hear(too_long("t1")) == ["clear tool t1", "a: OversizeMessage"]
    assert stage.expire(SILENCE) == ["timer silence 1"]  # the other one runs
    assert stage.hear(too_long("t2")) == ["clear tool t2", "a: OversizeMessage"]
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED


def test_it_does_where_tools_have_no_deadline_too() -> None:
    stage = running("a", timed=frozenset({SILENCE}))
    stage.hear(assistant("x"), *calls("m1", "t1"))
    assert not stage.session.lets_pass(1, [too_long("t1")])
    stage.hear(too_long("t1"))
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED


def test_a_result_that_does_not_tell_whose_it_is_ends_its_tool_when_the_model_goes_on() -> None:
    stage, _ = watched()
    stage.hear(*calls("m1", "t1"))
    assert stage.hear(GARBLED) == ["a: MalformedMessage"]
    # The rest of what it called for in that message.
    assert stage.hear(*calls("m1", "t2")) == ["timer tool 1 t2", "a: AssistantMessage"]
    assert stage.expire(SILENCE) == ["timer silence 1"]
    assert stage.hear(*calls("m2", "t3"))[:3] == ["clear tool t1", "clear tool t2", "timer tool 1 t3"]
    assert stage.hear(too_long("t3"))[0] == "clear tool t3"
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED


def test_what_a_sub_agent_says_ends_none_of_its_callers_tools() -> None:
    stage, _ = watched()
    stage.hear(*calls("m1", "agent", "other"), *calls("s1", "t1", parent="agent"), GARBLED)
    assert stage.hear(*calls("s2", "t2", parent="agent"))[:2] == ["clear tool t1", "timer tool 1 t2"]
    assert stage.expire(SILENCE) == ["timer silence 1"]
    # And it is over with the call that it was started with.
    assert stage.hear(too_long("agent"))[:2] == ["clear tool agent", "clear tool t2"]
    assert stage.expire(SILENCE) == ["timer silence 1"]


def test_nothing_is_over_where_messages_cannot_be_told_apart_or_every_line_was_read() -> None:
    stage, agent = watched()
    stage.hear(agent.call_tool("t1"), GARBLED)
    assert stage.hear(agent.call_tool("t2")) == ["timer tool 1 t2", "a: AssistantMessage"]
    stage, _ = watched()
    stage.hear(*calls("m1", "t1"))
    assert stage.hear(*calls("m2", "t2")) == ["timer tool 1 t2", "a: AssistantMessage"]


def test_a_permission_stops_the_clocks_and_the_tools_begins_anew() -> None:
    stage, agent = watched()
    stage.hear(agent.call_tool("t1"))
    assert stage.asks("r1", BASH) == [
        "a: asked p-1",
        "timer permission 1 p-1",
        "pause turn",
        "clear tool t1",
        "ask 1: r1 p-1 a Bash",
    ]
    assert stage.expire(SILENCE) == ["timer silence 1"]
    assert stage.receive(on.Decide(None, "p-1", PermissionResultAllow())) == [
        "send 1: to r1 {'behavior': 'allow', 'updatedInput': {}}",
        "clear permission p-1",
        "resume turn",
        "timer silence 1",
        "timer tool 1 t1",
        "a: answered p-1 allow",
        "settled p-1: allow",
    ]


def test_a_tool_that_is_told_of_after_its_permission_was_asked_for_does_not_run_yet() -> None:
    stage, agent = watched()
    stage.asks("r1", BASH)
    assert stage.hear(agent.call_tool("t1")) == ["a: AssistantMessage"]
    assert "timer tool 1 t1" in stage.receive(on.Decide(None, "p-1", PermissionResultAllow()))


def test_the_clock_goes_on_when_the_last_permission_is_settled() -> None:
    stage, _ = watched()
    assert "pause turn" in stage.asks("r1")
    assert "pause turn" not in stage.asks("r2")
    assert "resume turn" not in stage.receive(on.Decide(None, "p-1", PermissionResultAllow()))
    assert "resume turn" in stage.receive(on.Decide(None, "p-2", PermissionResultAllow()))


def test_a_permission_that_waits_when_the_prompt_goes_out_stops_the_clock_too() -> None:
    stage = ready("a", timed=ALL)
    stage.hear(lifecycle("a", "started"), result("a"), init())
    stage.asks("r1")
    assert stage.submit("b")[2:5] == ["timer first_event 1", "timer turn 1", "pause turn"]
    assert "resume turn" in stage.receive(on.Decide(None, "p-1", PermissionResultAllow()))


def test_a_callback_of_ours_is_no_silence_and_its_end_begins_it_anew() -> None:
    stage, _ = watched()
    stage.hear(ControlRequest(request_id="h1", request=HookCallback(callback_id="h", input={})))
    assert stage.expire(SILENCE) == ["timer silence 1"]
    assert stage.receive(on.Served(1, "h1", {})) == ["timer silence 1", "send 1: to h1 {}"]
    assert stage.expire(SILENCE)[-3:] == INTERRUPTED


def test_an_answer_that_crosses_a_deadline_is_an_answer() -> None:
    stage, _ = watched()
    stage.expire(TURN)
    assert stage.receive(on.StopTurn(7)) == []
    assert stage.hear(result("a"))[1:4] == ["answer 7: 'already_done'", "a: TurnEnded answered", "settle a: answered"]


def test_one_that_does_not_stop_is_killed_and_the_deadline_is_the_cause() -> None:
    stage, _ = watched()
    stage.expire(SILENCE)
    assert stage.receive(on.StopTurn(7)) == []
    assert stage.expire(INTERRUPT) == [
        "answer 7: 'killed'",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by TurnTimeout",
        "stop 1: at once",
        "-: hibernated",
    ]


def test_one_that_dies_of_the_interrupt_failed_for_the_deadline() -> None:
    stage, _ = watched()
    stage.expire(SILENCE)
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.gone(AgentCrashed("it died", exit_code=1))


def test_the_outcome_says_which_deadline_it_was() -> None:
    stage, _ = watched()
    stage.receive(on.Expired(SILENCE, 1, seconds=420))
    effects = stage.session.receive(on.Heard(1, [success("g1_2"), aborted("a")]))
    ended = next(
        message
        for effect in effects
        if isinstance(effect, do.Publish)
        for message in effect.messages
        if isinstance(message, TurnEnded)
    )
    assert str(ended.outcome.error) == "the turn failed (silence): Deadlines.silence passed: 420 s"


def test_without_deadlines_there_are_no_timers() -> None:
    stage = running("a")
    assert stage.hear(assistant("x"), result("a")) == [
        "a: AssistantMessage, ResultMessage",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: idle",
    ]


# An agent at rest.


def test_an_agent_that_had_nothing_to_do_for_long_is_let_go() -> None:
    stage = running("a", timed=ALL)
    stage.hear(result("a"))
    assert stage.expire(IDLE) == ["stop 1: end of input", "-: hibernated (idle)", "clear idle"]


def test_an_old_agent_goes_between_two_turns() -> None:
    stage = running("a", "b", timed=ALL)
    assert stage.expire(MAX_AGE) == []
    assert stage.hear(result("a"))[-2:] == ["stop 1: end of input", "-: restarting (max_age)"]
    assert stage.gone()[-2:] == ["start 2: resume 5e551011-0000-4000-8000-000000000001", "-: starting"]


def test_an_old_agent_that_has_to_be_killed_does_not_go_for_its_age() -> None:
    stage = running("a", timed=ALL)
    stage.expire(MAX_AGE)
    stage.receive(on.StopTurn(1))
    assert stage.expire(INTERRUPT)[-2:] == ["stop 1: at once", "-: hibernated"]


def test_a_tool_that_begins_while_the_turn_is_being_stopped_is_not_watched_nor_remembered() -> None:
    stage, agent = watched()
    stage.receive(on.StopTurn(1))
    assert stage.hear(agent.call_tool("t1")) == ["a: AssistantMessage"]
    stage.hear(success("g1_2"), aborted("a"))
    stage.submit("b")
    stage.hear(lifecycle("b", "started"), assistant("x"))
    assert stage.expire(SILENCE)[-1] == "-: interrupting"


# What the agent tells of an API that does not answer.


def retry(attempt: int, status: int | None, error: str | None = None) -> ApiRetryMessage:
    """As Claude Code tells that it tries again."""
    return ApiRetryMessage(
        subtype="api_retry", attempt=attempt, max_retries=10, retry_delay_ms=1199, error_status=status, error=error
    )


def why(stage: Stage, timer: str) -> str:
    """What the log tells of a deadline that passes now, behind its name; the error of the turn tells the same."""
    notes = [
        effect.text for effect in stage.session.receive(on.Expired(timer, 1, seconds=5)) if isinstance(effect, do.Note)
    ]
    effects = stage.session.receive(on.Heard(1, [success("g1_2"), aborted("a")]))
    outcome = next(effect.outcome for effect in effects if isinstance(effect, do.Settle))
    assert outcome.error is not None
    assert notes == [f"the turn is stopped: {outcome.error.__cause__}"]
    return str(outcome.error.__cause__).removeprefix(f"Deadlines.{timer} passed: 5 s")


@pytest.mark.parametrize("timer", [FIRST_EVENT, TURN])
def test_the_last_retry_of_the_api_is_told_where_no_first_word_came_in_time(timer: str) -> None:
    stage = running("a", timed=ALL)
    stage.hear(retry(1, 529, "overloaded"))
    assert stage.hear(retry(2, 529, "overloaded")) == ["a: ApiRetryMessage"]
    assert (
        why(stage, timer) == "; the agent was trying the model's API again: 529 overloaded (retry 2 of 10 after 1.2 s)"
    )


def test_a_retry_behind_the_first_word_is_told_of_a_silence() -> None:
    stage, _ = watched()
    assert not stage.session.lets_pass(1, [partial("h"), retry(1, 500)])
    stage.hear(partial("h"), retry(1, 500), init())
    assert why(stage, SILENCE) == (
        "; the agent was trying the model's API again: 500 without a reason (retry 1 of 10 after 1.2 s)"
    )


def test_a_connection_that_broke_has_no_status() -> None:
    stage, _ = watched()
    stage.hear(retry(1, None, "unknown"))
    assert why(stage, SILENCE) == (
        "; the agent was trying the model's API again: unknown, no HTTP status (retry 1 of 10 after 1.2 s)"
    )


@pytest.mark.parametrize("said", [partial("h"), assistant("h")])
def test_a_retry_that_was_answered_is_no_reason(said: Message) -> None:
    stage, _ = watched()
    stage.hear(retry(1, 529, "overloaded"))
    assert not stage.session.lets_pass(1, [said])  # once; then text passes by again
    assert stage.hear(said) == [f"a: {type(said).__name__}"]
    assert stage.session.lets_pass(1, [partial("i")])
    assert why(stage, SILENCE) == ""


def test_a_retry_of_the_turn_before_is_no_reason() -> None:
    stage, _ = watched()
    stage.submit("b")
    stage.hear(retry(1, 529, "overloaded"), result("a"), lifecycle("b", "started"))
    effects = stage.session.receive(on.Expired(FIRST_EVENT, 1, seconds=5))
    assert [effect.text for effect in effects if isinstance(effect, do.Note)] == [
        "the turn is stopped: Deadlines.first_event passed: 5 s"
    ]


def test_an_agent_that_tells_a_lot_of_its_retry_is_cut_short() -> None:
    stage, _ = watched()
    stage.hear(retry(10**4000, 529, "over\nloaded " * 1_000_000))
    told = why(stage, SILENCE)
    assert told.startswith("; the agent was trying the model's API again: 529 over loaded over loaded")
    assert (len(told), told[-1]) == (len("; the agent was trying the model's API again: ") + 200, "…")
