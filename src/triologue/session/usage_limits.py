"""What an agent says when its account's allowance is used up."""

from typing import Any

from msgspec import Struct

from triologue.messages import Message, RateLimitEvent, ResultMessage

TOO_MANY_REQUESTS = 429
MAX_REASON = 200
"""Characters of what the agent said."""
FAR = 1e11
"""What is later is no number of seconds."""


class LimitReached(Struct, frozen=True):
    """The account takes no more turns for now."""

    reason: str
    """Which limit it is, for a person."""
    resets_at: float | None = None
    """When it takes turns again, in seconds since 1970; None where the agent did not say."""


def limit_of(message: Message) -> LimitReached | None:
    """The limit that a message tells of; None for all others, and for warnings.

    Claude Code sends a `rate_limit_event` whenever its allowance changes: only a rejected one is meant, and not where
    paid usage goes on beyond the allowance. Every agent that reports the API's status ends the turn with a 429.
    """
    if type(message) is RateLimitEvent:  # by its type: to find that a struct is none of a class takes long
        return _of_event(message.limits)
    if type(message) is ResultMessage and message.is_error and message.api_error_status == TOO_MANY_REQUESTS:
        said = message.result or "; ".join(map(str, message.errors or ())) or "no more was said"
        return LimitReached(reason=f"the API answered 429: {said[:MAX_REASON]}")
    return None


def _of_event(limits: dict[str, Any]) -> LimitReached | None:
    goes_on = limits.get("isUsingOverage")
    if goes_on is None:
        goes_on = limits.get("overageStatus") in ("allowed", "allowed_warning")
    if limits.get("status") != "rejected" or goes_on:
        return None
    name = limits.get("rateLimitType")
    which = f"the limit {name!r}" if isinstance(name, str) else "a usage limit"
    resets_at = _time(limits.get("resetsAt"))
    if resets_at is None:
        resets_at = _time(limits.get("overageResetsAt"))
    return LimitReached(reason=f"{which[:MAX_REASON]} is reached", resets_at=resets_at)


def _time(said: object) -> float | None:
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if 0 < said < FAR else None
