"""Which sessions a connection is attached to."""

from typing import Final, final

import trio

from triologue.errors import TriologueError
from triologue.gateway.attachment import Attachment
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.outgoing import Outgoing
from triologue.gateway.refusing import Refusal
from triologue.gateway.rooms import Room, Rooms
from triologue.gateway.statistics import GatewayStatistics
from triologue.messages.loose import encodable_text
from triologue.protocol.asked import Attach
from triologue.protocol.codes import TOO_MANY, code_of
from triologue.protocol.told import Attached, Detached

CATCHING_UP: Final = 4
"""Sessions of one connection that read what was missed, at the same time."""


@final
class Attachments:
    """All of one connection.

    Args:
        rooms: of the gateway.
        outgoing: of the connection.
        nursery: of the connection.
        limits: of the gateway.
        counters: of the gateway.
    """

    __slots__ = (
        "_by_key",
        "_coming",
        "_counters",
        "_is_closed",
        "_limits",
        "_nursery",
        "_outgoing",
        "_rooms",
        "catching_up",
        "most_waiting",
        "tell",
        "waiting",
    )

    def __init__(
        self,
        rooms: Rooms,
        outgoing: Outgoing,
        nursery: trio.Nursery,
        limits: GatewayLimits,
        counters: GatewayStatistics,
    ) -> None:
        self._rooms = rooms
        self._outgoing = outgoing
        self._nursery = nursery
        self._limits = limits
        self._counters = counters
        self._by_key: dict[str, Attachment] = {}
        self._coming = 0
        self._is_closed = False
        self.waiting = 0
        self.most_waiting = limits.viewer_bytes
        self.tell = outgoing.tell
        self.catching_up = trio.CapacityLimiter(CATCHING_UP)

    def __len__(self) -> int:
        return len(self._by_key)

    async def attach(self, request: Attach) -> Attached:
        """Send this session's events from now on, instead of how they were sent before.

        Raises:
            Refusal: there are as many as may be.
            TriologueError: the session cannot be read.
        """
        if len(self._by_key) + self._coming >= self._limits.attached and request.key not in self._by_key:
            text = f"this connection is attached to {self._limits.attached} sessions, and may be to no more"
            raise Refusal(TOO_MANY, text, limit="attached")
        self._coming += 1
        try:
            room = await self._rooms.enter(request.key)
        finally:
            self._coming -= 1
        if self._is_closed:
            self._rooms.leave(room)
        else:
            self.detach(request.key)
            self._by_key[request.key] = attachment = Attachment(
                room,
                self,
                after=_after(request, room),
                partials=request.partials,
                coalesce=request.coalesce_ms / 1000,
            )
            attachment.start()
        session = room.session
        return Attached(
            re=request.id,
            key=request.key,
            state=session.state,
            session_id=session.session_id,
            log=room.log,
            last=room.position,
        )

    def detach(self, key: str) -> None:
        """Send no more of it."""
        attachment = self._by_key.pop(key, None)
        if attachment is not None:
            attachment.close()
            self._outgoing.forget(attachment)
            self._rooms.leave(attachment.room)

    def close(self) -> None:
        """Send nothing more, of any."""
        self._is_closed = True
        for key in list(self._by_key):
            self.detach(key)

    # For the attachments.

    def begin(self, attachment: Attachment) -> None:
        """See `Way`."""
        self._nursery.start_soon(attachment.catch_up)

    def fell_behind(self, attachment: Attachment) -> None:
        """See `Way`."""
        self._counters.gaps += 1
        self._outgoing.forget(attachment)

    def ended(self, attachment: Attachment, error: TriologueError) -> None:
        """See `Way`."""
        key = attachment.room.session.key
        self.detach(key)
        self._outgoing.reply(Detached(key=key, code=code_of(error), message=encodable_text(str(error))))


def _after(request: Attach, room: Room) -> int:
    """The `seq` that its events come after; all of them, where it knows another log."""
    if request.after is None:
        return room.position
    return request.after if request.log in (None, room.log) and request.after <= room.position else 0
