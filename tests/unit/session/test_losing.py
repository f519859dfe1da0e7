"""An agent that goes away: what counts as a crash, what becomes of its turn, and when the session gives up."""

from typing import Any

import pytest

from tests.support.frames import SESSION_ID, assistant, init, lifecycle, refusal, result
from tests.unit.session.stage import Stage, ready, running
from triologue.errors import (
    AgentCrashed,
    AgentNotFound,
    AgentStartError,
    BudgetExceeded,
    InvalidOption,
    NotLoggedIn,
    SessionFailed,
    SessionNotFound,
    TriologueError,
)
from triologue.messages import BackgroundTasksMessage, Initialize, McpStatus, SessionStateMessage
from triologue.options import RestartPolicy
from triologue.session import FIRST_EVENT, INTERRUPT, SILENCE, START, TOOL, TURN, Restarts, inputs as on

DIED = AgentCrashed("it died", exit_code=1)
SPENT = BudgetExceeded("max_cost_usd", cost_usd=2.0, limit_usd=1.0)
GONE = ["clear start", "clear interrupt"]
RESUMED = f"start 2: resume {SESSION_ID}"


def under(max_restarts: int, *, retry_turn: bool = False) -> Restarts:
    return Restarts(RestartPolicy(max_restarts=max_restarts, within=60, retry_turn=retry_turn))


def uuid_of_run(stage: Stage) -> str:
    assert stage.session.run is not None
    return stage.session.run.prompt.uuid or ""


# The budget.


def test_a_crash_fails_the_turn_and_the_next_goes_to_another_agent() -> None:
    stage = running("a", "b")
    assert stage.gone(DIED) == [
        *GONE,
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        RESUMED,
        "-: restarting",
    ]


def test_a_crash_too_many_fails_what_waits_and_what_comes() -> None:
    stage = running("a", "b", restarts=under(0))
    why = (
        "its agent died more than 0 times within 60 s (RestartPolicy), the last time with: it died; "
        "it may be tried again in 60 s"
    )
    assert stage.gone(DIED, at=10.0) == [
        *GONE,
        "b: TurnEnded failed",
        "settle b: failed TurnFailed by SessionFailed",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        f"-: failed ({why})",
    ]
    with pytest.raises(SessionFailed) as caught:
        stage.submit("c")
    assert (str(caught.value), caught.value.reason, caught.value.retry_at) == (why, "it died", 70.0)
    assert stage.session.is_quiet


def test_a_session_that_failed_starts_no_agent_for_a_request_either() -> None:
    stage = running("a", restarts=under(0))
    stage.gone(DIED)
    assert stage.receive(on.Ask(1, McpStatus())) == ["answer 1: SessionFailed"]
    assert stage.session.is_quiet


def test_one_without_money_still_answers_requests() -> None:
    stage = Stage()
    stage.receive(on.Refuse(SPENT))
    assert stage.receive(on.Ask(1, McpStatus())) == ["start 1: as it began", "-: starting"]


def test_it_opens_again_for_who_looks_later() -> None:
    restarts = under(0)
    running("a", restarts=restarts).gone(DIED, at=10.0)
    assert (restarts.recent(69.9), restarts.recent(70.0)) == (1, 0)


def test_money_that_comes_back_does_not_open_a_session_that_failed() -> None:
    stage = running("a", restarts=under(0))
    stage.gone(DIED)
    assert stage.receive(on.Refuse(SPENT)) == []
    assert stage.receive(on.Refuse(None)) == []
    assert stage.session.state == "failed"


def test_a_kill_counts() -> None:
    stage = running("a", restarts=under(0))
    stage.receive(on.StopTurn(1))
    assert stage.expire(INTERRUPT)[-2:] == ["stop 1: at once", "-: hibernated"]
    assert stage.submit("b") == ["b: TurnAccepted", "-: restarting"]
    assert stage.gone()[2:4] == ["b: TurnEnded failed", "settle b: failed TurnFailed by SessionFailed"]


def test_an_agent_that_does_not_start_counts() -> None:
    stage = Stage(restarts=under(0))
    stage.submit("a")
    stage.receive(on.Admitted(1))
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.expire(START)
    stage.gone()
    assert stage.session.state == "failed"


def test_what_an_agent_says_that_was_given_up_is_nothing_to_the_next_turn() -> None:
    stage = Stage()
    for text in "ab":
        stage.submit(text)
    stage.receive(on.Admitted(1))
    stage.receive(on.Linked(1, Initialize()))
    assert stage.expire(START)[:2] == ["a: TurnEnded failed", "settle a: failed TurnFailed by TurnTimeout"]
    assert stage.hear(refusal("g1_1")) == []
    assert stage.gone() == [*GONE, "start 2: as it began"]


@pytest.mark.parametrize(
    "error",
    [
        NotLoggedIn("no account"),
        AgentNotFound("no program"),
        InvalidOption("no"),
        AgentStartError("unknown option", is_final=True),
    ],
)
@pytest.mark.parametrize("retry_turn", [False, True])
def test_what_another_start_would_not_mend_is_no_crash(error: TriologueError, *, retry_turn: bool) -> None:
    restarts = under(0 if not retry_turn else 5, retry_turn=retry_turn)
    stage = running("a", restarts=restarts)
    assert f"settle a: failed TurnFailed by {type(error).__name__}" in stage.gone(error)
    assert (stage.session.state, restarts.recent(0.0)) == ("hibernated", 0)


def test_the_second_restart_is_put_off() -> None:
    restarts = under(5)
    stage = running("a", "b", restarts=restarts)
    stage.gone(DIED, at=10.0)
    assert stage.session.start_after == 10.0
    stage.gone(DIED, at=11.0)
    assert stage.session.start_after == 11.25  # the lower end of half a second


def test_a_fresh_conversation_that_is_missing_too_fails_the_turn_and_is_not_begun_for_ever() -> None:
    missing = SessionNotFound("gone")
    stage = Stage(session_id="gone", is_confirmed=True)
    stage.session.begins_anew = True
    assert stage.submit("a")[1] == "start 1: resume gone"
    assert stage.gone(missing) == [*GONE, "begin anew", "start 2: as it began", "-: restarting"]
    assert "settle a: failed TurnFailed by SessionNotFound" in stage.gone(missing)
    assert stage.submit("b")[1] == "start 3: as it began"
    stage.begin()
    # That one is lost later, after it has worked.
    stage.hear(lifecycle("b", "started"), init(), result("b"))
    stage.receive(on.Evict(3))
    stage.gone()
    assert stage.submit("c")[1] == f"start 4: resume {SESSION_ID}"
    assert "begin anew" in stage.gone(missing)


# The turn that was under way.


def test_a_turn_is_run_again_where_the_policy_says_so_under_a_fresh_uuid() -> None:
    stage = running("a", restarts=under(1, retry_turn=True))
    assert stage.gone(DIED) == [*GONE, RESUMED, "-: restarting"]
    assert stage.begin() == ["clear start", "prompt 2: a", "-: running"]
    assert uuid_of_run(stage) != "a"
    assert stage.hear(result(uuid_of_run(stage)))[-2:] == ["settle a: answered", "-: idle"]


def test_it_is_run_again_until_the_budget_is_spent() -> None:
    stage = running("a", restarts=under(1, retry_turn=True))
    stage.gone(DIED)
    stage.begin()
    assert "settle a: failed TurnFailed by AgentCrashed" in stage.gone(DIED)
    assert stage.session.state == "failed"


def test_one_that_kills_each_agent_after_a_long_while_is_not_run_again_for_ever() -> None:
    stage = running("a", restarts=under(2, retry_turn=True))
    for hour in (1, 2):
        assert "settle a" not in " ".join(stage.gone(DIED, at=hour * 3600.0))
        stage.begin()
    assert stage.gone(DIED, at=3 * 3600.0)[2:4] == [
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
    ]
    assert stage.session.state == "hibernated"


def test_so_is_one_whose_agent_died_before_it_was_ready() -> None:
    stage = Stage(restarts=under(1, retry_turn=True))
    stage.submit("a")
    assert stage.gone(DIED) == [*GONE, "start 2: as it began", "-: restarting"]


def test_what_the_dead_agent_said_of_it_is_forgotten() -> None:
    stage = ready("a", restarts=under(5, retry_turn=True))
    stage.hear(lifecycle("a", "discarded"))
    stage.gone(DIED)
    stage.begin()
    stage.hear(lifecycle(uuid_of_run(stage), "started"))
    assert stage.submit("s", "steer")[1:] == ["s: TurnStarted", "prompt 2: s"]


def test_one_that_is_withdrawn_before_it_runs_again_did_run() -> None:
    stage = running("a", restarts=under(5, retry_turn=True))
    stage.gone(DIED)
    assert stage.receive(on.Withdraw("a"))[:2] == [
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
    ]


def test_one_that_is_being_stopped_is_not_run_again() -> None:
    stage = running("a", restarts=under(1, retry_turn=True))
    stage.receive(on.StopTurn(1))
    assert "settle a: interrupted TurnInterrupted" in stage.gone(DIED)


STALLED: dict[str, Any] = {"timed": frozenset({FIRST_EVENT, SILENCE, TOOL, TURN})}


@pytest.mark.parametrize("timer", [FIRST_EVENT, SILENCE])
def test_one_whose_agent_is_killed_for_a_stall_is_run_again(timer: str) -> None:
    stage = ready("a", restarts=under(1, retry_turn=True), **STALLED)
    if timer == SILENCE:
        stage.hear(lifecycle("a", "started"), assistant("ha"))
    assert "timer interrupt 1" in stage.expire(timer)
    assert stage.expire(INTERRUPT) == ["stop 1: at once", "-: restarting"]
    assert "start 2: " in " ".join(stage.gone(at=5.0))
    assert stage.session.start_after == 5.0
    assert "prompt 2: a" in stage.begin()
    heard = stage.hear(result(uuid_of_run(stage)))
    assert "settle a: answered" in heard
    assert heard[-1] == "-: idle"


def test_a_stall_counts_and_is_the_cause_once_the_budget_is_spent() -> None:
    stage = ready("a", restarts=under(2, retry_turn=True), **STALLED)
    for _ in range(2):
        stage.expire(FIRST_EVENT)
        assert "settle" not in " ".join(stage.expire(INTERRUPT) + stage.gone())
        stage.begin()
    stage.expire(FIRST_EVENT)
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.expire(INTERRUPT) + stage.gone()
    assert stage.session.state == "failed"


def test_it_is_also_where_others_have_used_the_budget_up() -> None:
    restarts = under(1, retry_turn=True)
    restarts.crashed(0.0, jitter=0)
    stage = ready("a", restarts=restarts, **STALLED)
    stage.expire(FIRST_EVENT)
    assert "settle" not in " ".join(stage.expire(INTERRUPT))
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.gone()


def test_an_agent_that_dies_of_the_interrupt_for_a_stall_is_one_that_died() -> None:
    stage = ready("a", restarts=under(1, retry_turn=True), **STALLED)
    stage.expire(FIRST_EVENT)
    assert "start 2" in " ".join(stage.gone(DIED))


@pytest.mark.parametrize("timer", [TURN, TOOL])
def test_a_turn_whose_own_time_is_over_is_not_run_again(timer: str) -> None:
    stage = running("a", restarts=under(5, retry_turn=True), **STALLED)
    stage.expire(timer)
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.expire(INTERRUPT)


@pytest.mark.parametrize("stop", [on.StopTurn(1), on.StopTurn(None), on.Withdraw("a"), on.Leave(1)])
def test_nor_is_one_that_stalled_and_is_not_wanted_any_more(stop: on.Input) -> None:
    stage = ready("a", restarts=under(5, retry_turn=True), **STALLED)
    stage.expire(FIRST_EVENT)
    stage.receive(stop)
    assert "settle a: failed TurnFailed by TurnTimeout" in stage.expire(INTERRUPT)


@pytest.mark.parametrize(("stop", "answer"), [(on.StopTurn(1), ["answer 1: 'stopped'"]), (on.Withdraw("a"), [])])
def test_it_can_be_stopped_while_the_agent_that_stalled_is_killed(stop: on.Input, answer: list[str]) -> None:
    stage = ready("a", restarts=under(5, retry_turn=True), **STALLED)
    stage.expire(FIRST_EVENT)
    stage.expire(INTERRUPT)
    told = stage.receive(stop)
    assert [*answer, "a: TurnEnded interrupted"] == told[: len(answer) + 1]
    assert "start 2" not in " ".join(stage.gone())


# Settings that an agent died of.


def test_a_setting_that_two_agents_died_of_is_given_up() -> None:
    stage = running("a", settings={"model": "good", "permission_mode": None})
    stage.receive(on.Change(1, "model", "deadly"))
    assert "answer 1: 'deadly'" in stage.gone(DIED)
    assert stage.submit("b")[1] == f"{RESUMED} model=deadly"
    assert "note" in stage.gone(DIED)
    assert stage.submit("c")[1] == f"start 3: resume {SESSION_ID} model=good"


def test_it_is_remembered_while_the_session_sleeps() -> None:
    stage = running("a")
    stage.receive(on.Change(1, "model", "deadly"))
    stage.gone(DIED)
    slept = Stage(settings=stage.session.wanted, doubtful=stage.session.doubtful)
    assert slept.submit("b")[1] == "start 1: as it began model=deadly"
    slept.gone(DIED)
    assert slept.session.wanted == {"model": None, "permission_mode": None}


def test_a_setting_that_was_chosen_since_then_is_not_given_up_for_it() -> None:
    stage = running("a")
    stage.receive(on.Change(1, "model", "deadly"))
    stage.gone(DIED)
    stage.receive(on.Change(2, "model", "other"))
    stage.submit("b")
    stage.gone(DIED)
    assert stage.submit("c")[1] == f"start 3: resume {SESSION_ID} model=other"


def test_a_setting_whose_next_agent_lives_is_kept() -> None:
    stage = running("a")
    stage.receive(on.Change(1, "model", "m"))
    stage.gone(DIED)
    stage.submit("b")
    stage.begin()
    assert stage.session.doubtful == {}


# Its place is needed.


def test_an_idle_agent_goes_and_the_next_message_starts_another() -> None:
    stage = running("a")
    stage.hear(result("a"))
    assert stage.receive(on.Evict(1)) == ["stop 1: end of input", "-: hibernated"]
    assert stage.submit("b") == ["b: TurnAccepted", "-: restarting"]
    assert stage.gone() == [*GONE, RESUMED, "-: starting"]


def test_one_that_is_needed_stays() -> None:
    at_work = running("a")
    asked = running("b")
    asked.hear(result("b"))
    asked.asks("r1")
    in_background = running("c")
    in_background.hear(
        result("c"), BackgroundTasksMessage(subtype="background_tasks_changed", tasks=[{"task_id": "b1"}])
    )
    by_itself = running("d")
    by_itself.hear(result("d"), SessionStateMessage(subtype="session_state_changed", state="running"))
    starting = Stage()
    starting.submit("g")
    for stage in (at_work, asked, in_background, by_itself, starting):
        assert stage.receive(on.Evict(1)) == ["stay 1"]


def test_one_whose_turn_waits_for_a_usage_limit_makes_room() -> None:
    stage = ready("a")
    stage.hear(result("a"))
    stage.receive(on.Gate("the usage limit is reached"))
    stage.submit("b")
    assert stage.receive(on.Evict(1)) == ["stop 1: end of input", "-: hibernated"]
    assert not [each for each in stage.gone() if each.startswith("start")]
    assert stage.receive(on.Gate(None))[-1] == "-: starting"


def test_an_eviction_of_an_agent_before_this_one_is_refused() -> None:
    stage = running("a")
    stage.gone(DIED)
    stage.submit("b")
    stage.begin()
    stage.hear(result("b"))
    assert stage.receive(on.Evict(1)) == []
    assert stage.receive(on.Evict(2))[0] == "stop 2: end of input"


# Money and limits.


def test_no_turn_begins_before_the_last_one_is_accounted_for() -> None:
    stage = running("a", "b", "c", is_metered=True)
    assert stage.hear(result("a")) == ["a: ResultMessage", "a: TurnEnded answered", "settle a: answered"]
    assert stage.receive(on.Refuse(None)) == ["b: TurnStarted", "prompt 1: b"]
    stage.hear(result("b"))
    assert stage.receive(on.Refuse(SPENT)) == [
        "c: TurnEnded cancelled",
        "settle c: cancelled BudgetExceeded",
        "-: idle",
    ]
    with pytest.raises(BudgetExceeded):
        stage.submit("d")


def test_a_usage_limit_holds_turns_back_and_says_so_to_none_that_runs() -> None:
    stage = running("a", "b")
    assert stage.receive(on.Gate("the usage limit is reached")) == []
    assert stage.hear(result("a"))[-2:] == ["settle a: answered", "-: idle"]
    assert stage.receive(on.Gate(None)) == ["b: TurnStarted", "prompt 1: b", "-: running"]
