"""Who may be live: places are granted in order, and the least recently used idle connection is asked to make room."""

import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import TypeAlias, final

from msgspec import Struct

from triologue.supervision.pools import Place, Pool, Waiter, oldest
from triologue.supervision.standings import Standings
from triologue.supervision.waits import ResidencyStatistics, Wait

MAX_AT_ONCE = 16
"""Waiters of one kind for whom room is made at the same time: agents that end all together slow each other."""


class Grant(Struct, frozen=True):
    """This connection has its place, and may start."""

    key: str
    generation: int


class Evict(Struct, frozen=True):
    """This connection should leave. Its actor decides: it goes (`leaving`, `left`), or says `refused`; it answers once."""

    key: str
    generation: int


Effect: TypeAlias = Grant | Evict


@final
class Residency:
    """Every live connection, and everyone who waits for a place.

    A connection is named by its key and its generation, and what is said about an earlier generation has no effect.
    Times are seconds on a clock that never goes back.

    Args:
        max_live: how many may be live, for each kind of agent.
        max_live_per_group: how many of one group; None: any number.
        max_rss_bytes: what all may weigh together; None: anything. One may always be live, however much it weighs.
    """

    def __init__(
        self,
        max_live: Mapping[str, int],
        *,
        max_live_per_group: int | None = None,
        max_rss_bytes: int | None = None,
    ) -> None:
        self._kinds = {kind: Pool("max_live", bound, kind) for kind, bound in max_live.items()}
        self._max_per_group = max_live_per_group
        self._groups: dict[str, Pool] = {}
        self._max_size = max_rss_bytes
        self._size = 0
        self._places: dict[str, Place] = {}
        self._waiting: OrderedDict[str, Waiter] = OrderedDict()
        self._standings = Standings(self._waiting)
        # How many wait for each combination of pools: where one of them cannot be served, none of its like can.
        self._alike: Counter[tuple[Pool, ...]] = Counter()

    def want(self, key: str, generation: int, *, kind: str, group: str | None = "", now: float) -> list[Effect]:
        """Ask for a place: it is granted now or later, unless `left` withdraws it. Without a group none bounds it.

        Raises:
            ValueError: the key waits already, or has a place that it has not left; or there is no bound for this kind.
        """
        if key in self._waiting or key in self._places:
            raise ValueError(f"{key!r} has a place already, or waits for one")
        waiter = Waiter(key, generation, self._pools(kind, group), now)
        self._waiting[key] = waiter
        self._standings.changed()
        self._alike[waiter.pools] += 1
        # Only this one is new, and where its pool is stuck nothing can be done for it.
        return [] if any(pool.is_stuck for pool in waiter.pools) else self._settle(now)

    def hand_over(self, key: str, generation: int, *, to: tuple[str, int], group: str | None = "", now: float) -> bool:
        """Its place, with the connection in it, belongs to another key and generation from now on, and is busy.

        Returns:
            False where nothing was changed, as the other one's group is full, or there is no such place.

        Raises:
            ValueError: the other key waits already, or has a place.
        """
        if to[0] in self._waiting or to[0] in self._places:
            raise ValueError(f"{to[0]!r} has a place already, or waits for one")
        place = self._at(key, generation)
        if place is None:
            return False
        pools = self._pools(place.pools[0].key, group)
        if any(pool.room < 1 for pool in pools if pool not in place.pools):
            return False
        del self._places[key]
        place.free()
        self._places[to[0]] = moved = Place(*to, pools, now)
        moved.size = place.size
        self._forget_unused(place.pools)
        return True

    def idle(self, key: str, generation: int, *, now: float) -> list[Effect]:
        """The connection has nothing to do from now on, and may be evicted; said again, it was used again meanwhile.

        With a `now` of minus infinity it was never used, and is evicted before all others.
        """
        place = self._at(key, generation)
        if place is None:
            return []
        place.rest(now)
        is_wanted = self._waiting and any(pool.waiting for pool in place.pools)
        return self._settle(now) if is_wanted or self._is_over else []

    def busy(self, key: str, generation: int) -> None:
        """The connection has something to do, and is not to be evicted. So is every new one until it is `idle`."""
        place = self._at(key, generation)
        if place is not None:
            place.work()

    def refused(self, key: str, generation: int, *, now: float) -> list[Effect]:
        """The connection does not leave; it counts as busy until it is `idle` again."""
        place = self._at(key, generation)
        if place is None or not place.is_leaving:
            return []
        place.stay()
        return self._settle(now)

    def leaving(self, key: str, generation: int) -> None:
        """The connection is being closed, asked or not: it makes room soon, and nobody else need leave for that."""
        place = self._at(key, generation)
        if place is not None:
            place.leave()

    def left(self, key: str, generation: int, *, now: float) -> list[Effect]:
        """The connection is gone, and its place is free; one that still waits for its place waits no more."""
        waiter, place = self._waiting.get(key), self._at(key, generation)
        if waiter is not None and waiter.generation == generation:
            del self._waiting[key]
            self._finish(waiter)
            self._forget_unused(waiter.pools)
            return []
        if place is None:
            return []
        self._weigh(place, 0)
        del self._places[key]
        place.free()
        effects = self._settle(now)
        self._forget_unused(place.pools)
        return effects

    def measured(self, sizes: Mapping[tuple[str, int], int], *, now: float) -> list[Effect]:
        """Connections were weighed: the bytes of each, by key and generation."""
        for (key, generation), size in sizes.items():
            place = self._at(key, generation)
            if place is not None:
                self._weigh(place, size)
        return self._settle(now)

    @property
    def line(self) -> Mapping[str, Waiter]:
        """Those that wait, in order, by key."""
        return self._waiting

    def held_by(self, key: str) -> tuple[Pool, ...]:
        """Where this key has a place that nobody else gets before it has done what it does."""
        place = self._places.get(key)
        is_kept = place is not None and not place.is_leaving and key not in place.pools[0].idle
        return place.pools if place is not None and is_kept else ()

    @property
    def is_full_of(self) -> int | None:
        """How many there are, where their weight lets no other one in; None where it does."""
        return len(self._places) if self._is_over else None

    def why(self, key: str) -> Wait | None:
        """Why this key waits; None where it does not."""
        waiter = self._waiting.get(key)
        if waiter is None:
            return None
        before = self._standings.before(key)
        if self._max_size is not None and self._is_over:
            idle = sum(len(pool.idle) for pool in self._kinds.values())
            leaving = sum(pool.leaving for pool in self._kinds.values())
            return Wait("max_rss_bytes", self._max_size, self._size, idle, leaving, before, waiter.since)
        pool = min(waiter.pools, key=lambda pool: pool.room)
        return Wait(pool.name, pool.bound, pool.live, len(pool.idle), pool.leaving, before, waiter.since)

    def statistics(self) -> ResidencyStatistics:
        """How many there are, and what they weigh."""
        pools = self._kinds.values()
        return ResidencyStatistics(
            live={kind: pool.live for kind, pool in self._kinds.items()},
            idle=sum(len(pool.idle) for pool in pools),
            leaving=sum(pool.leaving for pool in pools),
            waiting=len(self._waiting),
            rss_bytes=self._size,
        )

    @property
    def _is_over(self) -> bool:
        return self._max_size is not None and self._size > self._max_size

    def _at(self, key: str, generation: int) -> Place | None:
        place = self._places.get(key)
        return place if place is not None and place.generation == generation else None

    def _pools(self, kind: str, group: str | None) -> tuple[Pool, ...]:
        if kind not in self._kinds:
            raise ValueError(f"there is no bound for agents of the kind {kind!r}, only for {sorted(self._kinds)}")
        if self._max_per_group is None or group is None:
            return (self._kinds[kind],)
        if group not in self._groups:
            self._groups[group] = Pool("max_live_per_group", self._max_per_group, group)
        return (self._kinds[kind], self._groups[group])

    def _forget_unused(self, pools: tuple[Pool, ...]) -> None:
        for pool in pools[1:]:
            if pool.is_unused:
                self._groups.pop(pool.key, None)

    def _finish(self, waiter: Waiter) -> None:
        waiter.finish()
        self._standings.changed()
        self._alike[waiter.pools] -= 1
        if not self._alike[waiter.pools]:
            del self._alike[waiter.pools]

    def _weigh(self, place: Place, size: int) -> None:
        self._size += size - place.size
        place.size = size

    def _settle(self, now: float) -> list[Effect]:
        """Do what can be done now: grant what is free, and ask for what is missing."""
        if self._is_over:
            return list(self._relieve())
        return [*self._grant(now), *self._make_room()]

    def _relieve(self) -> Iterator[Effect]:
        """Bring the memory under its bound; the last one goes too where somebody else waits for it."""
        assert self._max_size is not None
        staying = [place for place in self._places.values() if not place.is_leaving]
        size, count = sum(place.size for place in staying), len(staying)
        while size > self._max_size and (count > 1 or self._waiting):
            place = oldest(place for pool in self._kinds.values() for place in _heavy(pool))
            if place is None:
                return
            size, count = size - place.size, count - 1
            yield _evict(place)

    def _grant(self, now: float) -> list[Effect]:
        granted: list[Waiter] = []
        full: set[tuple[Pool, ...]] = set()
        for waiter in self._waiting.values():
            if not any(pool.waiting and pool.room > 0 for pool in self._kinds.values()) or len(full) == len(
                self._alike
            ):
                break
            if waiter.pools in full:
                continue
            if all(pool.room > 0 for pool in waiter.pools):
                granted.append(waiter)
                self._finish(waiter)
                self._places[waiter.key] = Place(waiter.key, waiter.generation, waiter.pools, now)
            else:
                full.add(waiter.pools)
        for waiter in granted:
            del self._waiting[waiter.key]
        return [Grant(waiter.key, waiter.generation) for waiter in granted]

    def _make_room(self) -> Iterator[Effect]:
        """For those that wait, in order: count on the room that comes, and ask for what is missing beyond."""
        expected: Counter[Pool] = Counter()
        hopeless: set[tuple[Pool, ...]] = set()
        for waiter in self._waiting.values():
            kinds = [pool for pool in self._kinds.values() if pool.waiting and _is_open(pool, expected)]
            if not kinds or len(hopeless) == len(self._alike):
                return
            if waiter.pools in hopeless or waiter.pools[0] not in kinds:
                continue
            victims = _victims(waiter, expected)
            if victims is None:
                hopeless.add(waiter.pools)
            else:
                expected.update(waiter.pools)
                yield from map(_evict, victims)


def _is_open(kind: Pool, expected: Counter[Pool]) -> bool:
    """Can room be made in this kind for another one?"""
    return expected[kind] < MAX_AT_ONCE and (kind.coming > expected[kind] or bool(kind.idle))


def _evict(place: Place) -> Evict:
    place.leave()
    return Evict(place.key, place.generation)


def _heavy(pool: Pool) -> Iterator[Place]:
    """The least recently used of a kind whose leaving frees memory, if there is one."""
    return itertools.islice((place for place in pool.idle.values() if place.size), 1)


def _victims(waiter: Waiter, expected: Counter[Pool]) -> list[Place] | None:
    """Who has to leave, besides those that do already, so that this one has a place; None where nobody could."""
    full = [pool for pool in waiter.pools if pool.coming <= expected[pool]]
    if not full:
        return []
    # Of the group, where that is full: it nearly always makes room among all of its kind too.
    of_all = (place for place in full[-1].idle.values() if all(pool in place.pools for pool in full))
    best = next(of_all, None)
    if best is not None:
        return [best]
    each = [next(iter(pool.idle.values()), None) for pool in full]
    return None if None in each else [place for place in each if place is not None]
