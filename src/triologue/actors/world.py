"""What all actors of a manager share, and who watches over them."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio
from msgspec import Struct

from triologue.actors.durations import Durations
from triologue.actors.permissions import OnPermission, Permissions
from triologue.actors.timers import Timers
from triologue.actors.writers import Writers
from triologue.errors import LimitError
from triologue.messages import CostWarning, OutcomeKind, RateLimitEvent, ResultMessage
from triologue.options import Deadlines, Limits, Options, RestartPolicy
from triologue.ports import Carrier, Connection, SessionStore, Sink

if TYPE_CHECKING:
    from triologue.actors.conversation import Conversation


class Oversight(Protocol):
    """What actors ask of those who see all of them. Nothing here waits but `enter` and `queue_to_start`."""

    def wakes(self, conversation: "Conversation") -> None:
        """It has an actor from now on, and is as the store has it."""
        ...

    async def enter(self, conversation: "Conversation", generation: int, options: Options) -> None:
        """Wait for room for one more live agent; `leave` must follow, also after a cancellation."""
        ...

    async def queue_to_start(self, conversation: "Conversation", generation: int, options: Options) -> None:
        """Wait for its turn to start; `starts` and `came_up` follow, or `leave`."""
        ...

    def starts(self, conversation: "Conversation", generation: int) -> None:
        """The start is under way."""
        ...

    def connect(
        self, conversation: "Conversation", generation: int, options: Options, *, sink: Sink, carrier: Carrier
    ) -> AbstractAsyncContextManager[Connection]:
        """Open the connection that there is room for: as `Agent.connect`."""
        ...

    def came_up(self, conversation: "Conversation", generation: int) -> None:
        """The agent has answered the handshake, or will not: the next one may start."""
        ...

    def leave(self, conversation: "Conversation", generation: int) -> None:
        """That agent is gone, or never came."""
        ...

    def rests(self, conversation: "Conversation", generation: int, *, is_idle: bool) -> None:
        """The agent has nothing to do from now on, or has something to do again."""
        ...

    def closes(self, conversation: "Conversation", generation: int) -> None:
        """The agent is being let go, and makes room soon."""
        ...

    def stays(self, conversation: "Conversation", generation: int) -> None:
        """The agent was told to make room, and does not go: it has something to do."""
        ...

    def waits_at_gate(self, conversation: "Conversation", *, is_waiting: bool) -> None:
        """A turn waits for nothing but the gate from now on, or none does any more."""
        ...

    def account(self, conversation: "Conversation", message: ResultMessage | RateLimitEvent) -> list[CostWarning]:
        """The agent told what something cost, or how much is left; gives what the log is to have of that."""
        ...

    def drains(self) -> None:
        """The manager drains: no conversation begins any more."""
        ...

    def forget(self, key: str) -> None:
        """The conversation of that key is not known any more."""
        ...

    @property
    def starts_waiting(self) -> int:
        """How many wait in `enter` and `queue_to_start`."""
        ...

    def held_up_by(self, conversation: "Conversation") -> str | None:
        """What holds its turns up besides its agent, in words: no room, a usage limit, no money; None for nothing."""
        ...

    def gate(self, conversation: "Conversation") -> str | None:
        """Why its turns must wait, where they must; when that changes, its actor is told."""
        ...

    def refusal(self, conversation: "Conversation") -> LimitError | None:
        """Why it may take nothing in, where that is so."""
        ...


class Tally(Struct):
    """What has happened so far in all sessions of a manager."""

    outcomes: Counter[OutcomeKind] = msgspec.field(default_factory=Counter[OutcomeKind])
    """Turns that have ended, by how."""
    restarts: int = 0
    """Agents that were started after one of their session had gone away by itself."""
    durations: Durations = msgspec.field(default_factory=Durations)
    """Of turns, from their acceptance to their outcome."""


class Guard(Struct):
    """Says of turns that were sent for somebody else whether they may begin, at the moment when they would."""

    label: str | None = None
    """What they have in their `meta`; None: there are none."""
    may_begin: Callable[[str, dict[str, str]], bool] = lambda key, meta: True
    """Given the key of the session and the turn's `meta`."""

    def covers(self, meta: dict[str, str]) -> bool:
        """Is it to be asked about the turn that has this `meta`?"""
        return self.label in meta

    def admits(self, key: str, meta: dict[str, str]) -> bool:
        """May the turn of this session that has this `meta` begin?"""
        return not self.covers(meta) or self.may_begin(key, meta)


class World(Struct, frozen=True):
    """What all actors of a manager share."""

    nursery: trio.Nursery
    """Where the actors run, and what serves their connections."""
    carrier: Carrier
    timers: Timers
    starting: trio.CapacityLimiter
    limits: Limits
    deadlines: Deadlines
    permissions: Permissions
    oversight: Oversight
    restart: RestartPolicy = RestartPolicy()
    tally: Tally = msgspec.field(default_factory=Tally)
    guard: Guard = msgspec.field(default_factory=Guard)
    writers: Writers = msgspec.field(default_factory=Writers)
    on_permission: OnPermission | None = None
    store: SessionStore | None = None
