"""How often an agent that died is started again, and how soon (`RestartPolicy`)."""

from math import inf

from msgspec import Struct

from triologue.errors import InvalidOption, brief


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """What becomes of a conversation whose agent died: it is started again with its history, until that is too often."""

    max_restarts: int = 5
    """Restarts within `within` seconds; at one crash more the session is `failed`. 0: never start it again."""
    within: float = 60.0
    """Seconds over which restarts are counted, and for which a failed session stays failed."""
    retry_turn: bool = False
    """Run the turn again that was under way, `max_restarts` times at most; without it that turn is `failed`, since
    nobody knows what it did. The same where an agent stalled (`Deadlines.first_event`, `silence`), and had to be killed; not
    where one stopped when it was told to, nor where the time of the turn itself or of a tool was over."""
    backoff: float = 0.5
    """Seconds before the second restart, twice as many before the next, and so on; the first comes at once."""
    max_backoff: float = 15.0
    """Seconds before a restart at most."""


def check_restart(policy: RestartPolicy) -> None:
    """Refuse a policy that cannot work.

    Raises:
        InvalidOption: `max_restarts` is no whole number of 0 or more, `within` is not above 0, or a back-off is no
            number of seconds, or the first above the largest.
    """
    if not isinstance(policy, RestartPolicy):
        raise InvalidOption(f"restart is a RestartPolicy(...), not {brief(policy)}")
    if not isinstance(policy.max_restarts, int) or policy.max_restarts < 0:
        raise InvalidOption(f"RestartPolicy(max_restarts={brief(policy.max_restarts)}) is no whole number of 0 or more")
    if not isinstance(policy.retry_turn, bool):
        raise InvalidOption(f"RestartPolicy(retry_turn={brief(policy.retry_turn)}) is no bool")
    for name in ("within", "backoff", "max_backoff"):
        value = getattr(policy, name)
        if not isinstance(value, int | float) or not 0 <= value < inf:
            raise InvalidOption(f"RestartPolicy({name}={brief(value)}) is no number of seconds, 0 or more")
    if not policy.within > 0:
        raise InvalidOption("RestartPolicy(within=0) would count nothing, and restart for ever; give it seconds")
    if policy.backoff > policy.max_backoff:
        raise InvalidOption(
            f"RestartPolicy(backoff={policy.backoff!r}) is longer than max_backoff={policy.max_backoff!r}; "
            "raise that too, or make it shorter"
        )
