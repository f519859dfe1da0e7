"""Ctrl-C and SIGTERM, as commands take them."""

import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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


def on_interrupt(act: Callable[[], None]) -> AbstractAsyncContextManager[None]:
    """The first Ctrl-C within the block calls `act`; the second one raises KeyboardInterrupt."""
    return _listening([signal.SIGINT], lambda _: act(), once=True)


def on_every_interrupt(act: Callable[[], None]) -> AbstractAsyncContextManager[None]:
    """Each Ctrl-C within the block calls `act`."""
    return _listening([signal.SIGINT], lambda _: act())


@asynccontextmanager
async def _listening(
    signals: Iterable[signal.Signals], hear: Callable[[int], None], *, once: bool = False
) -> AsyncGenerator[None]:
    async def listen(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*signals) as received:
            task_status.started()
            async for number in received:
                hear(number)
                if once:
                    break

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        yield
        nursery.cancel_scope.cancel()


@final
class Drain:
    """What becomes of a command that is asked to end: its manager is drained.

    Args:
        tell: called with the manager as it begins to drain.
    """

    def __init__(self, tell: Callable[[SessionManager], None]) -> None:
        self._tell = tell
        self.manager: SessionManager | None = None
        """Set by the command once it has one; before, it is cancelled."""
        self.scope = trio.CancelScope()
        self._number: int | None = None

    def hear(self, number: int) -> None:
        """A signal; the second one makes the drain interrupt at once."""
        is_first, self._number = self._number is None, self._number or number
        if self.manager is not None:
            self.manager.drain()
            if is_first:
                self._tell(self.manager)
        else:
            self.scope.cancel()

    @property
    def code(self) -> ExitCode | None:
        """The exit code of a command that a signal has ended; None where none came."""
        return None if self._number is None else ExitCode(128 + self._number)


@asynccontextmanager
async def draining_on(
    *signals: signal.Signals, tell: Callable[[SessionManager], None] = lambda _: None
) -> AsyncGenerator[Drain]:
    """Within the block these signals drain the manager that is named to the `Drain`; then the manager's block ends."""
    drain = Drain(tell)
    async with _listening(signals, drain.hear):
        with drain.scope:
            yield drain
