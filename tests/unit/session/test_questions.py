"""Our own control requests: they wake the agent, wait for it, are gated, have a deadline, and can be taken back."""

from tests.support.frames import SESSION_ID, init, refusal, result, success
from tests.unit.session.stage import SETTINGS, Peer, Stage, running
from triologue.errors import AgentCrashed, AgentNotFound, ManagerClosed, SessionNotFound, UnsupportedRequest
from triologue.messages import Initialize, Interrupt, McpStatus, SetGoal, SideQuestion, UnknownRequest
from triologue.session import effects as do, inputs as on

DIED = AgentCrashed("it died")
STATUS = McpStatus()


def idle() -> Stage:
    stage = running("a")
    stage.hear(result("a"))
    return stage


def test_a_question_to_an_agent_that_is_there() -> None:
    stage = idle()
    assert stage.receive(on.Ask(1, STATUS)) == ["send 1: McpStatus g1_2", "timer control 1 g1_2"]
    assert stage.hear(success("g1_2", {"mcpServers": []})) == ["clear control g1_2", "answer 1: {'mcpServers': []}"]
    stage.receive(on.Ask(2, STATUS))
    assert stage.hear(refusal("g1_3")) == ["clear control g1_3", "answer 2: AgentProtocolError"]


def test_a_question_wakes_the_agent_and_waits_for_it() -> None:
    stage = Stage()
    assert stage.receive(on.Ask(1, STATUS)) == ["start 1: as it began", "-: starting"]
    assert stage.receive(on.Ask(2, STATUS)) == []
    assert not stage.session.is_quiet
    assert stage.begin() == [
        "clear start",
        "send 1: McpStatus g1_2",
        "timer control 1 g1_2",
        "send 1: McpStatus g1_3",
        "timer control 1 g1_3",
        "-: idle",
    ]


def test_a_question_goes_out_while_a_turn_runs() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Ask(1, STATUS))[0] == "send 1: McpStatus g1_2"


def test_questions_hear_why_the_agent_did_not_start() -> None:
    stage = Stage()
    stage.receive(on.Ask(1, STATUS))
    assert stage.gone(AgentNotFound("nowhere")) == [
        "clear start",
        "clear interrupt",
        "answer 1: AgentNotFound",
        "-: hibernated (nowhere)",
    ]
    assert stage.session.is_quiet
    stage.receive(on.Ask(2, STATUS))
    stage.receive(on.Admitted(2))
    stage.receive(on.Linked(2, Initialize()))
    assert stage.hear(refusal("g2_1"))[:2] == ["answer 2: AgentStartError", "stop 2: at once"]


def test_a_conversation_that_was_never_kept_begins_again_for_a_question() -> None:
    stage = running("a")
    stage.gone(DIED)
    assert stage.receive(on.Ask(1, STATUS))[0] == f"start 2: resume {SESSION_ID}"
    assert stage.gone(SessionNotFound(SESSION_ID))[2:] == [f"start 3: fresh {SESSION_ID}"]
    assert "answer 1: SessionNotFound" in stage.gone(SessionNotFound(SESSION_ID))


def test_a_question_fails_at_once_when_the_agent_goes() -> None:
    stage = idle()
    stage.receive(on.Ask(1, STATUS))
    assert stage.gone(DIED)[2:4] == ["clear control g1_2", "answer 1: AgentProtocolError"]


def test_a_question_that_is_not_answered_in_time_is_taken_back() -> None:
    stage = idle()
    stage.receive(on.Ask(1, STATUS))
    assert stage.expire("control", about="g1_2") == [
        "clear control g1_2",
        "send 1: take back g1_2",
        "answer 1: AgentProtocolError",
    ]
    assert stage.hear(success("g1_2")) == ["note"]
    assert stage.expire("control", about="g1_2") == []


def test_what_a_model_answers_has_no_deadline() -> None:
    stage = idle()
    assert stage.receive(on.Ask(1, SideQuestion(question="why?"))) == ["send 1: SideQuestion g1_2 question=why?"]


def test_a_caller_who_goes_away_takes_the_question_back() -> None:
    stage = Stage()
    stage.receive(on.Ask(1, STATUS))
    stage.receive(on.Ask(2, STATUS))
    assert stage.receive(on.Unask(1)) == ["answer 1: None"]
    stage.begin()
    assert stage.receive(on.Unask(2)) == ["clear control g1_2", "send 1: take back g1_2", "answer 2: None"]
    assert stage.receive(on.Unask(2)) == []
    assert stage.hear(success("g1_2")) == ["note"]


# What an agent can do.


def error_of(stage: Stage, event: on.Input) -> Exception | None:
    return next(each.error for each in stage.session.receive(event) if isinstance(each, do.Answer))


def test_what_an_agent_does_not_have_is_refused_before_it_is_started() -> None:
    stage = Stage()
    error = error_of(stage, on.Ask(1, Interrupt()))
    assert isinstance(error, UnsupportedRequest)
    assert str(error) == "scripted cannot do 'interrupt': it has no such request"
    assert stage.session.is_quiet


def test_a_setting_that_an_agent_cannot_be_told_is_refused_while_it_is_there() -> None:
    stage = Stage(peer=Peer("simple", {}))
    stage.submit("a")
    told = "simple cannot do 'set_model': it has no such request"
    assert str(error_of(stage, on.Change(1, "model", "m"))) == told  # it is being started
    stage.begin()
    assert str(error_of(stage, on.Change(2, "model", "m"))) == told
    assert stage.session.wanted == SETTINGS
    # Named among options it is for the next start, as it is where none is there.
    assert stage.receive(on.Change(None, "permission_mode", "plan")) == ["-: settings None, plan"]


def test_what_an_agent_does_not_announce_is_refused_once_it_introduced_itself() -> None:
    stage = Stage()
    stage.submit("a")
    stage.begin()
    # Claude Code announces most of what it can only with its first turn.
    assert stage.receive(on.Ask(1, SetGoal()))[0] == "send 1: SetGoal g1_2"
    introduction = init()
    introduction.qodercli_version, introduction.capabilities = "1.1.0", ["side_question_v1"]
    stage.hear(introduction)
    error = error_of(stage, on.Ask(2, SetGoal()))
    assert isinstance(error, UnsupportedRequest)
    assert (error.agent, error.request, error.capability, error.version) == ("scripted", "set_goal", "goal_v1", "1.1.0")
    assert str(error) == (
        "scripted 1.1.0 cannot do 'set_goal' (it needs the capability 'goal_v1'): it does not announce it"
    )
    introduction.capabilities = ["goal_v1"]
    stage.hear(introduction)
    assert stage.receive(on.Ask(3, SetGoal()))[0] == "send 1: SetGoal g1_3"


def test_an_agent_that_does_not_know_the_request_after_all() -> None:
    stage = idle()
    stage.receive(on.Ask(1, UnknownRequest(body={"subtype": "dance"})))
    effects = stage.session.receive(
        on.Heard(1, [refusal("g1_2", "Unsupported control request subtype: dance", "unsupported_request")])
    )
    error = next(each.error for each in effects if isinstance(each, do.Answer))
    assert isinstance(error, UnsupportedRequest)
    assert str(error) == "scripted cannot do 'dance': Unsupported control request subtype: dance"


# Letting go.


def test_questions_are_answered_before_the_agent_may_rest() -> None:
    stage = idle()
    stage.receive(on.Ask(1, STATUS))
    assert stage.receive(on.Rest(2)) == []
    assert stage.hear(success("g1_2"))[1:] == ["answer 1: {}", "stop 1: end of input", "-: hibernated"]


def test_questions_of_a_session_that_is_closed() -> None:
    stage = Stage()
    stage.receive(on.Ask(1, STATUS))
    assert stage.receive(on.Leave(2)) == ["answer 1: AgentProtocolError", "stop 1: end of input", "-: hibernated"]
    assert stage.receive(on.Ask(3, STATUS)) == []
    assert stage.gone()[-3:] == ["answer 2: None", "start 2: as it began", "-: starting"]
    assert stage.begin()[1] == "send 2: McpStatus g2_2"


def test_nothing_is_asked_while_the_manager_drains() -> None:
    stage = Stage()
    stage.receive(on.Hold())
    assert isinstance(error_of(stage, on.Ask(1, STATUS)), ManagerClosed)
    assert stage.session.is_quiet
