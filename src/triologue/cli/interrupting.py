"""Ctrl-C and SIGTERM, as commands take them."""

import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import final

import trio

from triologue.cli.endings import ExitCode
from triologue.manager import SessionManager


async def until_interrupted(command: Callable[[], Awaitable[ExitCode]]) -> ExitCode:
    """Run a command that Ctrl-C cancels: what it has opened is closed as always. The second Ctrl-C does not wait."""
    code = ExitCode.INTERRUPTED
    scope = trio.CancelScope()
    async with on_interrupt(scope.cancel):
        with scope:
            code = await command()
    if scope.cancelled_caught:
        sys.stderr.write("triologue: interrupted; nothing of it is left running\n")
    return code


@asynccontextmanager
async def on_interrupt(act: Callable[[], None]) -> AsyncGenerator[None]:
    """The first Ctrl-C within the block calls `act`; the second one raises KeyboardInterrupt."""

    async def listen(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                break
        act()

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def on_every_interrupt(act: Callable[[], None]) -> AsyncGenerator[None]:
    """Each Ctrl-C within the block calls `act`."""

    async def listen(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                act()

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        yield
        nursery.cancel_scope.cancel()


@final
class Drain:
    """What becomes of a command that is asked to end: its manager is drained."""

    def __init__(self) -> None:
        self.manager: SessionManager | None = None
        """Set by the command once it has one; before, it is cancelled."""
        self.scope = trio.CancelScope()
        self._number: int | None = None

    def hear(self, number: int) -> None:
        """A signal; the second one makes the drain interrupt at once."""
        self._number = self._number or number
        if self.manager is not None:
            self.manager.drain()
        else:
            self.scope.cancel()

    @property
    def code(self) -> ExitCode | None:
        """The exit code of a command that a signal has ended; None where none came."""
        return None if self._number is None else ExitCode(128 + self._number)


@asynccontextmanager
async def draining_on(*signals: signal.Signals) -> AsyncGenerator[Drain]:
    """Within the block these signals drain the manager that is named to the `Drain`; then the manager's block ends."""
    drain = Drain()

    async def listen(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*signals) as received:
            task_status.started()
            async for number in received:
                drain.hear(number)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        with drain.scope:
            yield drain
        nursery.cancel_scope.cancel()
