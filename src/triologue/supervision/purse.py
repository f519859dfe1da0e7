"""What sessions may cost: counted, warned of at 80 %, and refused beyond; pure."""

from typing import TypeAlias, final

from msgspec import Struct

from triologue.errors import BudgetExceeded

WARN_AT = 0.8


class Warn(Struct, frozen=True):
    """Most of it is spent: of one session's, or of the manager's (`key` is None)."""

    key: str | None
    cost_usd: float
    limit_usd: float


class Exhausted(Struct, frozen=True):
    """All of it is spent: of one session's, or of the manager's (`key` is None)."""

    key: str | None
    error: BudgetExceeded


Crossing: TypeAlias = Warn | Exhausted


@final
class Purse:
    """Counts as far as agents tell what they cost: from the opening of the manager, and for each session from its beginning.

    Args:
        total: US dollars for all sessions; None: no bound.
        per_session: for each.
    """

    def __init__(self, total: float | None, per_session: float | None) -> None:
        self._total = total
        self._per_session = per_session
        self.spent = 0.0
        """By all sessions."""
        self._spent_by: dict[str, float] = {}

    def begin(self, key: str, cost: float) -> None:
        """A session that is not known yet has cost so much before; that counts for its own bound."""
        if self._per_session is not None:
            self._spent_by.setdefault(key, cost)

    def spend(self, key: str, cost: float) -> list[Crossing]:
        """A session has cost so much more; what that means."""
        before, self.spent = self.spent, self.spent + cost
        found = _crossed(None, "max_cost_usd", before, self.spent, self._total)
        if self._per_session is not None:
            before = self._spent_by.get(key, 0.0)
            self._spent_by[key] = before + cost
            found += _crossed(key, "max_cost_usd_per_session", before, before + cost, self._per_session)
        return found

    def refusal(self, key: str) -> BudgetExceeded | None:
        """Why this session may cost nothing more, where that is so."""
        spent = self._spent_by.get(key, 0.0)
        return _exceeded(None, "max_cost_usd", self.spent, self._total) or _exceeded(
            key, "max_cost_usd_per_session", spent, self._per_session
        )

    def forget(self, key: str) -> None:
        """The session is forgotten; what it has cost stays in the sum."""
        self._spent_by.pop(key, None)


def _crossed(key: str | None, name: str, before: float, now: float, limit: float | None) -> list[Crossing]:
    if limit is None:
        return []
    if before < limit <= now:
        return [Exhausted(key, BudgetExceeded(name, cost_usd=now, limit_usd=limit, key=key))]
    return [Warn(key, now, limit)] if before < WARN_AT * limit <= now < limit else []


def _exceeded(key: str | None, name: str, spent: float, limit: float | None) -> BudgetExceeded | None:
    if limit is None or spent < limit:
        return None
    return BudgetExceeded(name, cost_usd=spent, limit_usd=limit, key=key)
