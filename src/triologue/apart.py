"""Tasks that serve a block to its end, also where that block is cancelled."""

import trio


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
