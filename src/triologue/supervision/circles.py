"""Sessions that wait for each other and for room in a circle: a tool asks one that finds no room until the tool is done."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import final

from triologue.actors import Home, Waiting
from triologue.errors import WouldDeadlock
from triologue.supervision.pools import Pool
from triologue.supervision.residency import Residency


@final
class Circles:
    """Finds them, and ends the wait that closed one.

    Args:
        residency: who has room, and who waits for it.
        home_of: the session of a key, as one that waits and is waited for.
    """

    def __init__(self, residency: Residency, home_of: Callable[[str], Home | None]) -> None:
        self._residency = residency
        self._home_of = home_of
        self._askers: dict[str, Home] = {}
        """Whose callbacks wait for other sessions, as far as is known."""

    def asks(self, home: Home) -> None:
        """A callback of this session begins to wait."""
        self._askers[home.key] = home
        self.look()

    def look(self) -> None:
        """End waits, the newest first, until everyone who waits for room could get it some time."""
        if not self._askers or not self._residency.line:
            return
        self._askers = {key: home for key, home in self._askers.items() if home.waits}
        while (newest := max(self._hopeless(), key=lambda each: each[1].number, default=None)) is not None:
            key, waiting = newest
            waiting.refuse(self._error(key, waiting.target.key))

    def _hopeless(self) -> list[tuple[str, Waiting]]:
        """The waits that keep places from those whom they are for, straight or through others."""
        stuck = self._stuck()
        return [(key, each) for key in stuck & self._askers.keys() for each in self._waits_for(key, stuck)]

    def _stuck(self) -> set[str]:
        """Who asks and has room, and who is asked and waits for room, but those that can go on once others can.

        Of the line, which may be long, only those that are asked: a circle goes through one of them.
        """
        held = {key: pools for key in self._askers if (pools := self._residency.held_by(key))}
        line, full = self._residency.line, self._residency.is_full_of
        asked = {target for key in held for each in self._askers[key].waits if (target := each.target.key) in line}
        if not asked:
            return set()
        stuck = {*held, *asked}
        while True:
            taken = _counted(held, stuck)
            is_full = len(stuck & held.keys()) == full
            going_on = {
                key
                for key in stuck
                if not (self._waits_for(key, stuck) if key in held else is_full or _is_taken(line[key].pools, taken))
            }
            if not going_on:
                return stuck
            stuck -= going_on

    def _waits_for(self, key: str, stuck: set[str]) -> list[Waiting]:
        """What its callbacks wait for among these."""
        line = self._residency.line
        found = []
        for each in self._askers[key].waits:
            target = each.target.key
            is_of_these = target in stuck and self._home_of(target) is each.target  # and not of another manager
            if each.is_open and is_of_these and (each.what == "turn" or (each.what == "agent" and target in line)):
                found.append(each)
        return found

    def _error(self, asker: str, target: str) -> WouldDeadlock:
        key = target if target in self._residency.line else next(iter(self._residency.line))
        through = "" if key == target else f", which waits for the session {key!r}"
        return WouldDeadlock(
            f"a tool, hook or permission callback of the session {asker!r} waits for the session {target!r}{through}, for whose "
            f"agent there is no room before it returns ({self._residency.why(key)}). Raise the limit, use send() and do "
            "not wait for the outcome, or start a task of your own for it"
        )


def _counted(held: Mapping[str, tuple[Pool, ...]], keys: Collection[str]) -> Counter[Pool]:
    """How many of these there are in each pool."""
    return Counter(pool for key, pools in held.items() if key in keys for pool in pools)


def _is_taken(pools: Iterable[Pool], taken: Counter[Pool]) -> bool:
    """Is one of these full of connections that go on only when others have?"""
    return any(taken[pool] >= pool.bound for pool in pools)
