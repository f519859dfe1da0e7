"""What is asked of trio's loop: that it runs, that it is the right one, and tasks that a cancelled block leaves alone."""

import trio


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
    if not trio.lowlevel.in_trio_run() or trio.lowlevel.current_trio_token() is not loop:
        raise RuntimeError(
            "this manager, with its sessions and turns, belongs to the trio.run in which it was opened; from another "
            "thread call trio.from_thread.run(session.ask, prompt, trio_token=...), with that run's token"
        )


async def open_apart(frame: trio.Nursery) -> trio.Nursery:
    """A nursery within `frame` that only its own scope cancels, and that is open until then."""
    with trio.CancelScope(shield=True):  # cancelled half-way, `start` would wait for what is shielded, for ever
        nursery: trio.Nursery = await frame.start(_hold)
        return nursery
    raise AssertionError("this scope is never cancelled")


async def _hold(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()
