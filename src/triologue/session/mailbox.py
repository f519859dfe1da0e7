"""The turns that wait in front of a session: in order, bounded."""

from collections import OrderedDict
from typing import final

from msgspec import Struct
from msgspec.structs import replace

from triologue.errors import MailboxFull
from triologue.messages import ContentBlock, TextBlock, UserBody, UserMessage
from triologue.options import Overlap


class Waiting(Struct, frozen=True):
    """An accepted turn that has not begun."""

    turn_id: str
    prompt: UserMessage
    overlap: Overlap = "queue"
    parts: int = 1
    """Prompts that it was made of."""
    is_begun: bool = False
    """It was with an agent before, which did not take it up."""


@final
class Mailbox:
    """First in, first out; only a turn that interrupts goes before those that wait.

    Args:
        limit: how many prompts may wait.
    """

    __slots__ = ("_parts", "_turns", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._turns: OrderedDict[str, Waiting] = OrderedDict()
        self._parts = 0

    def __len__(self) -> int:
        return len(self._turns)

    def put(self, turn: Waiting, *, is_bounded: bool = True) -> str | None:
        """Add a turn: before the others if it interrupts, else at the end, where it may go into a `collect` before it.

        Returns:
            The turn that it went into, which has its prompt now; None when it waits itself.

        Raises:
            MailboxFull: `limit` prompts wait already, and that matters; nothing was added.
        """
        if is_bounded and self._parts >= self.limit:
            raise MailboxFull(
                f"{self._parts} prompts wait in this session already, and its limit is {self.limit} (Limits.mailbox); "
                "wait for some of them, or raise the limit"
            )
        self._parts += turn.parts
        if turn.overlap == "collect" and (last := self._last()) is not None and last.overlap == "collect":
            merged = replace(last, prompt=joined(last.prompt, turn.prompt), parts=last.parts + turn.parts)
            self._turns[last.turn_id] = merged
            return last.turn_id
        self._turns[turn.turn_id] = turn
        if turn.overlap == "interrupt":
            self._turns.move_to_end(turn.turn_id, last=False)
        return None

    def put_back(self, turns: list[Waiting]) -> None:
        """Turns that had left for the agent wait again, behind those that interrupt and those put back before."""
        is_ahead = {id: each.overlap == "interrupt" or each.is_begun for id, each in self._turns.items()}
        ahead = [each for id, each in self._turns.items() if is_ahead[id]]
        behind = [each for id, each in self._turns.items() if not is_ahead[id]]
        self._turns = OrderedDict((each.turn_id, each) for each in [*ahead, *turns, *behind])
        self._parts += sum(each.parts for each in turns)

    def take(self) -> Waiting | None:
        """Remove and return the turn that is next."""
        return self._removed(next(iter(self._turns))) if self._turns else None

    def next_overlap(self) -> Overlap | None:
        """What the turn that is next does while another one runs; None when none waits."""
        return next(iter(self._turns.values())).overlap if self._turns else None

    def remove(self, turn_id: str) -> bool:
        """Remove one turn, wherever it stands; False when it does not wait here."""
        if turn_id not in self._turns:
            return False
        self._removed(turn_id)
        return True

    def clear(self) -> list[Waiting]:
        """Remove all, in order."""
        turns = list(self._turns.values())
        self._turns.clear()
        self._parts = 0
        return turns

    def position(self, turn_id: str) -> int | None:
        """How many stand before this turn; None when it does not wait here."""
        for index, waiting in enumerate(self._turns):
            if waiting == turn_id:
                return index
        return None

    def _last(self) -> Waiting | None:
        return next(reversed(self._turns.values())) if self._turns else None

    def _removed(self, turn_id: str) -> Waiting:
        turn = self._turns.pop(turn_id)
        self._parts -= turn.parts
        return turn


def joined(first: UserMessage, second: UserMessage) -> UserMessage:
    """One prompt of two: their texts with an empty line between them, or all their blocks."""
    before, after = first.content, second.content
    if isinstance(before, str) and isinstance(after, str):
        return replace(first, message=UserBody(content=f"{before}\n\n{after}"))
    return replace(first, message=UserBody(content=[*_blocks(before), *_blocks(after)]))


def _blocks(content: str | list[ContentBlock]) -> list[ContentBlock]:
    return [TextBlock(text=content)] if isinstance(content, str) else content
