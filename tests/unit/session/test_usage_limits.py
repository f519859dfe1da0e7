"""Which messages say that an account's allowance is used up, and until when."""

from typing import Any

import pytest

from tests.support.frames import assistant
from triologue.messages import Message, RateLimitEvent, ResultMessage
from triologue.session.usage_limits import LimitReached, limit_of


def result(**fields: Any) -> ResultMessage:
    told = {"subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "num_turns": 1, "session_id": "s"}
    return ResultMessage(**{**told, "is_error": True, **fields})


def event(**limits: Any) -> RateLimitEvent:
    return RateLimitEvent(limits=limits)


def test_a_rejected_event_names_the_limit_and_its_reset() -> None:
    rejected = event(status="rejected", resetsAt=1_764_000_000, rateLimitType="five_hour", isUsingOverage=False)
    assert limit_of(rejected) == LimitReached("the limit 'five_hour' is reached", resets_at=1_764_000_000.0)
    assert limit_of(event(status="rejected", overageStatus="rejected", overageResetsAt=1_764_000_001)) == LimitReached(
        "a usage limit is reached", resets_at=1_764_000_001.0
    )


def test_a_result_that_ends_with_429_names_no_time() -> None:
    assert limit_of(result(api_error_status=429, result="API Error: 429 slow down")) == LimitReached(
        "the API answered 429: API Error: 429 slow down"
    )
    assert limit_of(result(api_error_status=429)) == LimitReached("the API answered 429: no more was said")


@pytest.mark.parametrize(
    "message",
    [
        event(status="allowed", resetsAt=1_764_000_000),
        event(status="allowed_warning", utilization=0.99),
        event(status="rejected", isUsingOverage=True),
        event(status="rejected", overageStatus="allowed_warning"),
        event(),
        result(api_error_status=529),
        result(api_error_status=None),
        result(api_error_status=429, is_error=False),
        assistant("API Error: 429 slow down"),
    ],
)
def test_everything_else_says_nothing_of_the_kind(message: Message) -> None:
    assert limit_of(message) is None


@pytest.mark.parametrize("said", ["soon", None, True, -5, 0, float("nan"), float("inf"), 1_764_000_000_000, [1]])
def test_a_time_that_is_none_is_as_good_as_no_time(said: Any) -> None:
    assert limit_of(event(status="rejected", resetsAt=said)) == LimitReached("a usage limit is reached")
