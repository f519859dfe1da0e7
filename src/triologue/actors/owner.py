"""Whom the parts of an awake session belong to."""

from collections.abc import Callable
from typing import Protocol

from triologue.actors.replies import Reply
from triologue.errors import TriologueError
from triologue.messages import Message, Outcome
from triologue.session import inputs as on


class Owner(Protocol):
    """An actor, as its parts know it. One object, and not a bound method for each that it is asked: these weigh as much."""

    def post(self, event: on.Input) -> None:
        """Give the session an input, behind others."""
        ...

    def request(self, make: Callable[[int], on.Input]) -> Reply:
        """The same for one that is answered."""
        ...

    def apply(self, event: on.Input) -> None:
        """Give it one at once."""
        ...

    def hear(self, generation: int, batch: list[Message]) -> float:
        """Take what the agent says. Returns for how many seconds more of it may wait; see `Sink`."""
        ...

    def ring(self, expired: on.Expired) -> None:
        """A deadline has passed."""
        ...

    def settle(self, turn_id: str, outcome: Outcome) -> None:
        """Give a turn its outcome."""
        ...

    def crash(self, error: Exception) -> None:
        """Take what is a bug, here or in a replaceable part."""
        ...

    def let_go(self, generation: int, error: TriologueError | None) -> None:
        """The connection is gone, and this is why; None when we closed it."""
        ...
