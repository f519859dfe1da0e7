"""A request of the client's end, from asking to its reply."""

from typing import final

from triologue.actors import Reply
from triologue.errors import TriologueError
from triologue.protocol import asked, told


@final
class Waiting:
    """A request, and what waits for its reply."""

    __slots__ = ("accepted", "is_sent", "is_unwanted", "place", "refusal", "reply", "request", "was_held", "was_lost")

    def __init__(self, request: asked.Request, place: int) -> None:
        self.request = request
        self.place = place
        """In the order of asking, whatever number its request has by now."""
        self.reply = Reply()
        self.is_sent = False
        """It went out on the connection that there is."""
        self.was_lost = False
        """It went out on one that broke."""
        self.was_held = False
        """It, or its caller before, had to wait for a connection."""
        self.is_unwanted = False
        """A prompt whose caller was cancelled: its turn is cancelled as soon as it is accepted."""
        self.refusal: TriologueError | None = None
        """What a prompt was refused with when it was said again, while its turn is looked for."""
        self.accepted: told.Accepted | None = None
        """The receipt of a prompt. Its caller may be cancelled in the moment in which that comes."""
