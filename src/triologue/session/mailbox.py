"""The turns that wait in front of a session: in order, bounded."""

from itertools import takewhile
from typing import final

from msgspec import Struct
from msgspec.structs import replace

from triologue.errors import MailboxFull, TurnRejected, brief
from triologue.messages import ContentBlock, TextBlock, UserBody, UserMessage
from triologue.options import Overlap


class Waiting(Struct, frozen=True):
    """An accepted turn that has not begun."""

    turn_id: str
    prompt: UserMessage
    overlap: Overlap = "queue"
    is_begun: bool = False
    """It was with an agent before, which did not take it up."""


@final
class Mailbox:
    """First in, first out; only a turn that interrupts goes before those that wait.

    Args:
        limit: how many prompts may wait.
        key: of the session, for the error.
    """

    __slots__ = ("_turns", "key", "limit")

    def __init__(self, limit: int, key: str) -> None:
        self.limit, self.key = limit, key
        self._turns: dict[str, Waiting] = {}  # a tenth of an ordered one, and it is short

    def __len__(self) -> int:
        return len(self._turns)

    def busy(self) -> TurnRejected:
        """The error for who does not want to wait here."""
        return TurnRejected(
            f"a turn runs or waits in the session {brief(self.key)}, and overlap='reject' takes no other one in; "
            "send it again later",
            reason="busy",
            key=self.key,
        )

    def put(self, turn: Waiting, *, is_bounded: bool = True) -> None:
        """Add a turn: before the others if it interrupts, else at the end.

        Raises:
            MailboxFull: `limit` prompts wait already, and that matters; nothing was added.
        """
        waiting = len(self._turns)
        if is_bounded and waiting >= self.limit:
            raise MailboxFull(
                f"{waiting} prompts wait in the session {brief(self.key)} already, and its limit is {self.limit} "
                "(Limits.mailbox); wait for some of them, or raise the limit",
                key=self.key,
                waiting=waiting,
                limit=self.limit,
            )
        if turn.overlap == "interrupt":
            self._turns = {turn.turn_id: turn, **self._turns}
        else:
            self._turns[turn.turn_id] = turn

    def put_back(self, turns: list[Waiting]) -> None:
        """Turns that had left for the agent wait again, behind those that interrupt and those put back before."""
        is_ahead = {id: each.overlap == "interrupt" or each.is_begun for id, each in self._turns.items()}
        ahead = [each for id, each in self._turns.items() if is_ahead[id]]
        behind = [each for id, each in self._turns.items() if not is_ahead[id]]
        self._turns = {each.turn_id: each for each in [*ahead, *turns, *behind]}

    def take(self) -> Waiting | None:
        """Remove and return the turn that is next."""
        if not self._turns:
            return None
        turn = self._turns.pop(next(iter(self._turns)))
        if not self._turns:
            self._turns.clear()  # else it keeps the room of what it had
        return turn

    def take_collected(self) -> list[Waiting]:
        """Remove and return those in front that go into a `collect` before them."""
        collected = list(takewhile(lambda turn: turn.overlap == "collect", self._turns.values()))
        for turn in collected:
            del self._turns[turn.turn_id]
        return collected

    def next(self) -> Waiting | None:
        """The turn that is next; None when none waits."""
        return next(iter(self._turns.values())) if self._turns else None

    def remove(self, turn_id: str) -> bool:
        """Remove one turn, wherever it stands; False when it does not wait here."""
        return self._turns.pop(turn_id, None) is not None

    def clear(self) -> list[Waiting]:
        """Remove all, in order."""
        turns, self._turns = self._turns, {}
        return list(turns.values())

    def position(self, turn_id: str) -> int | None:
        """How many stand before this turn; None when it does not wait here."""
        for index, waiting in enumerate(self._turns):
            if waiting == turn_id:
                return index
        return None


def joined(first: UserMessage, second: UserMessage) -> UserMessage:
    """One prompt of two: their texts with an empty line between them, or all their blocks."""
    before, after = first.content, second.content
    if isinstance(before, str) and isinstance(after, str):
        return replace(first, message=UserBody(content=f"{before}\n\n{after}"))
    return replace(first, message=UserBody(content=[*_blocks(before), *_blocks(after)]))


def _blocks(content: str | list[ContentBlock]) -> list[ContentBlock]:
    return [TextBlock(text=content)] if isinstance(content, str) else content
