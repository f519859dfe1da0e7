"""Ctrl-C, as commands take it."""

import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from triologue.cli.endings import ExitCode


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
