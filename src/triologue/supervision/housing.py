"""Room for live agents: who waits gets a place in order, and who has nothing to do is asked to make room."""

import os
from collections.abc import Callable, Iterable
from typing import final

import trio

from triologue.actors import Actor, Conversation
from triologue.agents import measure_trees
from triologue.options import Limits
from triologue.ports import Agent, LivesInside
from triologue.session import inputs as on
from triologue.supervision.residency import Effect, Evict, Grant, Residency
from triologue.supervision.waits import Wait

INSIDE = "inside"
PROCESS = "process"
MAX_INSIDE = 10_000
"""Agents inside this program that live at the same time, where `Limits.max_live` does not say."""
MEASURE_EVERY = 5.0
"""Seconds between two looks at what the agents weigh: one takes about a millisecond for each of their processes."""


@final
class Housing:
    """Does what `Residency` decides.

    Args:
        limits: how many there may be.
        find: the actor of a key that is awake.
    """

    def __init__(self, limits: Limits, find: Callable[[str], Actor | None]) -> None:
        self._limits = limits
        self._find = find
        most = limits.max_live
        bounds = {PROCESS: most or 2 * (os.cpu_count() or 1), INSIDE: most or MAX_INSIDE}
        self.residency = Residency(
            bounds, max_live_per_group=limits.max_live_per_group, max_rss_bytes=limits.max_rss_bytes
        )
        self._entering: dict[tuple[str, int], trio.Event] = {}

    async def enter(self, conversation: Conversation, generation: int) -> None:
        """Wait for a place, in line behind those who came before."""
        key = conversation.key
        event = self._entering[key, generation] = trio.Event()
        kind, group = self._kind(conversation.agent), self._group(key)
        self._execute(self.residency.want(key, generation, kind=kind, group=group, now=trio.current_time()))
        await event.wait()

    def leave(self, conversation: Conversation, generation: int) -> None:
        """The place is free, or is not wanted any more."""
        self._entering.pop((conversation.key, generation), None)
        self._execute(self.residency.left(conversation.key, generation, now=trio.current_time()))

    def rests(self, conversation: Conversation, generation: int, *, is_idle: bool) -> None:
        """It could make room from now on, or cannot any more."""
        if is_idle:
            self._execute(self.residency.idle(conversation.key, generation, now=trio.current_time()))
        else:
            self.residency.busy(conversation.key, generation)

    def closes(self, conversation: Conversation, generation: int) -> None:
        """It makes room soon."""
        self.residency.leaving(conversation.key, generation)

    def stays(self, conversation: Conversation, generation: int) -> None:
        """It does not, though it was asked to."""
        self._execute(self.residency.refused(conversation.key, generation, now=trio.current_time()))

    def why(self, key: str) -> Wait | None:
        """Why this key waits for a place; None where it does not."""
        return self.residency.why(key)

    async def watch_memory(self, actors: Callable[[], Iterable[Actor]]) -> None:
        """Look what the agents weigh, again and again, where that can be seen; for a bound on it."""
        while True:
            await trio.sleep(MEASURE_EVERY)
            live = {
                actor.pid: (actor.conversation.key, actor.session.link.generation)
                for actor in actors()
                if actor.pid is not None
            }
            sizes = await trio.to_thread.run_sync(measure_trees, live) if live else {}
            if sizes is None:  # a system where nothing is measured
                return
            measured = {live[pid]: size for pid, size in sizes.items()}
            self._execute(self.residency.measured(measured, now=trio.current_time()))

    def _kind(self, agent: Agent) -> str:
        # A bound that was given is one for all, whatever they are.
        return INSIDE if isinstance(agent, LivesInside) and self._limits.max_live is None else PROCESS

    def _group(self, key: str) -> str:
        return self._limits.group(key) if self._limits.group is not None else ""

    def _execute(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Grant(key, generation):
                    event = self._entering.pop((key, generation), None)
                    if event is not None:
                        event.set()
                case Evict(key, generation):
                    actor = self._find(key)
                    if actor is not None:  # else it leaves already, and says so
                        actor.post(on.Evict(generation))
