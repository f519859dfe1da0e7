"""Room for live agents: who waits gets a place in order, and who has nothing to do is asked to make room."""

import os
from collections.abc import Callable
from typing import TypeAlias, final

import trio

from triologue.agents import measure_trees
from triologue.loops import NoThread, in_thread
from triologue.options import Limits
from triologue.ports import Agent, LivesInside
from triologue.supervision.residency import Effect, Evict, Grant, Residency
from triologue.supervision.waits import Wait

INSIDE = "inside"
PROCESS = "process"
MAX_INSIDE = 10_000
"""Agents inside this program that live at the same time, where `Limits.max_live` does not say."""

Evicting: TypeAlias = Callable[[str, int], object]
"""Asks an agent, by its key and its generation, to make room."""


@final
class Housing:
    """Does what `Residency` decides. An agent is named by the key of its session and its generation.

    Args:
        limits: how many there may be.
        changed: called when somebody has got a place, or waits for one, or does no more.
    """

    def __init__(self, limits: Limits, changed: Callable[[], None] = lambda: None) -> None:
        self._limits = limits
        self._changed = changed
        most = limits.max_live
        self._bounds = {PROCESS: most or 2 * (os.cpu_count() or 1), INSIDE: most or MAX_INSIDE}
        self.residency = Residency(
            self._bounds, max_live_per_group=limits.max_live_per_group, max_rss_bytes=limits.max_rss_bytes
        )
        self._entering: dict[tuple[str, int], trio.Event] = {}
        self._evicting: dict[tuple[str, int], Evicting] = {}

    async def enter(self, key: str, generation: int, agent: Agent, *, group: str | None, evict: Evicting) -> None:
        """Wait for a place, in line behind those who came before.

        Args:
            key: of the session that wants it.
            generation: of its agent.
            agent: which kind of place.
            group: of the session; None: of no group.
            evict: is given its name, and asks it to make room. It `closes`, or it `stays`.
        """
        event = self._entering[key, generation] = trio.Event()
        self._evicting[key, generation] = evict
        now = trio.current_time()
        self._execute(self.residency.want(key, generation, kind=self._kind(agent), group=group, now=now))
        await event.wait()

    def hand_over(self, key: str, generation: int, *, to: tuple[str, int], group: str | None, evict: Evicting) -> bool:
        """Give a place to another one, which need not wait for it then. False: its group has no room."""
        if not self.residency.hand_over(key, generation, to=to, group=group, now=trio.current_time()):
            return False
        self._evicting.pop((key, generation), None)
        self._evicting[to] = evict
        return True

    def leave(self, key: str, generation: int) -> None:
        """The place is free, or is not wanted any more."""
        self._entering.pop((key, generation), None)
        self._evicting.pop((key, generation), None)
        self._execute(self.residency.left(key, generation, now=trio.current_time()))

    def rests(self, key: str, generation: int, *, is_idle: bool, is_spare: bool = False) -> None:
        """It could make room from now on, before all others if it is a spare one; or cannot any more."""
        if is_idle:
            now = float("-inf") if is_spare else trio.current_time()
            self._execute(self.residency.idle(key, generation, now=now))
        else:
            self.residency.busy(key, generation)

    def closes(self, key: str, generation: int) -> None:
        """It makes room soon."""
        self.residency.leaving(key, generation)

    def stays(self, key: str, generation: int) -> None:
        """It does not, though it was asked to."""
        self._execute(self.residency.refused(key, generation, now=trio.current_time()))

    def has_room(self, agent: Agent) -> bool:
        """Is a place free that nobody waits for, and memory left?"""
        kind, now, most = self._kind(agent), self.residency.statistics(), self._limits.max_rss_bytes
        return now.waiting == 0 and now.live[kind] < self._bounds[kind] and (most is None or now.rss_bytes <= most)

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self.residency.line)

    def why(self, key: str) -> Wait | None:
        """Why this key waits for a place; None where it does not."""
        return self.residency.why(key)

    async def weigh(self, live: dict[int, tuple[str, int]]) -> bool:
        """Look what the agents weigh, for the bound on it; False on a system where nothing is measured.

        Args:
            live: the key and the generation of each, by its pid.
        """
        try:
            sizes = await in_thread(measure_trees, live) if live else {}
        except NoThread:
            return True  # what was seen last counts until the next look
        if sizes is None:
            return False
        measured = {live[pid]: size for pid, size in sizes.items()}
        self._execute(self.residency.measured(measured, now=trio.current_time()))
        return True

    def _kind(self, agent: Agent) -> str:
        # A bound that was given is one for all, whatever they are.
        return INSIDE if isinstance(agent, LivesInside) and self._limits.max_live is None else PROCESS

    def _execute(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Grant(key, generation):
                    event = self._entering.pop((key, generation), None)
                    if event is not None:
                        event.set()
                case Evict(key, generation):
                    self._evicting[key, generation](key, generation)
        self._changed()
