"""When to start an agent again that died: a sliding window of its crashes, and a back-off that grows with them."""

from typing import TypeAlias, final

from msgspec import Struct

from triologue.options import RestartPolicy


class Delay(Struct, frozen=True):
    """Start it again after a while."""

    seconds: float
    """0 for the first crash in a while: start it at once."""


class Spent(Struct, frozen=True):
    """It died too often; the session is failed for now."""

    retry_at: float
    """When it may be tried again, on the clock that the crash was told with."""


Verdict: TypeAlias = Delay | Spent


@final
class Restarts:
    """The crashes of one conversation's agents, as far as they still count.

    Args:
        policy: how many restarts there may be, and how soon.
        crashes: when there were some, as they were counted before.
    """

    __slots__ = ("crashes", "policy")

    def __init__(self, policy: RestartPolicy, crashes: tuple[float, ...] = ()) -> None:
        self.policy = policy
        self.crashes = crashes

    def crashed(self, now: float, *, jitter: float) -> Verdict:
        """Count a crash, and say what to do about it.

        Args:
            now: seconds on a clock that never goes back.
            jitter: at least 0, below 1: where in the upper half of the back-off this restart falls, so that many
                that died together do not start together.
        """
        earlier = self._counting(now)
        # No more than it takes to know that the budget is spent, however often it dies.
        self.crashes = (*earlier, now)[-self.policy.max_restarts - 1 :]
        if len(earlier) >= self.policy.max_restarts:
            # By then this crash, the latest, has left the window, and the budget is whole.
            return Spent(retry_at=now + self.policy.within)
        return Delay(seconds=self._backoff(len(earlier)) * (1 + jitter) / 2)

    def recent(self, now: float) -> int:
        """How many crashes count now."""
        return len(self._counting(now))

    def _counting(self, now: float) -> tuple[float, ...]:
        # Compared with the sum, as `retry_at` is one: at that very moment nothing counts any more.
        return tuple(crash for crash in self.crashes if crash + self.policy.within > now)

    def _backoff(self, earlier: int) -> float:
        if earlier == 0:
            return 0.0
        # The exponent is bounded, since 2.0**1100 is an error; no back-off is doubled that often.
        return min(self.policy.max_backoff, self.policy.backoff * 2.0 ** min(earlier - 1, 64))
