"""Rooms: for each session that somebody watches one reader of its log, which hands every event to all who watch."""

from collections.abc import Sequence
from typing import Protocol, final

import trio

from triologue.errors import ManagerClosed, TriologueError
from triologue.manager import Session, SessionManager
from triologue.messages import Event, Gap, StreamEvent
from triologue.protocol.events import Labels

# What an event without a line weighs, and what goes around each.
_NOMINAL_BYTES = 512
_AROUND_BYTES = 128


@final
class Item:
    """An event on its way to viewers: encoded once, and only if somebody is sent it as it is.

    Args:
        event: what happened.
        labels: of its session.
    """

    __slots__ = ("_data", "_labels", "event", "is_partial", "last", "size")

    def __init__(self, event: Event, labels: Labels) -> None:
        self.event = event
        self._labels = labels
        self._data: bytes | None = None
        message = event.message
        self.is_partial = isinstance(message, StreamEvent)
        self.last = message.last if isinstance(message, Gap) else event.seq or 0
        """The `seq` of the last record that it stands for; 0 for partial text."""
        self.size = (len(message.line) or _NOMINAL_BYTES) + _AROUND_BYTES
        """About how many bytes it has."""

    @property
    def data(self) -> bytes:
        """As it goes over the wire."""
        if self._data is None:
            self._data = self._labels.event(self.event)
        return self._data


class Viewer(Protocol):
    """Who watches."""

    def offer(self, items: Sequence[Item]) -> None:
        """This has happened. Never waits."""
        ...

    def end(self, error: TriologueError) -> None:
        """Nothing follows, because of this. Never waits."""
        ...


@final
class Room:
    """One session that is watched.

    Args:
        session: which.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.labels = Labels(session.key)
        self.viewers: dict[Viewer, None] = {}
        self.position = 0
        """The `seq` of the last record that was handed out, or was there before."""
        self.scope = trio.CancelScope()
        self.users = 0
        """Who is in it, or on the way in."""
        self.opened = trio.Event()
        self.ended: TriologueError | None = None
        """Why it could not be opened, or why nothing follows."""

    async def run(self) -> None:
        """Hand out what happens until nothing follows, or everybody has left."""
        try:
            with self.scope:
                await self._hand_out()
            self.ended = ManagerClosed(f"the session {self.session.key!r} was deleted, or its manager was left")
        except TriologueError as error:
            self.ended = error
        finally:
            self.opened.set()
        for viewer in list(self.viewers):
            viewer.end(self.ended)

    async def _hand_out(self) -> None:
        async with self.session.subscribe() as subscription:
            self.position = self.session.statistics().records
            self.opened.set()
            while batch := await subscription.batch():
                items = [Item(event, self.labels) for event in batch]
                self.position = max(self.position, *(item.last for item in items))
                for viewer in list(self.viewers):
                    viewer.offer(items)


@final
class Rooms:
    """All rooms of a gateway.

    Args:
        manager: whose sessions are watched.
        nursery: where their readers run.
    """

    def __init__(self, manager: SessionManager, nursery: trio.Nursery) -> None:
        self._manager = manager
        self._nursery = nursery
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    async def enter(self, key: str) -> Room:
        """The room of a session, for one more user, who leaves it later.

        Raises:
            InvalidOption: no key.
            StoreError, ManagerClosed: the session cannot be read.
        """
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room(self._manager.session(key))
            self._nursery.start_soon(self._run, room, name=f"triologue room {key!r}")
        room.users += 1
        try:
            await room.opened.wait()
            if room.ended is not None:
                raise room.ended
        except BaseException:
            self.leave(room)
            raise
        return room

    def leave(self, room: Room) -> None:
        """One user less; nobody reads for nobody."""
        room.users -= 1
        if not room.users:
            self._forget(room)
            room.scope.cancel()

    async def _run(self, room: Room) -> None:
        try:
            await room.run()
        finally:
            self._forget(room)

    def _forget(self, room: Room) -> None:
        if self._rooms.get(room.session.key) is room:
            del self._rooms[room.session.key]
