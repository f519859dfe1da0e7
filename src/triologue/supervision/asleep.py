"""Who sleeps, and how many of them are remembered: the least recently used are left to the store."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import final
from weakref import WeakValueDictionary

from triologue.actors import Conversation

LOOKS = 4
"""Sessions that are looked at for each that falls asleep while too many do. With one look, those that somebody uses would
keep the others in memory; and all of them at once might be many."""


@final
class Asleep:
    """The sessions that sleep, the least recently used first.

    Args:
        bound: how many there may be.
        is_spare: does nobody use this one, and would it come from the store as it is?
    """

    def __init__(self, bound: int, is_spare: Callable[[Conversation], bool]) -> None:
        self._bound = bound
        self._is_spare = is_spare
        self._line: OrderedDict[str, Conversation] = OrderedDict()
        self._away: WeakValueDictionary[str, Conversation] = WeakValueDictionary()
        self.put_away = 0
        """How many were, so far."""

    def __repr__(self) -> str:
        return f"<Asleep: {len(self._line)} of {self._bound}, {self.put_away} were put away>"

    def add(self, conversation: Conversation) -> None:
        """It sleeps, and was used until now."""
        self._line[conversation.key] = conversation
        self._line.move_to_end(conversation.key)

    def drop(self, key: str) -> None:
        """It sleeps no more, or another one has its key, or none."""
        self._line.pop(key, None)
        self._away.pop(key, None)

    def surplus(self, *, but: Conversation) -> Iterator[Conversation]:
        """Those that are put away now; not this one, whose user may not have done with it."""
        for _ in range(LOOKS):
            if len(self._line) <= self._bound:
                return
            key, conversation = self._line.popitem(last=False)
            if conversation is but or not self._is_spare(conversation):
                self._line[key] = conversation
                continue
            self._away[key] = conversation
            self.put_away += 1
            yield conversation

    def again(self, key: str) -> Conversation | None:
        """One that was put away and that somebody still has, a handle for instance: nobody may see two of one key."""
        conversation = self._away.pop(key, None)
        if conversation is not None:
            self.add(conversation)
        return conversation
