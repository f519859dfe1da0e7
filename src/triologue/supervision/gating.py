"""Usage limits: whose turns wait at a gate, and who is let through when it opens."""

import hashlib
import logging
import time
from collections.abc import Callable, Hashable, Iterable
from typing import final

import trio

from triologue.actors import Actor, Conversation, Timers, log_extra
from triologue.messages import RateLimitEvent, ResultMessage
from triologue.session import inputs as on, limit_of
from triologue.supervision.quota import Effect, Held, QuotaGate

logger = logging.getLogger("triologue.supervision")


@final
class Gating:
    """Does what `QuotaGate` decides.

    Args:
        timers: tell when a gate is to be tried again.
        awake: the actors that are awake now.
        find: the one of a key.
    """

    def __init__(
        self, timers: Timers, awake: Callable[[], Iterable[Actor]], find: Callable[[str], Actor | None]
    ) -> None:
        self._timers = timers
        self._awake = awake
        self._find = find
        self._quota = QuotaGate()
        self._closed: dict[Hashable, str] = {}
        """Why, by credential; as long as somebody may have to wait."""
        self._let_through: dict[Hashable, set[str]] = {}
        """Keys, by credential, whose turns may begin although it is closed."""
        self._waiting: set[str] = set()
        self._offset = time.time() - trio.current_time()

    def gate(self, conversation: Conversation) -> str | None:
        """Why its turns wait, where they do."""
        return self._closed.get(credential_of(conversation))

    def account(self, conversation: Conversation, message: ResultMessage | RateLimitEvent) -> None:
        """The agent said something that may be about a limit."""
        limit = limit_of(message)
        if limit is None and not self._closed:  # no gate that this could open, as nearly always
            return
        credential = credential_of(conversation)
        if limit is not None:
            if credential not in self._closed:  # many hit it together, and more than once
                logger.warning(
                    "%s: %s; turns wait", conversation.agent.name, limit.reason, extra=log_extra(conversation.key)
                )
            self._close(credential, limit.reason)
            self._execute(self._quota.limited(credential, conversation.key, limit, now=self._now()))
        elif isinstance(message, ResultMessage) and not message.is_error:
            self._execute(self._quota.passed(credential, conversation.key, now=self._now()))
        elif isinstance(message, ResultMessage):
            self.ended(conversation)

    def ended(self, conversation: Conversation) -> None:
        """Its turn ended, and told nothing of the limit: if it was the probe, the next one may try."""
        if conversation.key not in self._waiting:
            self._execute(self._quota.withdraw(credential_of(conversation), conversation.key, now=self._now()))

    def waits(self, conversation: Conversation, *, is_waiting: bool) -> None:
        """A turn of it waits at the gate from now on, or none does any more."""
        credential, key = credential_of(conversation), conversation.key
        if is_waiting:
            self._waiting.add(key)
            self._execute(self._quota.ask(credential, key, now=self._now()))
            return
        self._waiting.discard(key)
        actor = self._find(key)
        if actor is None or actor.session.run is None:  # else it was let through, and begins
            self._execute(self._quota.withdraw(credential, key, now=self._now()))

    def why(self, conversation: Conversation) -> Held | None:
        """Why its turn waits; None where it is not the gate that it waits for."""
        return self._quota.why(credential_of(conversation), conversation.key)

    def _now(self) -> float:
        """Seconds since 1970, on a clock that does not jump."""
        return trio.current_time() + self._offset

    def _close(self, credential: Hashable, reason: str) -> None:
        # Of one that is closed already, all others know: many hit it together, and to tell all of each would take for ever.
        is_news, let_through = credential not in self._closed, self._let_through.pop(credential, set[str]())
        self._closed[credential] = reason
        for actor in self._awake() if is_news else filter(None, map(self._find, let_through)):
            if credential_of(actor.conversation) == credential:
                actor.post(on.Gate(reason))

    def _execute(self, effects: list[Effect]) -> None:
        for effect in effects:
            if effect.credential in self._closed:
                self._let_through.setdefault(effect.credential, set()).add(effect.key)
            actor = self._find(effect.key)
            if actor is not None:
                actor.post(on.Gate(None))
        for credential in [each for each in self._closed if not self._quota.is_closed(each)]:
            del self._closed[credential]
            self._let_through.pop(credential, None)
        due = self._quota.next_time()
        if due is None:
            self._timers.clear(id(self))
        else:
            self._timers.set(id(self), max(due - self._now(), 0.0), self._tick)

    def _tick(self) -> None:
        self._execute(self._quota.tick(now=self._now()))


def credential_of(conversation: Conversation) -> Hashable:
    """What stands for the account that an agent uses: the agent, with the environment that its options add.

    Agents of vendors' programs are equal where they were made alike, so that each caller may make its own. One that
    cannot be hashed, as most dataclasses, is only itself.
    """
    env = conversation.options.env
    # By repr(), as a value that was inherited may hold bytes that are no UTF-8.
    told = sorted((str(name), None if value is None else str(value)) for name, value in env.items())
    digest = hashlib.sha256(repr(told).encode()).digest() if told else b""
    try:
        hash(conversation.agent)
    except TypeError:
        return (id(conversation.agent), digest)
    return (conversation.agent, digest)
