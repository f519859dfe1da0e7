"""Frames on their way out, in each dialect."""

from typing import Any

from triologue.messages import (
    CanUseTool,
    CommandLifecycle,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    InitMessage,
    Message,
    ResultMessage,
    SessionStateMessage,
    UserBody,
    UserMessage,
)
from triologue.standin.frames import Presenter

READS_STATE = {"CLAUDE_CODE_SDK_READS_SESSION_STATE": "1"}
INIT = InitMessage(subtype="init", session_id="S")


def result(**more: Any) -> ResultMessage:
    facts: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": "S",
    }
    return ResultMessage(**(facts | more))


def prompt(uuid: str | None = None) -> UserMessage:
    return UserMessage(message=UserBody(content="hi"), uuid=uuid)


def seen(messages: list[Message]) -> list[object]:
    return [each.state if isinstance(each, SessionStateMessage) else type(each).__name__ for each in messages]


def test_times_are_whole_milliseconds() -> None:
    (shown,) = Presenter("claude", {}).present([result(duration_ms=1.7, duration_api_ms=0.2)])
    assert shown == result(duration_ms=2, duration_api_ms=0)


def test_a_refusal_has_its_code_where_the_vendor_has_it() -> None:
    refusal = ControlResponse(response=ControlError(request_id="r", error="no", error_code="invalid_mode"))
    told = {dialect: Presenter(dialect, {}).present([refusal])[0] for dialect in ("claude", "qoder", "cortex")}
    assert told == {
        "claude": refusal,
        "qoder": ControlResponse(response=ControlError(request_id="r", error="no", code="invalid_mode")),
        "cortex": ControlResponse(response=ControlError(request_id="r", error="no")),
    }


def test_a_failure_of_the_api_in_each_dialect() -> None:
    failure = result(is_error=True, result="API Error: 529", terminal_reason="api_error")
    told = {dialect: Presenter(dialect, {}).present([failure])[0] for dialect in ("claude", "qoder", "cortex")}
    assert told == {
        "claude": failure,
        "qoder": result(is_error=True, result="API Error: 529", terminal_reason="api_error", total_credits=0.0),
        "cortex": result(
            subtype="error_during_execution",
            is_error=True,
            errors=["API Error: 529"],
            terminal_reason="api_error",
        ),
    }


def test_the_state_is_told_around_a_turn() -> None:
    presenter = Presenter("claude", READS_STATE)
    begun = CommandLifecycle(command_uuid="U", state="queued", session_id="S")
    done = CommandLifecycle(command_uuid="U", state="completed", session_id="S")
    assert seen(presenter.present([begun])) == ["running", "CommandLifecycle"]
    assert seen(presenter.present([INIT])) == ["InitMessage"]
    assert seen(presenter.present([result(queued_turn_count=1), done])) == ["ResultMessage", "CommandLifecycle"]
    assert seen(presenter.present([result(), done])) == ["ResultMessage", "CommandLifecycle", "idle"]
    assert seen(presenter.present([INIT])) == ["running", "InitMessage"]


def test_a_question_is_an_action_that_is_required() -> None:
    presenter = Presenter("claude", READS_STATE)
    presenter.present([INIT])
    asked = [ControlRequest(request_id=each, request=CanUseTool(tool_name="Bash", input={})) for each in ("1", "2")]
    answers: list[list[Message]] = [[ControlResponse(response=ControlSuccess(request_id=each))] for each in ("1", "2")]
    assert seen(presenter.present([asked[0]])) == ["requires_action", "ControlRequest"]
    assert seen(presenter.present([asked[1]])) == ["ControlRequest"]
    assert seen(presenter.hear(answers[0])) == []
    (running,) = presenter.hear(answers[1])
    assert isinstance(running, SessionStateMessage)
    assert (running.state, running.session_id, running.sdk_host_only) == ("running", "S", True)
    assert presenter.hear(answers[1]) == []


def test_states_are_for_those_who_ask() -> None:
    for presenter in (Presenter("claude", {}), Presenter("qoder", READS_STATE), Presenter("cortex", READS_STATE)):
        assert seen(presenter.present([INIT, result()])) == ["InitMessage", "ResultMessage"]
    shown = Presenter("claude", {"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}).present([INIT])
    assert isinstance(shown[0], SessionStateMessage)
    assert shown[0].sdk_host_only is None


def test_prompts_are_echoed_when_their_turns_begin() -> None:
    presenter = Presenter("claude", {}, replays_prompts=True)
    assert presenter.hear([prompt("U1"), prompt()]) == []
    first = presenter.present([INIT])
    assert first == [
        INIT,
        UserMessage(message=UserBody(content="hi"), uuid="U1", session_id="S", is_replay=True),
    ]
    second = presenter.present([INIT])[1]
    assert isinstance(second, UserMessage)
    assert second.uuid is not None
    assert seen(presenter.present([INIT])) == ["InitMessage"]
