"""The line in which starts wait: only processes make each other slow while they start."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import trio

from triologue.ports import Carrier, Command, Connection, Sink


@final
class Place:
    """A place in the line of starts, as a carrier. It is taken at once or with the first process, and given back once.

    Args:
        carrier: what runs the processes.
        starting: how many may start at once.
        admitted: called when the start is under way.
    """

    __slots__ = ("_admitted", "_carrier", "_has_process", "_starting", "is_taken")

    def __init__(self, carrier: Carrier, starting: trio.CapacityLimiter, admitted: Callable[[], None]) -> None:
        self._carrier = carrier
        self._starting = starting
        self._admitted: Callable[[], None] | None = admitted
        """None once it was called."""
        self._has_process = False
        self.is_taken = False
        """It is held now."""

    def take_if_free(self) -> None:
        """Where nobody is in line the start is under way; else it is when this comes to its place there.

        It is taken, and not only looked for, since others that look at the same moment would find it free too.
        """
        try:
            self._starting.acquire_on_behalf_of_nowait(self)
        except trio.WouldBlock:
            return
        self.is_taken = True
        self.admit()

    @asynccontextmanager
    async def spawn(self, command: Command, *, sink: Sink) -> AsyncGenerator[Connection]:
        """Wait for a place, then start the program."""
        if not self.is_taken:
            await self._starting.acquire_on_behalf_of(self)
        self.is_taken = self._has_process = True
        self.admit()
        async with self._carrier.spawn(command, sink=sink) as connection:
            yield connection

    def admit(self) -> None:
        """The start is under way, and its deadline runs."""
        admitted, self._admitted = self._admitted, None
        if admitted is not None:
            admitted()

    def opened(self) -> None:
        """The connection is open; one without a process holds up no other start."""
        self.admit()
        if not self._has_process:
            self.leave()

    def leave(self) -> None:
        """The start is over."""
        if self.is_taken:
            self.is_taken = False
            self._starting.release_on_behalf_of(self)
