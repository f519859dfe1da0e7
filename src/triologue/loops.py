"""What is asked of trio's loop: that it runs, that it is the right one, threads, and tasks that a cancelled block leaves alone."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

T = TypeVar("T")


class NoThread(OSError):
    """The system gives this program no thread more."""

    def __init__(self) -> None:
        super().__init__("no thread can be started; raise the limit of processes (ulimit -u)")


def refuse_outside() -> None:
    """Serve only inside of trio.

    Raises:
        RuntimeError: this is not called inside `trio.run`.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("triologue runs on trio, and no trio loop is running here; call this inside trio.run(main)")


def refuse_elsewhere(loop: trio.lowlevel.TrioToken) -> None:
    """Serve only the `trio.run` that a manager was opened in: to wait for something of it in another would break both.

    Raises:
        RuntimeError: this is called in another one, or in none.
    """
    try:
        is_here = trio.lowlevel.current_trio_token() is loop
    except RuntimeError:  # to ask first whether there is any would take as long again, in every turn
        is_here = False
    if not is_here:
        raise RuntimeError(
            "this manager, with its sessions and turns, belongs to the trio.run in which it was opened; from another "
            "thread call trio.from_thread.run(session.ask, prompt, trio_token=...), with that run's token"
        )


async def in_thread(
    work: Callable[..., T],
    *args: object,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """As `trio.to_thread.run_sync`, but for the error that tells of a lack of threads.

    Raises:
        NoThread: there was none to be had, and nothing was begun.
    """
    is_begun = False

    def begin() -> T:
        nonlocal is_begun
        is_begun = True
        return work(*args)

    try:
        return await trio.to_thread.run_sync(begin, abandon_on_cancel=abandon_on_cancel, limiter=limiter)
    except RuntimeError as error:
        if is_begun:
            raise
        raise NoThread from error


@asynccontextmanager
async def open_frame() -> AsyncGenerator[trio.Nursery]:
    """A nursery whose tasks the block ends by itself, also where it fails.

    What the block raises comes out as it is; in a group only together with what a task has raised.
    """
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as caught:
                if nursery.cancel_scope.cancel_called:
                    raise  # a task broke, and the nursery tells what of this was only the cancellation for that
                error = caught  # raised below, as the nursery would put it into a group
    except BaseExceptionGroup as group:
        if error is None:
            raise
        raise BaseExceptionGroup(group.message, [error, *group.exceptions]) from None
    if error is not None:
        try:
            raise error
        finally:
            del error


@asynccontextmanager
async def open_apart() -> AsyncGenerator[trio.Nursery]:
    """A nursery that goes on where the block is cancelled, until the block was left.

    What the block raises comes out as from `open_frame`.
    """
    scope = trio.CancelScope(shield=True)
    ours, theirs = trio.open_memory_channel[trio.Nursery](1)
    async with open_frame() as frame:
        # Not by `start`, which would wait for what is shielded, for ever, where it is cancelled or Ctrl-C comes.
        frame.start_soon(_hold, scope, ours)
        try:
            yield await theirs.receive()
        finally:
            scope.cancel()


async def _hold(scope: trio.CancelScope, opened: trio.MemorySendChannel[trio.Nursery]) -> None:
    with scope:
        async with trio.open_nursery() as nursery:
            opened.send_nowait(nursery)
            await trio.sleep_forever()
