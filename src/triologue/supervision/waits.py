"""What residency tells a person: why a key waits for a place, and how many there are."""

from msgspec import Struct

MIB = 2**20


class Wait(Struct, frozen=True):
    """Why a key waits for a place."""

    limit: str
    """The field of `Limits` that holds it up: `max_live`, `max_live_per_group` or `max_rss_bytes`."""
    bound: int
    """Its value: connections, or bytes."""
    used: int
    """How much of that is used now."""
    idle: int
    leaving: int
    """Of those that count: how many are idle and stay so far, and how many are about to leave."""
    before: int
    """How many wait before it."""
    since: float
    """Since when it waits, on the clock of the caller."""

    def __str__(self) -> str:
        """As a person is told: `4 of 4 agents live, all busy; 2 wait before it`."""
        others = f"; {self.before} {'waits' if self.before == 1 else 'wait'} before it" if self.before else ""
        if self.limit == "max_rss_bytes":
            used, bound = self.used / MIB, self.bound / MIB
            return f"the agents use {used:.0f} MiB of the {bound:.0f} MiB they may use, {self._state}{others}"
        where = " in its group" if self.limit == "max_live_per_group" else ""
        return f"{self.used} of {self.bound} agents live{where}, {self._state}{others}"

    @property
    def _state(self) -> str:
        if self.leaving:
            return f"{self.leaving} about to leave"
        return f"{self.idle} idle" if self.idle else "all busy"


class ResidencyStatistics(Struct, frozen=True):
    """A snapshot, for debugging."""

    live: dict[str, int]
    """By kind; also those that start or leave."""
    idle: int
    """How many of them are idle and stay so far."""
    leaving: int
    waiting: int
    rss_bytes: int
    """What all weigh, as last measured."""
