"""What residency keeps: connections that are live, those that wait for a place, and the pools that bound them."""

from collections import OrderedDict
from collections.abc import Iterable
from math import inf
from typing import final


@final
class Pool:
    """Places that share one bound.

    Args:
        name: the limit that a user knows it by.
        bound: how many there may be.
        key: which of the pools of that limit.
    """

    __slots__ = ("bound", "idle", "key", "leaving", "live", "name", "waiting")

    def __init__(self, name: str, bound: int, key: str) -> None:
        self.name = name
        self.bound = bound
        self.key = key
        self.live = 0
        """Places that are taken, also by connections that start or leave."""
        self.leaving = 0
        """Those among them that are to be free soon."""
        self.waiting = 0
        self.idle: OrderedDict[str, Place] = OrderedDict()
        """Connections that may be asked to leave and were not yet, by key; the least recently used comes first."""

    @property
    def room(self) -> int:
        """Places that are free now."""
        return self.bound - self.live

    @property
    def coming(self) -> int:
        """Places that are free once all have left that are to leave."""
        return self.bound - self.live + self.leaving

    @property
    def is_stuck(self) -> bool:
        """It is full, and nobody in it is leaving or could be asked to."""
        return self.room < 1 and not self.idle and not self.leaving

    @property
    def is_unused(self) -> bool:
        """Nobody is in it, and nobody waits for it."""
        return not self.live and not self.waiting


@final
class Waiter:
    """One that waits for a place, in all of these pools at once."""

    __slots__ = ("generation", "key", "pools", "since")

    def __init__(self, key: str, generation: int, pools: tuple[Pool, ...], now: float) -> None:
        self.key = key
        self.generation = generation
        self.pools = pools
        self.since = now
        for pool in pools:
            pool.waiting += 1

    def finish(self) -> None:
        """It waits no more."""
        for pool in self.pools:
            pool.waiting -= 1


@final
class Place:
    """A place that is taken; it counts in all its pools, from its grant until the connection has left."""

    __slots__ = ("generation", "is_leaving", "key", "last_used", "pools", "size")

    def __init__(self, key: str, generation: int, pools: tuple[Pool, ...], now: float) -> None:
        self.key = key
        self.generation = generation
        self.pools = pools
        self.last_used = now
        self.size = 0
        """Bytes, as last measured."""
        self.is_leaving = False
        for pool in pools:
            pool.live += 1

    def rest(self, now: float) -> None:
        """The connection is idle from now on."""
        self.work()
        self.last_used = now
        if not self.is_leaving:
            for pool in self.pools:
                pool.idle[self.key] = self
                if now == -inf:
                    pool.idle.move_to_end(self.key, last=False)

    def work(self) -> None:
        """The connection is busy, and not to be asked to leave."""
        for pool in self.pools:
            pool.idle.pop(self.key, None)

    def leave(self) -> None:
        """The connection is to leave, as far as we know."""
        if not self.is_leaving:
            self.is_leaving = True
            for pool in self.pools:
                pool.leaving += 1
        self.work()

    def stay(self) -> None:
        """The connection does not leave after all, and is busy until it says otherwise."""
        self.work()
        if self.is_leaving:
            self.is_leaving = False
            for pool in self.pools:
                pool.leaving -= 1

    def free(self) -> None:
        """The connection has left."""
        self.stay()
        for pool in self.pools:
            pool.live -= 1


def oldest(places: Iterable[Place]) -> Place | None:
    """The least recently used of these."""
    return min(places, key=lambda place: place.last_used, default=None)
