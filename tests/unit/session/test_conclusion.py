"""What an agent does before it is let go: it is asked for it, has a deadline, and may be wanted again meanwhile."""

import pytest

from tests.support.frames import init, lifecycle, refusal, result, success
from tests.unit.session.stage import Stage
from triologue.errors import AgentCrashed
from triologue.messages import BackgroundTasksMessage, McpStatus, Request, SetGoal
from triologue.session import inputs as on

ONE: tuple[Request, ...] = (McpStatus(),)
TWO: tuple[Request, ...] = (McpStatus(), SetGoal(), McpStatus())
"""The one in the middle is not announced, and so not asked for."""


def idle(conclusions: tuple[Request, ...]) -> Stage:
    """A turn has ended; `g1_1` was the handshake."""
    stage = Stage()
    stage.submit("a")
    stage.begin(conclusions=conclusions)
    stage.hear(lifecycle("a", "started"), init())
    stage.hear(result("a"))
    return stage


LETTING_GO = [on.Rest(1), on.Leave(1)]


@pytest.mark.parametrize("event", LETTING_GO)
def test_it_is_asked_for_one_thing_after_the_other_and_then_it_goes(event: on.Input) -> None:
    stage = idle(TWO)
    assert stage.receive(event) == ["timer conclude 1", "send 1: McpStatus g1_2"]
    assert stage.session.state == "idle"
    assert stage.hear(success("g1_2")) == ["send 1: McpStatus g1_3"]
    assert stage.hear(success("g1_3")) == ["clear conclude", "stop 1: end of input", "-: hibernated"]
    assert "answer 1: None" in stage.gone()


@pytest.mark.parametrize("event", LETTING_GO)
def test_a_refusal_is_noted_and_holds_nothing_up(event: on.Input) -> None:
    stage = idle(TWO)
    stage.receive(event)
    assert stage.hear(refusal("g1_2")) == ["note", "send 1: McpStatus g1_3"]
    assert stage.hear(refusal("g1_3"))[:3] == ["note", "clear conclude", "stop 1: end of input"]


@pytest.mark.parametrize("event", LETTING_GO)
def test_one_that_takes_too_long_goes_without(event: on.Input) -> None:
    stage = idle(TWO)
    stage.receive(event)
    assert stage.expire("conclude") == [
        "send 1: take back g1_2",
        "note",
        "clear conclude",
        "stop 1: end of input",
        "-: hibernated",
    ]
    assert stage.hear(success("g1_2")) == ["note"]  # too late


def test_what_it_asks_meanwhile_is_answered() -> None:
    stage = idle(ONE)
    stage.receive(on.Leave(1))
    assert stage.asks("gate") == [
        "-: asked p-1",
        "timer permission 1 p-1",
        "ask 1: gate p-1 - Bash",
    ]


def test_a_prompt_wants_it_again_and_then_it_is_asked_anew() -> None:
    stage = idle(ONE)
    stage.receive(on.Rest(1))
    assert stage.submit("b") == ["b: TurnAccepted", "clear conclude", "b: TurnStarted", "prompt 1: b", "-: running"]
    assert stage.hear(success("g1_2")) == []
    stage.hear(lifecycle("b", "started"), init())
    assert stage.hear(result("b"))[-3:] == ["timer conclude 1", "send 1: McpStatus g1_3", "-: idle"]
    assert stage.hear(success("g1_3"))[:2] == ["clear conclude", "stop 1: end of input"]


def test_one_that_dies_meanwhile_was_let_go_all_the_same() -> None:
    stage = idle(TWO)
    stage.receive(on.Leave(1))
    died = AgentCrashed("it died")
    assert "clear conclude" in stage.receive(on.Lost(1, died))
    assert "answer 1: None" in stage.gone(died)
    assert stage.session.is_quiet


def test_who_does_not_work_is_asked_for_nothing() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(on.Linked(1, McpStatus(), conclusions=ONE))
    stage.receive(on.Leave(1))
    assert stage.expire("conclude") == []


@pytest.mark.parametrize(
    ("event", "why"),
    [(on.Evict(1), ""), (on.Expired("idle", 1), " (idle)"), (on.Expired("max_age", 1), " (max_age)")],
)
def test_one_that_makes_room_or_is_old_does_it_too_and_no_turn_begins_before_it_is_gone(
    event: on.Input, why: str
) -> None:
    stage = idle(ONE)
    assert stage.receive(event) == ["timer conclude 1", "send 1: McpStatus g1_2"]
    assert stage.submit("b") == ["b: TurnAccepted"]
    assert stage.hear(success("g1_2")) == ["clear conclude", "stop 1: end of input", f"-: restarting{why}"]
    assert "start 2: resume " in " ".join(stage.gone())


def test_one_that_begins_something_of_its_own_meanwhile_stays_and_takes_turns() -> None:
    stage = idle(ONE)
    stage.receive(on.Evict(1))
    assert stage.submit("b") == ["b: TurnAccepted"]
    stage.hear(BackgroundTasksMessage(subtype="background_tasks_changed", tasks=[{"task_id": "t"}]))
    assert stage.hear(success("g1_2")) == ["stay 1", "clear conclude", "b: TurnStarted", "prompt 1: b", "-: running"]
    stage.hear(lifecycle("b", "started"), init())
    stage.hear(result("b"))
    over = stage.hear(BackgroundTasksMessage(subtype="background_tasks_changed", tasks=[]))
    assert over == ["-: BackgroundTasksMessage", "timer conclude 1", "send 1: McpStatus g1_3"]
