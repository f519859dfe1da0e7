"""Prompts that are handed to an agent while it works, and everything that it can make of them."""

import pytest

from tests.support.frames import aborted, assistant, init, lifecycle, prompt, refusal, result, success
from tests.unit.session.stage import STEERABLE, Stage, running
from triologue.errors import AgentCrashed, BudgetExceeded, MailboxFull, TurnRejected
from triologue.options import RestartPolicy
from triologue.session import CONTROL, FIRST_EVENT, INTERRUPT, Restarts, inputs as on

DIED = AgentCrashed("it died", exit_code=1)
SPENT = BudgetExceeded("max_cost_usd", cost_usd=2.0, limit_usd=1.0)


def steered(*texts: str) -> Stage:
    """Turn `a` runs, and the agent was handed these."""
    stage = running("a", peer=STEERABLE)
    for text in texts:
        stage.submit(text, "steer")
    return stage


def uuid_of_run(stage: Stage) -> str:
    assert stage.session.run is not None
    return stage.session.run.prompt.uuid or ""


# What the agent does with one.


def test_one_that_is_folded_is_merged_into_the_turn_that_runs() -> None:
    stage = running("a", peer=STEERABLE)
    assert stage.submit("s", "steer") == ["s: TurnAccepted", "s: TurnStarted", "prompt 1: s"]
    assert stage.hear(lifecycle("s", "queued"), lifecycle("s", "started")) == [
        "-: CommandLifecycle",
        "-: CommandLifecycle",
        "s: TurnEnded merged",
        "settle s: merged",
    ]
    assert stage.hear(lifecycle("s", "completed"), result("a", "s"), lifecycle("a", "completed")) == [
        "-: CommandLifecycle",
        "a: ResultMessage",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: CommandLifecycle",
        "-: idle",
    ]


def test_one_that_only_the_result_names_was_folded_too() -> None:
    stage = steered("s")
    assert stage.hear(result("a", "s")) == [
        "a: ResultMessage",
        "s: TurnEnded merged",
        "settle s: merged",
        "a: TurnEnded answered",
        "settle a: answered",
        "-: idle",
    ]


def test_one_that_is_not_folded_becomes_a_turn_of_its_own() -> None:
    stage = steered("s")
    stage.submit("b")
    assert stage.hear(result("a")) == ["a: ResultMessage", "a: TurnEnded answered", "settle a: answered"]
    assert stage.hear(lifecycle("s", "started"), init(), assistant("yes"), result("s")) == [
        "-: CommandLifecycle",
        "s: InitMessage, AssistantMessage, ResultMessage",
        "s: TurnEnded answered",
        "settle s: answered",
        "b: TurnStarted",
        "prompt 1: b",
    ]


def test_two_that_the_agent_makes_one_turn_of_have_one_result() -> None:
    stage = steered("s", "t")
    stage.hear(result("a"))
    assert stage.hear(lifecycle("s", "started"), lifecycle("t", "started"), init()) == [
        "-: CommandLifecycle",
        "-: CommandLifecycle",
        "t: TurnEnded merged",
        "settle t: merged",
        "s: InitMessage",
    ]
    assert stage.hear(result("s", "t"))[-2:] == ["settle s: answered", "-: idle"]


def test_the_agent_may_begin_with_the_second() -> None:
    stage = steered("s", "t")
    stage.hear(result("a"))
    assert stage.hear(lifecycle("t", "started"), assistant("t"))[-1] == "t: AssistantMessage"
    assert stage.hear(result("t"))[-1] == "settle t: answered"
    assert stage.hear(lifecycle("s", "started"), assistant("s"))[-1] == "s: AssistantMessage"
    assert stage.hear(result("s"))[-2:] == ["settle s: answered", "-: idle"]


def test_one_that_failed_does_not_disable_the_next() -> None:
    stage = steered("s")
    assert stage.hear(lifecycle("s", "discarded")) == ["-: CommandLifecycle"]
    assert stage.submit("t", "steer") == ["t: TurnAccepted"]  # behind the one that waits again
    assert stage.hear(result("a"))[-1] == "prompt 1: s"
    assert uuid_of_run(stage) != "s"  # an agent does not do the same uuid twice
    assert stage.hear(lifecycle(uuid_of_run(stage), "started")) == [
        "-: CommandLifecycle",
        "t: TurnStarted",
        "prompt 1: t",
    ]


def test_one_that_begins_after_another_was_dropped_is_a_turn_of_its_own() -> None:
    stage = steered("s", "t")
    stage.hear(result("a"))
    stage.hear(lifecycle("s", "cancelled"))
    assert stage.hear(lifecycle("t", "started"), assistant("t"), result("t")) == [
        "-: CommandLifecycle",
        "clear interrupt",
        "s: TurnEnded failed",
        "settle s: failed TurnFailed by AgentProtocolError",
        "t: AssistantMessage, ResultMessage",
        "t: TurnEnded answered",
        "settle t: answered",
        "-: idle",
    ]


def test_the_result_of_one_that_was_dropped_may_be_of_another_too() -> None:
    stage = steered("s", "t")
    stage.hear(result("a"))
    stage.hear(lifecycle("s", "cancelled"))
    assert stage.hear(result("s", "t", is_error=True)) == [
        "s: ResultMessage",
        "t: TurnEnded merged",
        "settle t: merged",
        "clear interrupt",
        "s: TurnEnded failed",
        "settle s: failed TurnFailed",
        "-: idle",
    ]


# When it is not handed over.


def test_an_agent_that_does_not_tell_what_becomes_of_prompts_is_not_steered() -> None:
    stage = Stage(peer=STEERABLE)
    stage.submit("a")
    stage.begin(lifecycle=False)
    stage.hear(init())
    assert stage.submit("s", "steer") == ["s: TurnAccepted"]
    assert stage.hear(result())[-2:] == ["s: TurnStarted", "prompt 1: s"]


def test_one_waits_for_another_that_has_its_uuid() -> None:
    stage = steered("s")
    assert stage.receive(on.Submit("t", prompt("s"), {}, "steer")) == ["t: TurnAccepted"]
    assert stage.receive(on.Submit("u", prompt("a"), {}, "steer")) == ["u: TurnAccepted"]
    assert stage.hear(lifecycle("s", "started")) == [
        "-: CommandLifecycle",
        "s: TurnEnded merged",
        "settle s: merged",
    ]
    assert stage.hear(lifecycle("s", "completed")) == ["-: CommandLifecycle"]  # of the first one
    assert stage.hear(result("a", "s"))[-2:] == ["t: TurnStarted", "prompt 1: s"]


def test_it_waits_behind_what_waits() -> None:
    stage = running("a", "b", peer=STEERABLE)
    assert stage.submit("s", "steer") == ["s: TurnAccepted"]
    assert stage.hear(result("a"))[-2:] == ["b: TurnStarted", "prompt 1: b"]
    assert stage.hear(lifecycle("b", "started")) == ["-: CommandLifecycle", "s: TurnStarted", "prompt 1: s"]


def test_it_waits_while_a_usage_limit_holds_and_when_the_turn_is_being_stopped() -> None:
    stage = running("a", peer=STEERABLE)
    stage.receive(on.Gate("the usage limit is reached"))
    assert stage.submit("s", "steer") == ["s: TurnAccepted"]
    assert stage.receive(on.Gate(None)) == ["s: TurnStarted", "prompt 1: s"]
    stage.receive(on.StopTurn(1))
    assert stage.submit("t", "steer") == ["t: TurnAccepted"]


def test_the_agent_is_handed_no_more_than_may_wait_and_then_the_mailbox_fills() -> None:
    stage = steered(*"stuvwx")
    assert (len(stage.session.steering), len(stage.session.mailbox)) == (3, 3)
    with pytest.raises(MailboxFull):
        stage.submit("y", "steer")
    assert stage.hear(lifecycle("s", "started"))[1:] == [
        "s: TurnEnded merged",
        "settle s: merged",
        "v: TurnStarted",
        "prompt 1: v",
    ]


def test_while_one_is_with_the_agent_the_session_is_busy() -> None:
    stage = steered("s")
    with pytest.raises(TurnRejected):
        stage.submit("b", "reject")


# An interrupt.


def test_one_that_an_interrupt_drops_waits_again() -> None:
    stage = steered("s")
    stage.submit("b")
    stage.receive(on.StopTurn(1))
    cancelled = success("g1_2", {"cancelled": ["s"]})
    assert stage.hear(lifecycle("s", "cancelled"), cancelled, aborted("a")) == [
        "-: CommandLifecycle",
        "a: ResultMessage",
        "clear interrupt",
        "answer 1: 'stopped'",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "prompt 1: s",
        "-: running",
    ]
    assert uuid_of_run(stage) != "s"


def test_nothing_begins_before_the_agent_has_told_what_the_interrupt_dropped() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    assert stage.hear(aborted("a"))[-2:] == ["settle a: interrupted TurnInterrupted", "-: idle"]
    assert stage.hear(success("g1_2", {"cancelled": ["s"]})) == ["clear interrupt", "prompt 1: s", "-: running"]


def test_one_that_an_interrupt_leaves_becomes_a_turn_of_its_own() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    stage.hear(aborted("a"))
    assert stage.hear(success("g1_2", {"still_queued": ["s"]})) == ["clear interrupt", "-: running"]
    assert stage.hear(lifecycle("s", "started"), result("s"))[-2:] == ["settle s: answered", "-: idle"]


def test_an_interrupt_that_comes_too_late_for_its_turn_and_hits_a_steer_is_no_outcome_of_it() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    assert "answer 1: 'already_done'" in stage.hear(result("a"))
    stage.hear(lifecycle("s", "started"), init())
    assert stage.hear(success("g1_2"), aborted("s")) == ["clear interrupt", "-: ResultMessage", "prompt 1: s"]
    assert stage.hear(lifecycle(uuid_of_run(stage), "started"), result(uuid_of_run(stage)))[-2:] == [
        "settle s: answered",
        "-: idle",
    ]


def test_one_that_was_hit_so_when_it_had_done_something_is_interrupted() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    stage.hear(result("a"))
    stage.hear(lifecycle("s", "started"), init(), assistant("hm"))
    assert stage.hear(success("g1_2"), aborted("s"))[-2:] == ["settle s: interrupted TurnInterrupted", "-: idle"]


def test_who_stops_the_one_that_was_to_begin_stops_the_one_that_begins() -> None:
    stage = steered("s", "t")
    stage.hear(result("a"))
    stage.receive(on.StopTurn(1))
    stage.hear(lifecycle("t", "started"))
    cancelled = success("g1_2", {"cancelled": ["s"]})
    assert stage.hear(lifecycle("s", "cancelled"), cancelled, aborted("t")) == [
        "-: CommandLifecycle",
        "s: TurnEnded cancelled",
        "settle s: cancelled TurnCancelled",
        "t: ResultMessage",
        "clear interrupt",
        "answer 1: 'stopped'",
        "t: TurnEnded interrupted",
        "settle t: interrupted TurnInterrupted",
        "-: idle",
    ]


def test_who_stopped_one_that_stalls_is_answered_also_where_another_one_began_in_its_place() -> None:
    restarts = Restarts(RestartPolicy(retry_turn=True))
    stage = running("a", peer=STEERABLE, restarts=restarts, timed=frozenset({FIRST_EVENT}))
    for text in ("s", "t"):
        stage.submit(text, "steer")
    stage.hear(result("a"))
    stage.expire(FIRST_EVENT)
    stage.receive(on.StopTurn(1))
    stage.hear(lifecycle("t", "started"))
    assert stage.expire(INTERRUPT) == [
        "answer 1: 'killed'",
        "t: TurnEnded failed",
        "settle t: failed TurnFailed by TurnTimeout",
        "stop 1: at once",
        "-: hibernated",
    ]


def test_one_is_first_again_after_the_agent_was_killed() -> None:
    stage = steered("s")
    stage.submit("b")
    stage.receive(on.StopTurn(1))
    assert stage.expire(INTERRUPT)[-2:] == ["stop 1: at once", "-: hibernated"]
    assert stage.gone()[-2:] == ["start 2: resume 5e551011-0000-4000-8000-000000000001", "-: starting"]
    assert stage.begin() == ["clear start", "prompt 2: s", "-: running"]


# The end of the agent, or of the session.


def test_one_that_a_dead_agent_had_in_hand_goes_to_the_next_agent_under_a_fresh_uuid() -> None:
    stage = steered("s")
    assert stage.gone(DIED) == [
        "clear start",
        "clear interrupt",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        "start 2: resume 5e551011-0000-4000-8000-000000000001",
        "-: restarting",
    ]
    assert stage.begin() == ["clear start", "prompt 2: s", "-: running"]
    assert uuid_of_run(stage) != "s"


def test_one_that_a_close_drops_is_cancelled() -> None:
    stage = steered("s")
    stage.receive(on.Leave(1))
    cancelled = success("g1_2", {"cancelled": ["s"]})
    assert stage.hear(lifecycle("s", "cancelled"), cancelled, aborted("a")) == [
        "-: CommandLifecycle",
        "s: TurnEnded cancelled",
        "settle s: cancelled TurnCancelled",
        "a: ResultMessage",
        "clear interrupt",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
        "stop 1: end of input",
        "-: hibernated",
    ]


def test_one_that_the_agent_begins_while_it_leaves_is_interrupted() -> None:
    stage = steered("s", "t")
    stage.receive(on.Leave(1))
    assert stage.hear(success("g1_2", {}), aborted("a"))[-2:] == ["stop 1: end of input", "-: hibernated"]
    assert stage.hear(lifecycle("s", "started"))[-1] == "settle s: interrupted TurnInterrupted"
    assert stage.gone()[-3:] == ["t: TurnEnded cancelled", "settle t: cancelled TurnCancelled", "answer 1: None"]


def test_one_that_waits_for_an_interrupt_to_be_over_runs_before_the_agent_is_let_go() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    stage.hear(aborted("a"))
    assert stage.receive(on.Rest(2)) == []
    stage.hear(success("g1_2", {"cancelled": [], "still_queued": ["s"]}))
    assert stage.hear(lifecycle("s", "started"), result("s")) == [
        "-: CommandLifecycle",
        "s: ResultMessage",
        "s: TurnEnded answered",
        "settle s: answered",
        "stop 1: end of input",
        "-: hibernated",
    ]


def test_one_that_comes_back_when_the_money_is_spent_ends_with_that() -> None:
    stage = steered("s")
    assert stage.receive(on.Refuse(SPENT)) == []
    assert stage.hear(lifecycle("s", "cancelled"))[-1] == "settle s: cancelled BudgetExceeded"


# Withdrawn.


def test_one_that_is_withdrawn_and_dropped_is_cancelled() -> None:
    stage = steered("s")
    assert stage.receive(on.Withdraw("s")) == [
        "send 1: CancelAsyncMessage g1_2 message_uuid=s",
        "timer control 1 g1_2",
    ]
    assert stage.receive(on.Withdraw("s")) == []  # it was asked for already
    assert stage.hear(lifecycle("s", "cancelled"), success("g1_2", {"cancelled": True})) == [
        "-: CommandLifecycle",
        "s: TurnEnded cancelled",
        "settle s: cancelled TurnCancelled",
        "clear control g1_2",
    ]


def test_one_that_is_withdrawn_while_its_agent_is_killed_is_cancelled_with_that_agents_end() -> None:
    stage = steered("s")
    stage.receive(on.StopTurn(1))
    assert "stop 1: at once" in stage.expire(INTERRUPT)
    assert stage.receive(on.Withdraw("s")) == []  # nothing is sent to one that was told to go
    assert stage.gone()[-2:] == ["s: TurnEnded cancelled", "settle s: cancelled TurnCancelled"]


def test_one_that_is_withdrawn_has_no_deadline_any_more_once_its_agent_is_dead() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    assert stage.gone(DIED) == [
        "clear start",
        "clear interrupt",
        "s: TurnEnded cancelled",
        "settle s: cancelled TurnCancelled",
        "clear control g1_2",
        "a: TurnEnded failed",
        "settle a: failed TurnFailed by AgentCrashed",
        "-: hibernated (it died)",
    ]


def test_one_that_is_withdrawn_and_folded_all_the_same_stays_merged() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    assert stage.hear(success("g1_2", {"cancelled": False})) == ["clear control g1_2"]
    assert stage.hear(lifecycle("s", "started"))[-1] == "settle s: merged"


def test_who_was_withdrawn_too_late_takes_no_other_one_of_its_uuid_along() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    stage.hear(lifecycle("s", "started"), success("g1_2", {"cancelled": False}), result("a", "s"))
    stage.submit("b")
    stage.hear(lifecycle("b", "started"))
    assert stage.receive(on.Submit("t", prompt("s"), {}, "steer"))[-1] == "prompt 1: s"
    assert stage.hear(lifecycle("s", "discarded")) == ["-: CommandLifecycle"]
    assert stage.hear(result("b"))[-1] == "prompt 1: s"


def test_one_that_is_withdrawn_and_becomes_a_turn_all_the_same_is_interrupted() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    stage.hear(refusal("g1_2"))
    assert stage.hear(result("a"))[-3:] == [
        "send 1: Interrupt g1_3 cancel_queued=True",
        "timer interrupt 1",
        "-: interrupting",
    ]
    assert stage.hear(success("g1_3", {"cancelled": ["s"]}))[:2] == [
        "clear interrupt",
        "s: TurnEnded interrupted",
    ]


def test_the_answer_to_a_withdrawal_may_come_after_the_result() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    stage.hear(result("a"))
    assert stage.hear(success("g1_2", {"cancelled": True}))[-2:] == ["settle s: interrupted TurnInterrupted", "-: idle"]


def test_an_agent_that_does_not_answer_a_withdrawal_is_not_waited_for() -> None:
    stage = steered("s")
    stage.receive(on.Withdraw("s"))
    assert stage.expire(CONTROL, about="g1_2") == ["clear control g1_2", "send 1: take back g1_2"]
