"""Errors over the wire: each comes back as its class, with its text and what it knows."""

import msgspec
import pytest

from triologue import errors
from triologue.errors import (
    AlreadyAnswered,
    BudgetExceeded,
    InvalidOption,
    LeaseLost,
    MailboxFull,
    SessionElsewhere,
    SessionFailed,
    TriologueError,
    TurnFailed,
    TurnTimeout,
    UnsupportedOption,
)
from triologue.messages import ResultMessage
from triologue.protocol import codes
from triologue.protocol.codes import code_of, error_of, failed
from triologue.protocol.told import Failed, Told
from triologue.testing import run_virtual
from triologue.wire import decode_line

RESULT = b'{"type":"result","subtype":"error_during_execution","is_error":true,"num_turns":1,"session_id":"s","x":[1]}'


# What no gateway raises, and what they come back as.
HAVE_NO_CODE: dict[type[TriologueError], type[TriologueError]] = {
    LeaseLost: errors.StoreError,
    errors.GatewayError: TriologueError,
    errors.GatewayLost: TriologueError,
}


def over_the_wire(error: TriologueError) -> TriologueError:
    told = msgspec.json.decode(msgspec.json.encode(failed(7, error)), type=Told)
    assert isinstance(told, Failed)
    assert told.re == 7
    return error_of(told)


def plain_errors() -> list[type[TriologueError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TriologueError)]
    return [kind for kind in kinds if "__init__" not in vars(kind)]


@pytest.mark.parametrize("kind", plain_errors(), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_its_class(kind: type[TriologueError]) -> None:
    out = over_the_wire(kind("what is wrong"))
    assert type(out) is HAVE_NO_CODE.get(kind, kind)
    assert str(out) == "what is wrong"


@pytest.mark.parametrize(
    "error",
    [
        AlreadyAnswered("ann", "deny"),
        BudgetExceeded("max_cost_usd", cost_usd=2.0, limit_usd=1.5),
        errors.MailboxFull("full", key="k", waiting=3, limit=3),
        errors.TurnRejected("busy", reason="a turn runs", key="k"),
        SessionElsewhere("k", owner="host", until=12.5),
        errors.UnsupportedRequest("claude", "set_goal", capability="goal", version="2"),
        errors.AgentProtocolError("no", code="E1"),
        errors.ModelError("no", status=529),
        errors.AgentStartError("unknown option", is_final=True),
        errors.AgentCrashed("it died", exit_code=-9),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_error_knows_comes_along(error: TriologueError) -> None:
    out = over_the_wire(error)
    assert (type(out), str(out), vars(out)) == (type(error), str(error), vars(error))


def test_a_value_that_was_refused_stays_where_it_is() -> None:
    error = UnsupportedOption("cortex", "settings", {"token": "secret"})
    assert "secret" not in repr(failed(1, error))
    out = over_the_wire(error)
    assert isinstance(out, UnsupportedOption)
    assert (out.agent, out.option, out.value) == ("cortex", "settings", None)


def test_the_result_of_a_failed_turn_comes_along() -> None:
    result = decode_line(RESULT)
    assert isinstance(result, ResultMessage)
    out = over_the_wire(TurnFailed("it failed", result=result))
    assert isinstance(out, TurnFailed)
    assert out.result == result


def test_a_time_to_wait_is_told_in_seconds_because_clocks_differ() -> None:
    async def main() -> None:
        import trio

        told = failed(1, SessionFailed("broken", reason="crashes", retry_at=trio.current_time() + 30))
        assert told.data == {"reason": "crashes", "retry_in": 30.0}
        await trio.sleep(100)  # another clock
        out = error_of(told)
        assert isinstance(out, SessionFailed)
        assert (out.reason, out.retry_at) == ("crashes", trio.current_time() + 30)

    run_virtual(main)


def test_a_code_is_that_of_the_nearest_class_that_has_one() -> None:
    class Mine(MailboxFull):
        pass

    assert [code_of(each) for each in (Mine("x"), TurnTimeout("turn"), InvalidOption("x"))] == [
        "mailbox_full",
        "turn_error",
        "invalid",
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (codes.FORBIDDEN, errors.Forbidden),
        (codes.NOT_FOUND, errors.NotFound),
        (codes.TOO_MANY, errors.LimitError),
        (codes.INTERNAL, TriologueError),
        ("of_tomorrow", TriologueError),
    ],
)
def test_a_code_of_the_gateway_s_own_is_the_nearest_error(code: str, kind: type[TriologueError]) -> None:
    out = error_of(Failed(re=1, code=code, message="why"))
    assert (type(out), str(out)) == (kind, "why")
