"""The turns that wait in front of a session: in order, bounded."""

from collections import OrderedDict
from typing import final

from msgspec import Struct

from triologue.errors import MailboxFull
from triologue.messages import UserMessage


class Waiting(Struct, frozen=True):
    """An accepted turn that has not begun."""

    turn_id: str
    prompt: UserMessage


@final
class Mailbox:
    """First in, first out.

    Args:
        limit: how many may wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._turns: OrderedDict[str, Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def put(self, turn: Waiting) -> None:
        """Add a turn at the end.

        Raises:
            MailboxFull: `limit` turns wait already; nothing was added.
        """
        if len(self._turns) >= self.limit:
            raise MailboxFull(
                f"{self.limit} turns wait in this session already, which is its limit (Limits.mailbox); "
                "wait for some of them, or raise the limit"
            )
        self._turns[turn.turn_id] = turn

    def take(self) -> Waiting | None:
        """Remove and return the oldest turn."""
        return self._turns.popitem(last=False)[1] if self._turns else None

    def remove(self, turn_id: str) -> bool:
        """Remove one turn, wherever it stands; False when it does not wait here."""
        return self._turns.pop(turn_id, None) is not None

    def clear(self) -> list[Waiting]:
        """Remove all, oldest first."""
        turns = list(self._turns.values())
        self._turns.clear()
        return turns

    def position(self, turn_id: str) -> int | None:
        """How many stand before this turn; None when it does not wait here."""
        for index, waiting in enumerate(self._turns):
            if waiting == turn_id:
                return index
        return None
