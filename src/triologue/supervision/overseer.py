"""Watches over all actors of a manager: how many are live, what they may cost, and what their accounts allow."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import final

import trio

from triologue.actors import Actor, Conversation, Home, Timers, log_extra
from triologue.errors import LimitError
from triologue.messages import CostWarning, RateLimitEvent, ResultMessage
from triologue.options import Limits, Options
from triologue.ports import Carrier, Connection, KeepsLogins, Sink
from triologue.session import inputs as on
from triologue.supervision.circles import Circles
from triologue.supervision.gating import Gating
from triologue.supervision.housing import Housing
from triologue.supervision.prewarming import Prewarming
from triologue.supervision.purse import Crossing, Purse, Warn
from triologue.supervision.staggering import Staggering

logger = logging.getLogger("triologue.supervision")

MEASURE_EVERY = 5.0
"""Seconds between two looks at what the agents weigh: one takes about a millisecond for each of their processes."""


@final
class Overseer:
    """The `Oversight` of a manager's actors: asks the machines that know about all of them, and tells each what follows.

    Args:
        limits: how much there may be.
        timers: the manager's.
        awake: the actors that are awake now.
        find: the one of a key.
    """

    def __init__(
        self,
        limits: Limits,
        timers: Timers,
        awake: Callable[[], Iterable[Actor]],
        find: Callable[[str], Actor | None],
    ) -> None:
        self.purse = Purse(limits.max_cost_usd, limits.max_cost_usd_per_session)
        self.housing = Housing(limits, self._look_for_circles)
        self._circles = Circles(self.housing.residency, self._home_of)
        self._on_wait, self._on_evict = self._circles.asks, self._evict  # one of each for all
        self.gating = Gating(timers, awake, find)
        self.staggering = Staggering()
        self.prewarming: Prewarming | None = None
        self._awake = awake
        self._find = find

    async def watch_memory(self) -> None:
        """Look what the agents weigh, for the bound on it, until cancelled."""
        while True:
            await trio.sleep(MEASURE_EVERY)
            if not await self.weigh():
                return

    async def weigh(self) -> bool:
        """Look once, in a thread; False on a system where nothing is measured."""
        return await self.housing.weigh(self._processes())

    # What actors ask and tell; see `Oversight`.

    async def enter(self, conversation: Conversation, generation: int, options: Options) -> None:
        """Wait for room for one more live agent."""
        key, agent, group = conversation.key, conversation.agent, conversation.group
        conversation.home.on_wait = self._on_wait
        evict, ahead = self._on_evict, self.prewarming
        if ahead is not None and ahead.claim(conversation, generation, options, evict=evict):
            await trio.lowlevel.checkpoint()
        else:
            await self.housing.enter(key, generation, agent, group=group, evict=evict)

    async def queue_to_start(self, conversation: Conversation, generation: int, options: Options) -> None:
        """Wait for its turn, after others that may renew the same log-in as they start."""
        start, agent = (conversation.key, generation), conversation.agent
        is_there = self.prewarming is not None and self.prewarming.has_for(start)
        login = agent.kept_login(options) if isinstance(agent, KeepsLogins) and not is_there else None
        if login is not None:
            await self.staggering.enter(start, login)

    def starts(self, conversation: Conversation, generation: int) -> None:
        """It is not held up any more."""
        self.staggering.begins((conversation.key, generation))

    def connect(
        self, conversation: Conversation, generation: int, options: Options, *, sink: Sink, carrier: Carrier
    ) -> AbstractAsyncContextManager[Connection]:
        """Open the connection that there is room for."""
        key, agent = conversation.key, conversation.agent
        if self.prewarming is not None:
            return self.prewarming.connect(key, generation, agent, options, sink=sink, carrier=carrier)
        return agent.connect(options, sink=sink, carrier=carrier)

    def came_up(self, conversation: Conversation, generation: int) -> None:
        """The agent has answered the handshake, or will not."""
        self.staggering.over((conversation.key, generation))

    def leave(self, conversation: Conversation, generation: int) -> None:
        """That agent is gone, or never came."""
        self.came_up(conversation, generation)
        if self.prewarming is not None:
            self.prewarming.disclaim(conversation.key, generation)
        self.gating.ended(conversation)
        self.housing.leave(conversation.key, generation)

    def wakes(self, conversation: Conversation) -> None:
        """It has an actor from now on, and is as the store has it."""
        if conversation.journal is not None:
            self.purse.begin(conversation.key, conversation.spent_usd)

    def rests(self, conversation: Conversation, generation: int, *, is_idle: bool) -> None:
        """The agent has nothing to do from now on, or has something to do again."""
        self.housing.rests(conversation.key, generation, is_idle=is_idle)

    def closes(self, conversation: Conversation, generation: int) -> None:
        """The agent is being let go."""
        self.housing.closes(conversation.key, generation)

    def stays(self, conversation: Conversation, generation: int) -> None:
        """The agent does not make room."""
        self.housing.stays(conversation.key, generation)

    def waits_at_gate(self, conversation: Conversation, *, is_waiting: bool) -> None:
        """A turn waits for nothing but the gate from now on, or none does any more."""
        self.gating.waits(conversation, is_waiting=is_waiting)

    def account(self, conversation: Conversation, message: ResultMessage | RateLimitEvent) -> list[CostWarning]:
        """The agent told what something cost, or how much is left; gives what the log is to have of that."""
        self.gating.account(conversation, message)
        if not isinstance(message, ResultMessage) or not message.cost_usd:
            return []
        conversation.spent_usd += message.cost_usd
        crossings = self.purse.spend(conversation.key, message.cost_usd)
        for crossing in crossings:
            self._crossed(crossing)
        warnings = (each for each in crossings if isinstance(each, Warn) and each.key is not None)
        return [CostWarning(cost_usd=each.cost_usd, limit_usd=each.limit_usd) for each in warnings]

    @property
    def starts_waiting(self) -> int:
        """How many wait for room, or for others that have the same log-in."""
        return self.housing.waiting + self.staggering.waiting

    def held_up_by(self, conversation: Conversation) -> str | None:
        """What holds its turns up besides its agent, in words: no room, a usage limit, no money; None for nothing."""
        if (wait := self.housing.why(conversation.key)) is not None:
            return f"room for one more live agent: {wait}"
        if self.staggering.is_waiting(conversation.key):
            return "its turn to start, after others that have the same log-in"
        if (held := self.gating.why(conversation)) is not None:
            return f"the end of a usage limit: {held}"
        refusal = self.refusal(conversation)
        return None if refusal is None else f"money: {refusal}"

    def gate(self, conversation: Conversation) -> str | None:
        """Why its turns must wait, where they must."""
        return self.gating.gate(conversation)

    def refusal(self, conversation: Conversation) -> LimitError | None:
        """Why it may take nothing in, where that is so."""
        return self.purse.refusal(conversation.key)

    def drains(self) -> None:
        """The manager drains: no conversation begins any more."""
        if self.prewarming is not None:
            self.prewarming.finish()

    def forget(self, key: str) -> None:
        """The conversation of that key is not known any more."""
        self.purse.forget(key)

    def _look_for_circles(self) -> None:
        self._circles.look()

    def _home_of(self, key: str) -> Home | None:
        actor = self._find(key)
        return actor.conversation.home if actor is not None else None

    def _processes(self) -> dict[int, tuple[str, int]]:
        live = [(actor.pid, actor.conversation.key, actor.session.link.generation) for actor in self._awake()]
        of_sessions = {pid: (key, generation) for pid, key, generation in live if pid is not None}
        return of_sessions | (self.prewarming.processes() if self.prewarming is not None else {})

    def _evict(self, key: str, generation: int) -> None:
        actor = self._find(key)
        if actor is not None:  # else it leaves already, and says so
            actor.post(on.Evict(generation))

    def _crossed(self, crossing: Crossing) -> None:
        whose = f"the session {crossing.key!r}" if crossing.key is not None else "all sessions of the manager"
        told = log_extra(crossing.key)
        if isinstance(crossing, Warn):
            logger.warning("%s cost %.4g of %g US dollars", whose, crossing.cost_usd, crossing.limit_usd, extra=told)
            return
        logger.warning("%s: %s", whose, crossing.error, extra=told)
        for actor in self._awake():
            if crossing.key in (None, actor.conversation.key):
                actor.post(on.Refuse(crossing.error))
