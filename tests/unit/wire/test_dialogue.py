"""Who asked, who answered, and what is still open."""

import pytest

from triologue.messages import (
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    GetContextUsage,
    Interrupt,
    KeepAlive,
)
from triologue.wire import Answered, Asked, Dialogue, Ignored, Refused, Withdrawn


def test_a_question_is_answered_once() -> None:
    host, agent = Dialogue(), Dialogue()
    question = host.ask(Interrupt())
    assert question == ControlRequest(request_id="req_1", request=Interrupt())
    assert agent.hear(question) == Asked("req_1", Interrupt())
    answer = agent.answer("req_1", {"still_queued": []})
    assert answer == ControlResponse(response=ControlSuccess(request_id="req_1", response={"still_queued": []}))
    assert agent.answer("req_1") is None
    assert agent.refuse("req_1", "late") is None
    assert host.hear(answer) == Answered("req_1", {"still_queued": []})
    assert host.hear(answer) == Ignored("an answer to 'req_1', which waits for none")
    assert (host.asked, agent.owed) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ControlError(request_id="req_1", error="no"), None),
        (ControlError(request_id="req_1", error="no", error_code="bypass"), "bypass"),
        (ControlError(request_id="req_1", error="no", code=7), "7"),
    ],
)
def test_a_refusal_has_the_code_under_either_name(error: ControlError, code: str | None) -> None:
    host = Dialogue()
    host.ask(Interrupt())
    assert host.hear(ControlResponse(response=error)) == Refused("req_1", "no", code)


def test_an_answer_that_says_nothing_is_empty() -> None:
    host = Dialogue()
    host.ask(Interrupt())
    assert host.hear(ControlResponse(response=ControlSuccess(request_id="req_1"))) == Answered("req_1", {})


def test_a_withdrawn_question_gets_no_answer() -> None:
    host, agent = Dialogue(), Dialogue()
    agent.hear(host.ask(Interrupt()))
    cancel = host.withdraw("req_1")
    assert cancel == ControlCancel(request_id="req_1")
    assert host.withdraw("req_1") is None
    assert agent.hear(cancel) == Withdrawn("req_1")
    assert agent.hear(cancel) == Ignored("nothing to cancel under 'req_1'")
    assert agent.answer("req_1") is None


def test_an_answer_that_crosses_the_withdrawal_is_ignored() -> None:
    host, agent = Dialogue(), Dialogue()
    agent.hear(host.ask(Interrupt()))
    answer = agent.answer("req_1")
    assert answer is not None
    host.withdraw("req_1")
    assert host.hear(answer) == Ignored("an answer to 'req_1', which waits for none")


def test_both_ends_may_use_the_same_ids() -> None:
    here = Dialogue()
    here.ask(Interrupt())
    assert here.hear(ControlRequest(request_id="req_1", request=GetContextUsage())) == Asked("req_1", GetContextUsage())
    assert (here.asked, here.owed) == (frozenset({"req_1"}), frozenset({"req_1"}))


def test_an_id_in_use_is_not_asked_again() -> None:
    here = Dialogue()
    question = ControlRequest(request_id="a", request=Interrupt())
    here.hear(question)
    assert here.hear(question) == Ignored("request id 'a' is in use")
    here.answer("a")
    assert here.hear(question) == Asked("a", Interrupt())


def test_after_close_everything_open_has_failed_and_nothing_is_sent() -> None:
    here = Dialogue()
    for _ in range(11):
        here.ask(Interrupt())
    here.hear(ControlRequest(request_id="a", request=Interrupt()))
    assert here.close() == [f"req_{number}" for number in range(1, 12)]
    assert here.close() == []
    assert here.answer("a") is None
    assert here.withdraw("req_1") is None
    assert here.hear(ControlRequest(request_id="b", request=Interrupt())) == Ignored("closed")
    assert here.owed == frozenset()
    with pytest.raises(ConnectionError):
        here.ask(Interrupt())


def test_a_keep_alive_asks_nothing() -> None:
    assert Dialogue().hear(KeepAlive()) == Ignored("keep-alive")


def test_what_was_stopped_needs_no_answer() -> None:
    host, agent = Dialogue(), Dialogue()
    agent.hear(host.ask(Interrupt()))
    agent.forget("req_1")
    agent.forget("never")
    assert (agent.owed, agent.answer("req_1"), agent.refuse("req_1", "no")) == (frozenset(), None, None)
