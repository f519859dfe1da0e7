"""Which sessions a gateway is to tell of, and from where: one change of each at a time, again on every connection."""

from collections.abc import Callable
from typing import TypeAlias, final

from triologue.actors import Reply
from triologue.protocol import asked, told
from triologue.remote.attachment import Attachment

Change: TypeAlias = asked.Attach | asked.Detach


@final
class _Wish:
    """Somebody wants to read from here on."""

    __slots__ = ("after", "begin", "reply")

    def __init__(self, after: int | None, begin: Callable[[], object]) -> None:
        self.after, self.begin = after, begin
        self.reply = Reply()


@final
class _Place:
    """Where an attachment stands with the gateway."""

    __slots__ = ("attachment", "is_changing", "is_told", "wishes")

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.is_told = False
        """On this connection its events come."""
        self.is_changing = False
        """A change is asked for, and not answered. Two at once might overtake each other."""
        self.wishes: list[_Wish] = []


@final
class Attachments:
    """The attachments of one client.

    Args:
        ask: sends a change, on the connection that there is.
        held_bytes: see `Attachment`.
    """

    def __init__(self, ask: Callable[[Change], object], held_bytes: int) -> None:
        self._ask = ask
        self._held_bytes = held_bytes
        self._places: dict[str, _Place] = {}
        self._is_open = False

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Attachment | None:
        """What is known of a session, if it is attached or about to be."""
        place = self._places.get(key)
        return place.attachment if place is not None else None

    def use(self, key: str) -> Attachment:
        """The same, for a user more, who calls `leave`."""
        if key not in self._places:
            self._places[key] = _Place(Attachment(key, self._held_bytes))
        attachment = self._places[key].attachment
        attachment.users += 1
        return attachment

    def leave(self, attachment: Attachment) -> None:
        """A user less."""
        attachment.users -= 1
        self.look_at(attachment)

    def attach(self, attachment: Attachment, after: int | None, begin: Callable[[], object]) -> Reply:
        """Have a session told from `after` on; None: from now on.

        Args:
            attachment: one that is used.
            after: a `seq`.
            begin: is called when that is so, before any event is handed on: a reader that it opens misses nothing.
        """
        wish = _Wish(after, begin)
        place = self._places.get(attachment.key)
        if place is None or place.attachment is not attachment:
            wish.reply.settle(error=attachment.failure)
        else:
            place.wishes.append(wish)
            self._go_on(place)
        return wish.reply

    def withdraw(self, attachment: Attachment, reply: Reply) -> None:
        """Whoever wanted to read has left before that began."""
        place = self._places.get(attachment.key)
        if place is not None:
            place.wishes = [wish for wish in place.wishes if wish.reply is not reply]

    def look_at(self, attachment: Attachment) -> None:
        """Nobody may need it any more."""
        place = self._places.get(attachment.key)
        if place is not None and place.attachment is attachment and not attachment.is_used:
            self._go_on(place)

    # The connection.

    def resume(self) -> None:
        """There is a new one: each goes on where it stopped."""
        self._is_open = True
        for place in list(self._places.values()):
            self._go_on(place)

    def lost(self) -> None:
        """It broke."""
        self._is_open = False
        for place in self._places.values():
            place.is_told = place.is_changing = False

    def attached(self, request: asked.Attach, said: told.Attached) -> list[str]:
        """The reply. Returns the turns that nothing can be told of by events, because their log is gone."""
        place = self._places.get(request.key)
        if place is None:
            return []
        place.is_told, place.is_changing = True, False
        is_same = place.attachment.attached(said, request.after)
        self._go_on(place)
        return [] if is_same else place.attachment.accepted_turns

    def detached(self, request: asked.Detach) -> None:
        """The reply."""
        place = self._places.get(request.key)
        if place is not None:
            place.is_told = place.is_changing = False
            self._go_on(place)

    def fail(self, key: str, error: Exception) -> None:
        """Nothing more is told of this one."""
        place = self._places.pop(key, None)
        if place is not None:
            for wish in place.wishes:
                wish.reply.settle(error=error)
            place.attachment.fail(error)

    def fail_all(self, error: Exception) -> None:
        """Nor of any."""
        for key in list(self._places):
            self.fail(key, error)

    # What is to be done for one.

    def _go_on(self, place: _Place) -> None:
        """Serve the wishes that can be; then ask for the next change that is needed, if there is one."""
        if place.is_changing:
            return
        attachment = place.attachment
        if place.is_told:
            self._serve(place)
        if place.wishes or (attachment.is_used and not place.is_told):
            request = asked.Attach(id=0, key=attachment.key, after=_from_where(place), log=attachment.log)
            self._change(place, request)
        elif not attachment.is_used and place.is_told:
            self._change(place, asked.Detach(id=0, key=attachment.key))
        elif not attachment.is_used:
            del self._places[attachment.key]

    def _change(self, place: _Place, change: Change) -> None:
        if self._is_open:
            place.is_changing = True
            self._ask(change)

    def _serve(self, place: _Place) -> None:
        attachment, position = place.attachment, place.attachment.position or 0
        wishes, place.wishes = place.wishes, []
        for wish in wishes:
            if wish.after is not None and wish.after > attachment.last:
                wish.reply.settle(error=attachment.beyond(wish.after))
            elif wish.after is None or wish.after >= position:
                wish.begin()
                wish.reply.settle()
            else:
                place.wishes.append(wish)


def _from_where(place: _Place) -> int | None:
    """The position that all are served from."""
    positions = [wish.after for wish in place.wishes if wish.after is not None]
    if place.attachment.position is not None:
        positions.append(place.attachment.position)
    return min(positions, default=None)
