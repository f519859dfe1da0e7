"""A host that is killed, seen from the store that it leaves behind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

import triologue as tri
from tests.support.slow_store import SlowStore


@asynccontextmanager
async def dying_manager(agent: tri.Agent, store: tri.SessionStore) -> AsyncGenerator[tri.SessionManager]:
    """A manager whose host is killed at the end: it settles nothing, and gives no lease back."""
    async with trio.open_nursery() as nursery:
        died = trio.Event()
        opened: list[tri.SessionManager] = []

        async def host(task_status: trio.TaskStatus[None]) -> None:
            frozen = SlowStore(store)
            async with tri.open_manager(agent, store=frozen.as_store, deadlines=tri.Deadlines(drain=0)) as manager:
                opened.append(manager)
                task_status.started()
                await died.wait()
                frozen.hold()  # nothing reaches the disk any more
                frozen.is_full = True
                frozen.go_on()

        await nursery.start(host)
        yield opened[0]
        died.set()
