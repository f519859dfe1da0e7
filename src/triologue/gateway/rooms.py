"""Rooms: for each session that somebody watches one listener to its log, which hands every event to all who watch."""

import logging
from collections.abc import Sequence
from typing import Protocol, final

import trio

from triologue.actors import Batch, OnceAMinute
from triologue.actors.late import Late
from triologue.errors import ManagerClosed, StoreError, TriologueError
from triologue.manager import Session, SessionManager
from triologue.messages import Gap, Message, StreamEvent
from triologue.protocol.codes import GatewayBroke
from triologue.protocol.events import Labels

logger = logging.getLogger("triologue.gateway")

# What an event without a line weighs, and what goes around each.
_NOMINAL_BYTES = 512
_AROUND_BYTES = 128

_TEXT_BYTES = 8 * 1024
"""Text that is more than this is several items, so that a little of it can be sent."""


@final
class Item:
    """A record on its way to viewers, or text that came at once: encoded once, and only if somebody is sent it as it is.

    Args:
        seq: its place in the log; None for what has none.
        turn_id: of the turn that caused it.
        messages: what happened: a record, or partials.
        size: what their lines weigh together; where one has none, 0.
        labels: of its session.
    """

    __slots__ = ("_data", "_labels", "is_partial", "last", "messages", "seq", "size", "turn_id")

    def __init__(
        self, seq: int | None, turn_id: str | None, messages: Sequence[Message], size: int, labels: Labels
    ) -> None:
        first = messages[0]
        self.seq = seq
        self.turn_id = turn_id
        self.messages = messages
        self._labels = labels
        self._data: bytes | None = None
        self.is_partial = type(first) is StreamEvent
        self.last = first.last if type(first) is Gap else seq or 0
        """The `seq` of the last record that it stands for; 0 for partial text."""
        self.size = (size or _NOMINAL_BYTES) + len(messages) * (_AROUND_BYTES + labels.size + len(turn_id or ""))
        """About how many bytes it has."""

    @property
    def data(self) -> bytes:
        """As it goes over the wire, with a comma between two events."""
        if self._data is None:
            event, messages = self._labels.event, self.messages
            if len(messages) == 1:
                self._data = event(self.seq, self.turn_id, messages[0])
            else:
                self._data = b",".join([event(self.seq, self.turn_id, message) for message in messages])
        return self._data


class Viewer(Protocol):
    """Who watches."""

    @property
    def patience(self) -> float:
        """Seconds that it lets text wait for more."""
        ...

    def offer(self, items: Sequence[Item]) -> None:
        """This has happened. Never waits."""
        ...

    def skip(self) -> None:
        """Records were written elsewhere, up to the room's position: they are to be read. Never waits."""
        ...

    def end(self, error: TriologueError) -> None:
        """Nothing follows, because of this. Never waits."""
        ...


@final
class Room:
    """One session that is watched. It listens to the log, and its task only waits for the end.

    Args:
        session: which.
        failures: of the gateway, as its log is told of them.
    """

    __slots__ = (
        "_failures",
        "_finished",
        "ended",
        "labels",
        "log",
        "opened",
        "patience",
        "position",
        "scope",
        "session",
        "users",
        "viewers",
    )

    def __init__(self, session: Session, failures: OnceAMinute) -> None:
        self.session = session
        self._failures = failures
        self.labels = Labels(session.key)
        self.viewers: dict[Viewer, None] = {}
        self.patience = 0.0
        """See `Listener`: that of who watches with the least."""
        self.position = 0
        """The `seq` of the last record that was handed out, or was there before."""
        self.log = ""
        """Tells this log from another that had the key before, or that has it after this."""
        self.scope = trio.CancelScope()
        self.users = 0
        """Who is in it, or on the way in."""
        self.opened = trio.Event()
        self.ended: TriologueError | None = None
        """Why it could not be opened, or why nothing follows."""
        self._finished = trio.Event()

    def admit(self, viewer: Viewer) -> None:
        """Hand out to it what happens."""
        self.patience = min(self.patience, viewer.patience) if self.viewers else viewer.patience
        self.viewers[viewer] = None

    def dismiss(self, viewer: Viewer) -> None:
        """And no more."""
        self.viewers.pop(viewer, None)
        if viewer.patience == self.patience:
            self.patience = min((each.patience for each in self.viewers), default=0.0)

    async def run(self) -> None:
        """Hand out what happens until nothing follows, or everybody has left."""
        try:
            with self.scope:
                async with self.session.listen(self) as (begun, self.position):
                    self.log = f"{begun:.6f}"
                    self.opened.set()
                    await self._finished.wait()
            self._end(ManagerClosed(f"the session {self.session.key!r} was deleted, or its manager was left"))
        except TriologueError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - the program's function for options, perhaps, which a client may ask for any key
            self._tell("the session %r cannot be shown%s", error)
            self._end(_broke())
        finally:
            self.opened.set()

    def _tell(self, text: str, error: Exception) -> None:
        suffix = self._failures.suffix(text, error)
        if suffix is not None:
            logger.error(text, self.session.key, suffix, exc_info=error)

    def _end(self, error: TriologueError) -> None:
        self.ended = self.ended or error
        for viewer in list(self.viewers):
            viewer.end(self.ended)

    # For the log.

    def offer(self, batch: Batch) -> None:
        """See `Listener`."""
        if self.ended is None:
            try:
                if items := self._items(batch):
                    for viewer in list(self.viewers):
                        viewer.offer(items)
            except Exception as error:  # noqa: BLE001 - a bug ends this room, and not the conversation
                self._tell("the session %r cannot be shown any more%s", error)
                self.ended = _broke()
                self._finished.set()

    def wake(self) -> None:
        """See `Listener`: turns have ended, and the log cannot tell. Who comes again hears how from the turns themselves."""
        why = f"the session {self.session.key!r} cannot be kept, so its log does not tell how its turns ended; attach again"
        self.ended = self.ended or StoreError(why)
        self._finished.set()

    def finish(self) -> None:
        """See `Listener`."""
        self._finished.set()

    def _items(self, batch: Batch) -> list[Item]:
        if batch.last < batch.first:  # partials, and nothing else
            return self._texts(batch.turn_id, batch.messages)
        items: list[Item] = []
        text: list[Message] = []
        seq = batch.first
        for message in batch.messages:
            if type(message) is StreamEvent:
                text.append(message)
                continue
            if text:
                items += self._texts(batch.turn_id, text)
                text = []
            if isinstance(message, Gap):  # what it stands for is in the store
                self.position = message.last
                for viewer in list(self.viewers):
                    viewer.skip()
            else:
                items.append(Item(seq, batch.turn_id, (message,), len(message.line), self.labels))
                self.position = seq
                seq += 1
        if text:
            items += self._texts(batch.turn_id, text)
        return items

    def _texts(self, turn_id: str | None, partials: Sequence[Message]) -> list[Item]:
        """Partials that came at once: joined, once for all, where all who watch would do that each for itself."""
        if self.patience > 0 and len(partials) > 1:
            late = Late()
            late.add(turn_id, partials)
            return [Item(None, turn_id, (each,), len(each.line), self.labels) for _, each in late.take()]
        items: list[Item] = []
        text: list[Message] = []
        size = 0
        for partial in partials:
            if size >= _TEXT_BYTES:
                items.append(Item(None, turn_id, text, size, self.labels))
                text, size = [], 0
            text.append(partial)
            size += len(partial.line)
        if text:
            items.append(Item(None, turn_id, text, size, self.labels))
        return items


@final
class Rooms:
    """All rooms of a gateway.

    Args:
        manager: whose sessions are watched.
        nursery: where their tasks run.
        failures: of the gateway, as its log is told of them.
    """

    def __init__(self, manager: SessionManager, nursery: trio.Nursery, failures: OnceAMinute) -> None:
        self._manager = manager
        self._failures = failures
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
            room = self._rooms[key] = Room(self._manager.session(key), self._failures)
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


def _broke() -> GatewayBroke:
    return GatewayBroke("the gateway has a bug, so it cannot show this session; its log says more")
