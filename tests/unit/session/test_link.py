"""The link as the session drives it: starts, deaths, settings, and letting the agent go."""

from tests.support.frames import SESSION_ID, aborted, assistant, init, lifecycle, refusal, result, success
from tests.unit.session.stage import Stage, ready, running
from triologue.errors import AgentCrashed, AgentStartError, ManagerClosed, SessionNotFound
from triologue.messages import Initialize
from triologue.session import inputs as on

DIED = AgentCrashed("it died")


def idle(**more: object) -> Stage:
    stage = running("a", **more)
    stage.hear(success("nobody"), result("a"))
    return stage


# Death.


def test_an_agent_that_dies_before_it_is_up_fails_the_turn() -> None:
    stage = Stage()
    stage.submit("a")
    assert stage.gone(AgentStartError("no such file")) == [
        "clear start",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentStartError",
        "-: hibernated (no such file)",
    ]
    assert stage.session.is_quiet


def test_an_agent_that_dies_in_a_turn_fails_it_and_the_next_one_resumes() -> None:
    stage = running("a", "b")
    assert stage.gone(DIED) == [
        "clear start",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        f"start 2: resume {SESSION_ID}",
        "-: restarting",
    ]
    assert stage.begin() == ["clear start", "b: TurnStarted", "prompt 2: b", "-: running"]


def test_an_agent_that_is_dead_gets_no_prompt_while_what_it_left_behind_is_put_in_order() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Lost(1, DIED)) == [
        "clear start",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        "-: restarting",
    ]
    assert stage.receive(on.Leave(1))[0] == "b: TurnEnded cancelled"
    stage.submit("c")
    assert stage.gone(DIED)[-3:] == ["answer 1: None", f"start 2: resume {SESSION_ID}", "-: restarting"]


def test_an_agent_that_dies_with_the_prompt_unread_fails_the_turn() -> None:
    stage = ready("a")
    assert stage.gone(DIED)[2:] == [
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        "-: hibernated (it died)",
    ]


def test_an_agent_that_dies_while_it_is_interrupted_has_stopped() -> None:
    stage = running("a")
    stage.receive(on.StopTurn(1))
    assert stage.gone(DIED)[3:] == [
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "-: hibernated (it died)",
    ]


def test_an_idle_agent_that_dies_tells_why_and_the_next_prompt_wakes_it() -> None:
    stage = idle()
    assert stage.gone(DIED) == ["clear start", "clear interrupt", "-: hibernated (it died)"]
    assert stage.session.is_quiet
    assert stage.submit("b") == ["b: TurnAccepted", f"start 2: resume {SESSION_ID}", "-: restarting"]


def test_a_connection_that_closes_without_a_reason_still_fails_the_turn() -> None:
    assert "settle a: failed TurnFailed by AgentProtocolError" in running("a").gone(None)


def test_an_agent_that_does_not_answer_the_handshake_is_stopped() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(on.Admitted(1))
    assert stage.expire("start") == [
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by TurnTimeout",
        "stop 1: at once",
        "-: hibernated (the agent did not answer the handshake within Deadlines.start, and was stopped)",
    ]
    assert stage.hear(result(session_id="refused", is_error=True)) == []
    assert stage.session.session_id is None
    assert stage.gone() == ["clear start", "clear interrupt"]


def test_a_refused_handshake_comes_after_what_was_said_before_it() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(on.Admitted(1))
    stage.receive(on.Linked(1, Initialize()))
    assert stage.hear(assistant("Not logged in"), refusal("g1_1"))[:3] == [
        "-: AssistantMessage",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentStartError",
    ]


# Conversations that are missing.


def test_a_refused_resume_fails_and_keeps_the_id() -> None:
    stage = Stage(session_id="kept", is_confirmed=True)
    assert stage.submit("a")[1] == "start 1: resume kept"
    assert stage.hear(result(session_id="kept", is_error=True)) == []
    assert stage.session.refusal is not None
    assert stage.gone(SessionNotFound("kept"))[3] == "settle a: failed TurnFailed by SessionNotFound"
    assert stage.session.session_id == "kept"


def test_a_conversation_that_was_never_kept_begins_again_under_its_id() -> None:
    stage = running("a", "b")
    assert stage.gone(DIED)[-2] == f"start 2: resume {SESSION_ID}"
    assert stage.gone(SessionNotFound(SESSION_ID)) == [
        "clear start",
        "clear interrupt",
        f"start 3: fresh {SESSION_ID}",
    ]
    # Once; an agent that says so again is not believed again.
    assert stage.gone(SessionNotFound(SESSION_ID))[3] == "settle b: failed TurnFailed by SessionNotFound"


def test_a_conversation_with_a_result_is_not_begun_again() -> None:
    stage = idle()
    stage.gone(DIED)
    stage.submit("b")
    assert "settle b: failed TurnFailed by SessionNotFound" in stage.gone(SessionNotFound(SESSION_ID))


# Settings.


def change(ticket: int | None, value: str | None) -> on.Change:
    return on.Change(ticket, "model", value)


def test_a_setting_before_the_start_is_started_with() -> None:
    stage = Stage()
    assert stage.receive(change(1, "m")) == ["-: settings m, None", "answer 1: 'm'"]
    assert stage.receive(change(2, "m")) == ["answer 2: 'm'"]
    assert stage.submit("a")[1] == "start 1: as it began model=m"


def test_a_setting_while_the_agent_starts_is_sent_when_it_is_up_and_answered_when_it_is_taken() -> None:
    stage = Stage()
    stage.submit("a")
    assert stage.receive(change(1, "m")) == ["-: settings m, None"]
    assert stage.receive(change(None, "bad")) == ["-: settings bad, None"]
    assert stage.begin() == [
        "clear start",
        "send 1: SetModel g1_2 model=m",
        "timer control 1 g1_2",
        "send 1: SetModel g1_3 model=bad",
        "timer control 1 g1_3",
        "a: TurnStarted",
        "prompt 1: a",
        "-: running",
    ]
    assert stage.hear(success("g1_2")) == ["clear control g1_2", "answer 1: 'm'"]
    assert stage.hear(refusal("g1_3")) == ["clear control g1_3", "-: settings m, None", "note"]
    assert stage.session.wanted["model"] == "m"


def test_a_setting_that_never_reached_the_agent_is_started_with() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(change(1, "m"))
    assert "answer 1: 'm'" in stage.gone(DIED)
    assert stage.submit("b")[1] == "start 2: as it began model=m"
    stage.receive(change(2, "n"))
    assert "answer 2: 'n'" in stage.receive(on.Leave(3))


def test_a_setting_that_the_agent_does_not_know_is_given_up_and_says_so() -> None:
    stage = idle()
    stage.receive(on.Change(1, "permission_mode", "plan"))
    assert stage.hear(refusal("g1_2", code="unsupported_request")) == [
        "clear control g1_2",
        "-: settings None, None",
        "answer 1: UnsupportedRequest",
    ]
    assert stage.session.wanted["permission_mode"] is None


def test_a_setting_that_is_not_answered_in_time_is_given_up() -> None:
    stage = idle()
    stage.receive(change(1, "m"))
    assert stage.expire("control", about="g1_2") == [
        "clear control g1_2",
        "send 1: take back g1_2",
        "-: settings None, None",
        "answer 1: AgentProtocolError",
    ]
    assert stage.session.wanted["model"] is None


def test_a_setting_is_sent_and_survives_a_restart() -> None:
    stage = idle()
    assert stage.receive(change(1, "m")) == [
        "-: settings m, None",
        "send 1: SetModel g1_2 model=m",
        "timer control 1 g1_2",
    ]
    assert stage.receive(on.Change(2, "permission_mode", None)) == [
        "send 1: SetPermissionMode g1_3 mode=default",
        "timer control 1 g1_3",
    ]
    assert stage.hear(success("g1_2"), success("g1_3")) == [
        "clear control g1_2",
        "answer 1: 'm'",
        "clear control g1_3",
        "answer 2: None",
    ]
    stage.gone(DIED)
    assert stage.submit("b")[1] == f"start 2: resume {SESSION_ID} model=m"


def test_a_refused_setting_is_given_up() -> None:
    stage = idle()
    stage.receive(change(1, "bad"))
    assert stage.hear(refusal("g1_2")) == [
        "clear control g1_2",
        "-: settings None, None",
        "answer 1: AgentProtocolError",
    ]
    assert stage.session.wanted["model"] is None


def test_of_several_settings_on_their_way_the_last_that_was_taken_counts() -> None:
    stage = idle()
    for ticket, value in enumerate(["bad", "good", "bad"]):
        stage.receive(change(ticket, value))
    assert stage.hear(refusal("g1_2"), success("g1_3")) == [
        "clear control g1_2",
        "answer 0: AgentProtocolError",
        "clear control g1_3",
        "answer 1: 'good'",
    ]
    assert stage.session.wanted["model"] == "bad"
    assert stage.hear(refusal("g1_4")) == [
        "clear control g1_4",
        "-: settings good, None",
        "answer 2: AgentProtocolError",
    ]
    assert stage.session.wanted["model"] == "good"


def test_a_setting_that_was_asked_for_while_the_agent_leaves_is_for_the_next() -> None:
    stage = idle()
    stage.receive(change(1, "old"))
    stage.receive(on.Rest(2))
    assert stage.receive(change(3, "new")) == ["-: settings new, None", "answer 3: 'new'"]
    assert stage.hear(success("g1_2")) == ["clear control g1_2", "answer 1: 'old'"]
    assert stage.session.wanted["model"] == "new"


def test_a_setting_that_was_not_answered_is_started_with() -> None:
    stage = idle()
    stage.receive(change(1, "m"))
    assert stage.gone(DIED)[2:4] == ["clear control g1_2", "answer 1: 'm'"]
    assert stage.submit("b")[1] == f"start 2: resume {SESSION_ID} model=m"


# Letting the agent go.


def test_rest_waits_for_what_runs_and_what_waits() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Rest(1)) == []
    stage.hear(result("a"))
    assert stage.hear(lifecycle("b", "started"), result("b"))[-2:] == ["stop 1: end of input", "-: hibernated"]
    assert stage.gone() == ["clear start", "clear interrupt", "answer 1: None"]
    assert stage.session.is_quiet


def test_rest_of_what_sleeps_is_answered_at_once() -> None:
    assert Stage().receive(on.Rest(1)) == ["answer 1: None"]


def test_leave_cancels_what_waits_and_interrupts_what_runs() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Leave(1, error=ManagerClosed("over"))) == [
        "b: TurnEnded cancelled",
        "settle b: cancelled ManagerClosed",
        "send 1: Interrupt g1_2 cancel_queued=True",
        "timer interrupt 1",
        "-: interrupting",
    ]
    assert stage.hear(success("g1_2"), aborted("a"))[-3:] == [
        "settle a: interrupted TurnInterrupted",
        "stop 1: end of input",
        "-: hibernated",
    ]
    assert stage.gone() == ["clear start", "clear interrupt", "answer 1: None"]


def test_an_eviction_of_one_that_leaves_already_means_nothing() -> None:
    stage = idle()
    stage.receive(on.Rest(1))
    assert stage.receive(on.Evict(1)) == []


def test_leave_of_a_silent_agent_ends_with_the_interrupts_deadline() -> None:
    stage = running("a")
    stage.receive(on.Leave(1))
    assert "stop 1: at once" in stage.expire("interrupt")
    assert stage.gone()[-1] == "answer 1: None"


def test_leave_while_the_agent_starts() -> None:
    stage = Stage()
    stage.submit("a")
    assert stage.receive(on.Leave(1)) == [
        "a: TurnEnded cancelled",
        "settle a: cancelled TurnCancelled",
        "stop 1: end of input",
        "-: hibernated",
    ]
    assert stage.receive(on.Linked(1, Initialize())) == []
    assert stage.gone() == ["clear start", "clear interrupt", "answer 1: None"]


def test_what_comes_in_while_the_agent_leaves_begins_afterwards() -> None:
    stage = idle()
    stage.receive(on.Leave(1))
    assert stage.submit("b") == ["b: TurnAccepted"]
    assert stage.gone()[-3:] == ["answer 1: None", f"start 2: resume {SESSION_ID}", "-: starting"]


def test_two_who_let_it_go_are_both_answered_when_it_is_gone_and_one_may_forget() -> None:
    stage = idle()
    stage.receive(on.Leave(1, forget=True))
    assert stage.receive(on.Leave(2)) == []
    assert stage.gone() == ["clear start", "clear interrupt", "answer 1: None", "answer 2: None"]
    assert (stage.session.session_id, stage.session.is_confirmed, stage.session.total_cost_usd) == (None, False, 0.0)
    assert stage.submit("b")[1] == "start 2: as it began"


def test_a_held_session_finishes_what_runs_and_begins_nothing() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Hold()) == []
    assert stage.hear(result("a"))[-2:] == ["settle a: answered", "-: idle"]
    assert stage.receive(on.Leave(1)) == [
        "b: TurnEnded cancelled",
        "settle b: cancelled TurnCancelled",
        "stop 1: end of input",
        "-: hibernated",
    ]


def test_an_agent_that_tells_another_id_is_believed() -> None:
    stage = ready("a")
    stage.hear(lifecycle("a", "started"), init("another"))
    assert stage.session.session_id == "another"
