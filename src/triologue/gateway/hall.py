"""What all connections of a gateway share."""

import logging
from collections.abc import Iterable
from typing import Protocol, final

import trio
from msgspec.structs import replace

from triologue.actors import OnceAMinute, log_safely
from triologue.errors import brief
from triologue.gateway.flushing import Flusher
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.rights import GONE, Rights
from triologue.gateway.rooms import Rooms
from triologue.gateway.statistics import GatewayStatistics
from triologue.gateway.tokens import LOCAL, Grant
from triologue.manager import SessionManager
from triologue.protocol.codes import CLOSE_UNAUTHORIZED

logger = logging.getLogger("triologue.gateway")


class Guest(Protocol):
    """A connection, as the others see it."""

    @property
    def viewers(self) -> int:
        """Sessions that it is attached to."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """Of events that it has not been sent yet."""
        ...

    @property
    def token(self) -> str | None:
        """The id of the token that it came with."""
        ...

    @property
    def is_welcome(self) -> bool:
        """Is its token still what it was?"""
        ...

    def end(self, code: int, reason: str) -> None:
        """Close it. Never waits."""
        ...


@final
class Hall:
    """Of one gateway.

    Args:
        manager: whose sessions are lent.
        limits: how much there may be.
        rights: who may do what.
        nursery: where rooms are read, what waits is sent, and requests are worked on: prompts go on when their client has left.
    """

    def __init__(self, manager: SessionManager, limits: GatewayLimits, rights: Rights, nursery: trio.Nursery) -> None:
        self.manager = manager
        self.limits = limits
        self.rights = rights
        self.nursery = nursery
        self.failures = OnceAMinute()
        """What broke by a bug of the gateway's or of the program's, and a client can do again and again."""
        self._reached = OnceAMinute()
        self.rooms = Rooms(manager, nursery, self.failures)
        self.flusher = Flusher()
        nursery.start_soon(self.flusher.run)
        self.counters = GatewayStatistics()
        self.guests: dict[Guest, None] = {}
        self.handshakes: dict[trio.CancelScope, None] = {}
        """Of clients that have not said `hello` yet, the oldest first."""
        self.prompts: dict[trio.CancelScope, None] = {}
        """Those that are on their way in, which nobody else cancels."""
        rights.changed.append(self._see_out)

    def statistics(self) -> GatewayStatistics:
        """As it stands."""
        return replace(
            self.counters,
            connections=len(self.guests),
            handshakes=len(self.handshakes),
            viewers=sum(guest.viewers for guest in self.guests),
            waiting_bytes=sum(guest.waiting_bytes for guest in self.guests),
        )

    def has_room_for(self, grant: Grant) -> bool:
        """May one more come in with this token? Where there are no tokens, all have the same."""
        alike = sum(guest.token == grant.id for guest in self.guests)
        return grant is LOCAL or alike < self.limits.connections_per_token

    def tell_limit(self, limit: str, why: str, grant: Grant | None = None) -> None:
        """A limit was reached; of each token the log tells that once a minute.

        Args:
            limit: its name in `GatewayLimits`.
            why: what the client is told.
            grant: who reached it, where that is known.
        """
        suffix = self._reached.suffix(f"{limit} {grant.id if grant is not None else ''}")
        if suffix is not None:
            who = f"{brief(grant.name)} (token {grant.id})" if grant not in (None, LOCAL) else "clients"
            log_safely(logger, logging.WARNING, "the limit %s was reached by %s: %s%s", limit, who, why, suffix)

    def end(self, code: int, reason: str, guests: Iterable[Guest] | None = None) -> None:
        """Close connections, all where none are named, and cut off those that have not said `hello`."""
        for handshake in list(self.handshakes) if guests is None else ():
            handshake.cancel()
        for guest in list(self.guests if guests is None else guests):
            guest.end(code, reason)

    def hurry(self, seconds: float) -> None:
        """Give prompts that are on their way in no more than this."""
        for scope in self.prompts:
            scope.deadline = trio.current_time() + seconds

    def _see_out(self) -> None:
        unwelcome = [guest for guest in self.guests if not guest.is_welcome]
        self.end(CLOSE_UNAUTHORIZED, GONE, unwelcome)
