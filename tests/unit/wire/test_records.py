"""What a session's log keeps of what triologue says itself."""

import pytest

from triologue.errors import AgentStartError, TurnFailed, TurnTimeout
from triologue.messages import Outcome, TurnEnded
from triologue.wire import decode_record, encode_record, kind_of


def test_which_deadline_passed_is_kept_with_all_that_it_says() -> None:
    error = TurnFailed("the turn failed")
    error.__cause__ = TurnTimeout("tool", "Ba\udce9sh", seconds=60, retry="529 over\udce9loaded")
    error.__cause__.__cause__ = AgentStartError("it hung")
    ended = TurnEnded(outcome=Outcome(kind="failed", error=error, reason="tool"))
    read = decode_record(kind_of(ended), encode_record(ended))
    assert isinstance(read, TurnEnded)
    assert read.outcome.error is not None
    cause = read.outcome.error.__cause__
    assert isinstance(cause, TurnTimeout)
    again = "529 over\ufffdloaded"
    assert (
        str(cause) == f"Deadlines.tool passed: 60 s (Ba\ufffdsh); the agent was trying the model's API again: {again}"
    )
    assert (cause.phase, cause.about, cause.seconds, cause.retry) == ("tool", "Ba\ufffdsh", 60, again)
    assert repr(cause.__cause__) == repr(AgentStartError("it hung"))


@pytest.mark.parametrize("is_final", [False, True])
def test_a_start_that_need_not_be_tried_again_is_kept_as_one(*, is_final: bool) -> None:
    error = TurnFailed("it did not start")
    error.__cause__ = AgentStartError("unknown option", is_final=is_final)
    ended = TurnEnded(outcome=Outcome(kind="failed", error=error))
    read = decode_record(kind_of(ended), encode_record(ended))
    assert isinstance(read, TurnEnded)
    assert read.outcome.error is not None
    cause = read.outcome.error.__cause__
    assert isinstance(cause, AgentStartError)
    assert (str(cause), cause.is_final) == ("unknown option", is_final)


def test_half_a_character_in_an_error_loses_no_outcome() -> None:
    """The text of an error may name a folder whose name is no UTF-8."""
    error = TurnFailed("no /opt/caf\udce9/claude")
    ended = TurnEnded(outcome=Outcome(kind="failed", error=error, reason="caf\udce9"))
    read = decode_record(kind_of(ended), encode_record(ended))
    assert isinstance(read, TurnEnded)
    assert (str(read.outcome.error), read.outcome.reason) == ("no /opt/caf\ufffd/claude", "caf\ufffd")
