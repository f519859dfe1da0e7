"""The small machines by themselves."""

import pytest

from tests.support.frames import aborted, of_background, prompt, result
from triologue.errors import MailboxFull, TurnFailed, TurnInterrupted
from triologue.messages import Interrupt, McpStatus
from triologue.session.link import Asking, Interrupting, Link, LinkEvent, LinkState
from triologue.session.mailbox import Mailbox, Waiting
from triologue.session.run import Phase, Run, describe, outcome_of


def waiting(text: str) -> Waiting:
    return Waiting(text, prompt(text))


def test_a_mailbox_gives_in_order_and_has_a_bound() -> None:
    mailbox = Mailbox(2, "k")
    mailbox.put(waiting("a"))
    mailbox.put(waiting("b"))
    with pytest.raises(MailboxFull, match="2 prompts wait in the session 'k'"):
        mailbox.put(waiting("c"))
    assert [mailbox.position(each) for each in "abc"] == [0, 1, None]
    assert mailbox.take() == waiting("a")
    assert mailbox.position("b") == 0
    assert [mailbox.take(), mailbox.take(), len(mailbox)] == [waiting("b"), None, 0]


def test_a_mailbox_lets_one_go_without_the_others() -> None:
    mailbox = Mailbox(3, "k")
    for each in "abc":
        mailbox.put(waiting(each))
    assert [mailbox.remove("b"), mailbox.remove("b")] == [True, False]
    assert mailbox.clear() == [waiting("a"), waiting("c")]
    assert mailbox.clear() == []


def test_a_link_follows_its_table() -> None:
    link = Link()
    with pytest.raises(KeyError):
        link.move(LinkEvent.READY)
    link.start({})
    link.move(LinkEvent.READY)
    link.move(LinkEvent.CLOSE)
    link.move(LinkEvent.CLOSE)
    link.move(LinkEvent.GONE)
    assert (link.state, link.generation, link.is_current(1)) == (LinkState.ABSENT, 1, False)


def test_a_link_knows_why_it_asked_and_whom_nobody_answers() -> None:
    link = Link()
    link.start({})
    frame = link.ask(McpStatus(), Asking(7, McpStatus()))
    link.ask(Interrupt(), Interrupting())
    assert (frame.request_id, link.waits_for(Interrupting), link.is_current(1)) == ("g1_1", True, True)
    assert link.purpose_of("g1_1") == Asking(7, McpStatus())
    assert link.lose() == {"g1_2": Interrupting()}
    assert not link.waits_for(Interrupting)


def test_a_run_cannot_go_back() -> None:
    run = Run("a", prompt("a"))
    run.move(Phase.SENT)
    run.move(Phase.STARTED)
    with pytest.raises(ValueError, match="STARTED to SENT"):
        run.move(Phase.SENT)


@pytest.mark.parametrize(
    ("phase", "is_answered"),
    [
        (Phase.PENDING, [False, False, False, False, False]),
        (Phase.SENT, [True, True, False, False, False]),
        (Phase.STARTED, [True, True, False, True, False]),
    ],
)
def test_which_result_answers_a_run(phase: Phase, is_answered: list[bool]) -> None:
    run = Run("a", prompt("a"))
    if phase is not Phase.PENDING:
        run.move(Phase.SENT)
    if phase is Phase.STARTED:
        run.move(Phase.STARTED)
    results = [result("a"), result("x", "a"), result("x"), result(), of_background()]
    assert [run.is_answered_by(each) for each in results] == is_answered


def test_outcomes_of_results() -> None:
    assert outcome_of(result(), is_stopping=True).kind == "answered"
    assert outcome_of(aborted(), is_stopping=True).kind == "interrupted"
    assert outcome_of(aborted(), is_stopping=False).kind == "failed"
    # What fails for a reason of its own while it is stopped has failed.
    failed = outcome_of(aborted(terminal_reason="max_turns"), is_stopping=True)
    assert (failed.kind, failed.reason) == ("failed", "max_turns")
    with pytest.raises(TurnFailed):
        failed.unwrap()
    with pytest.raises(TurnInterrupted):
        outcome_of(aborted(), is_stopping=True).unwrap()


def test_what_an_error_result_says_is_cut() -> None:
    assert describe(result(errors=["one", "two"])) == "one; two"
    assert len(describe(result(result="x" * 1000))) == 500
