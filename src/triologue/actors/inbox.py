"""What came for an actor and was not taken in yet."""

from typing import final

import trio
from msgspec import Struct

from triologue.actors.replies import Reply
from triologue.session import inputs as on


class Letter(Struct, frozen=True):
    """An input on its way to its actor, and who wants to know that it was taken in."""

    event: on.Input
    accepted: Reply | None = None


@final
class Inbox:
    """Letters in order, for one reader. Without a memory channel or an event, which weigh more; one for each session.

    Without a bound, because what comes in is bounded already: prompts by the mailbox, the rest by its callers.
    """

    __slots__ = ("_letters", "_reader")

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._reader: trio.lowlevel.Task | None = None
        """Who waits here; None while nobody does."""

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def wakes(self) -> bool:
        """Is there something for which an agent is started, where none is there?"""
        return any(isinstance(letter.event, on.Submit | on.Ask) for letter in self._letters)

    def put(self, letter: Letter) -> None:
        """One more. Never waits."""
        self._letters.append(letter)
        self.stir()

    def stir(self, _: object = None) -> None:
        """Let the reader look again at what it waits for."""
        reader, self._reader = self._reader, None
        if reader is not None:
            trio.lowlevel.reschedule(reader)

    async def wait_stirred(self) -> None:
        """Wait for a letter, or to be stirred."""
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def next(self) -> Letter:
        """Wait for the next one."""
        if self._letters:
            await trio.lowlevel.checkpoint()
        while not self._letters:
            await self.wait_stirred()
        return self._letters.pop(0)

    def take_all(self) -> list[Letter]:
        """Those that are left, for a reader that reads no more."""
        letters, self._letters = self._letters, []
        return letters
