"""What becomes of a message that comes while another one is worked on, and how many may wait."""

import pytest

from tests.support.frames import SESSION_ID, init, lifecycle, prompt, result, success
from tests.unit.session.stage import STEERABLE, Stage, ready, running
from triologue.errors import MailboxFull, TurnRejected
from triologue.messages import TextBlock, UserBody, UserMessage
from triologue.options import Overlap
from triologue.session import inputs as on
from triologue.session.mailbox import Mailbox, Waiting, joined

STOP = ["send 1: Interrupt g1_2 cancel_queued=True", "timer interrupt 1", "-: interrupting"]


def order(box: Mailbox) -> list[str]:
    return [waiting.turn_id for waiting in box.clear()]


# A policy in each state of the session.


@pytest.mark.parametrize("overlap", ["queue", "reject", "interrupt", "steer", "collect"])
def test_where_nothing_runs_every_policy_begins_a_turn(overlap: Overlap) -> None:
    stage = Stage(peer=STEERABLE)
    assert stage.submit("a", overlap) == ["a: TurnAccepted", "start 1: as it began", "-: starting"]
    stage.begin()
    stage.hear(lifecycle("a", "started"), result("a"))
    assert stage.submit("b", overlap) == ["b: TurnAccepted", "b: TurnStarted", "prompt 1: b", "-: running"]


def test_queue_waits() -> None:
    assert running("a").submit("b") == ["b: TurnAccepted"]


def test_reject_takes_nothing_in_while_anything_runs_or_waits() -> None:
    starting, stopping = Stage(), running("a")
    starting.submit("a")
    stopping.receive(on.StopTurn(1))
    held = Stage()
    held.receive(on.Gate("the usage limit is reached"))
    held.submit("a")
    for stage in (starting, running("a"), stopping, held):
        with pytest.raises(TurnRejected) as caught:
            stage.submit("b", "reject")
        assert caught.value.reason == "busy"
        assert stage.session.mailbox.position("b") is None


def test_interrupt_stops_what_runs_and_goes_before_what_waits() -> None:
    stage = running("a", "b")
    assert stage.submit("c", "interrupt") == ["c: TurnAccepted", *STOP]
    assert [stage.session.mailbox.position(each) for each in "cb"] == [0, 1]
    stage.submit("d", "interrupt")
    assert [stage.session.mailbox.position(each) for each in "dcb"] == [0, 1, 2]


def test_interrupt_ends_a_turn_that_waits_for_its_agent() -> None:
    stage = Stage()
    stage.submit("a")
    assert stage.submit("b", "interrupt") == [
        "b: TurnAccepted",
        "a: TurnEnded interrupted",
        "settle a: interrupted TurnInterrupted",
    ]
    assert stage.begin()[1:3] == ["b: TurnStarted", "prompt 1: b"]


def test_interrupt_leaves_a_turn_of_the_agents_own_alone() -> None:
    stage = ready("a")
    stage.hear(lifecycle("a", "started"), result("a"), init())
    assert stage.submit("b", "interrupt") == ["b: TurnAccepted", "b: TurnStarted", "prompt 1: b", "-: running"]


@pytest.mark.parametrize("overlap", ["queue", "interrupt", "steer", "collect"])
def test_while_the_agent_leaves_a_message_waits_for_the_next_one(overlap: Overlap) -> None:
    stage = running("a", peer=STEERABLE)
    stage.hear(result("a"))
    stage.receive(on.Rest(1))
    assert stage.submit("b", overlap) == ["b: TurnAccepted", "-: restarting"]
    assert f"start 2: resume {SESSION_ID}" in stage.gone()
    assert stage.begin()[1:3] == ["b: TurnStarted", "prompt 2: b"]


def test_collect_merges_into_the_collect_that_waits_right_before_when_that_begins() -> None:
    stage = running("a")
    assert stage.submit("b", "collect") == ["b: TurnAccepted"]
    assert stage.submit("c", "collect") == ["c: TurnAccepted"]
    assert stage.hear(result("a"))[-4:] == [
        "b: TurnStarted",
        "c: TurnEnded merged",
        "settle c: merged",
        "prompt 1: b\n\nc",
    ]


def test_what_comes_while_the_agent_starts_is_collected_too() -> None:
    stage = Stage()
    stage.submit("a", "collect")
    stage.submit("b", "collect")
    assert stage.begin()[1:5] == ["a: TurnStarted", "b: TurnEnded merged", "settle b: merged", "prompt 1: a\n\nb"]


def test_collect_does_not_reach_over_others_nor_into_one_that_runs() -> None:
    stage = running("a")
    for text, overlap in (("b", "collect"), ("c", "queue"), ("d", "collect")):
        assert stage.submit(text, overlap) == [f"{text}: TurnAccepted"]  # type: ignore[arg-type]
    assert stage.hear(result("a"))[-2:] == ["b: TurnStarted", "prompt 1: b"]
    assert stage.submit("e", "collect") == ["e: TurnAccepted"]


@pytest.mark.parametrize(("withdrawn", "left"), [("b", "c\n\nd"), ("c", "b\n\nd"), ("d", "b\n\nc")])
def test_cancelling_one_of_those_that_are_to_be_merged_leaves_the_others(withdrawn: str, left: str) -> None:
    stage = running("a")
    for text in ("b", "c", "d"):
        stage.submit(text, "collect")
    assert stage.receive(on.Withdraw(withdrawn)) == [
        f"{withdrawn}: TurnEnded cancelled",
        f"settle {withdrawn}: cancelled TurnCancelled",
    ]
    assert stage.hear(result("a"))[-1] == f"prompt 1: {left}"


def test_the_next_one_takes_its_place_also_while_the_agent_starts() -> None:
    stage = Stage()
    for text in ("a", "b", "c"):
        stage.submit(text, "collect")
    assert stage.receive(on.Withdraw("a")) == ["a: TurnEnded cancelled", "settle a: cancelled TurnCancelled"]
    assert "prompt 1: b\n\nc" in stage.begin()


# The box itself.


def test_texts_are_joined_by_an_empty_line_and_blocks_by_their_order() -> None:
    image = UserMessage(message=UserBody(content=[TextBlock(text="a block")]))
    assert joined(joined(prompt("one"), prompt("two")), image) == UserMessage(
        message=UserBody(content=[TextBlock(text="one\n\ntwo"), TextBlock(text="a block")]),
        uuid="one",
        parent_tool_use_id=None,
    )


def test_its_bound_counts_what_is_to_be_merged_too() -> None:
    box = Mailbox(2, "k")
    box.put(Waiting("a", prompt("a"), "collect"))
    box.put(Waiting("b", prompt("b"), "collect"))
    with pytest.raises(MailboxFull) as caught:
        box.put(Waiting("c", prompt("c"), "interrupt"))
    assert str(caught.value) == (
        "2 prompts wait in the session 'k' already, and its limit is 2 (Limits.mailbox); "
        "wait for some of them, or raise the limit"
    )
    assert (caught.value.key, caught.value.waiting, caught.value.limit) == ("k", 2, 2)
    assert box.remove("a")
    box.put(Waiting("c", prompt("c")))
    assert [turn.turn_id for turn in box.clear()] == ["b", "c"]


def test_what_comes_back_stands_behind_those_that_interrupt_and_those_that_came_back_before() -> None:
    box = Mailbox(10, "k")
    for name, overlap in (("q", "queue"), ("i", "interrupt")):
        box.put(Waiting(name, prompt(name), overlap))  # type: ignore[arg-type]
    box.put_back([Waiting("s", prompt("s"), is_begun=True)])
    box.put_back([Waiting("t", prompt("t"), is_begun=True), Waiting("u", prompt("u"), is_begun=True)])
    assert [box.position(each) for each in ("i", "s", "t", "u", "q", "x")] == [0, 1, 2, 3, 4, None]
    assert order(box) == ["i", "s", "t", "u", "q"]


def test_what_comes_back_comes_back_also_into_a_full_box() -> None:
    box = Mailbox(1, "k")
    box.put(Waiting("q", prompt("q")))
    box.put_back([Waiting("s", prompt("s"), is_begun=True)])
    with pytest.raises(MailboxFull):
        box.put(Waiting("x", prompt("x")))
    assert order(box) == ["s", "q"]


def test_an_interrupted_turn_is_followed_by_the_one_that_interrupted_it() -> None:
    stage = running("a", "b")
    stage.submit("c", "interrupt")
    assert stage.hear(
        success("g1_2", {"cancelled": []}), result("a", is_error=True, terminal_reason="aborted_streaming")
    )[-3:] == ["c: TurnStarted", "prompt 1: c", "-: running"]
