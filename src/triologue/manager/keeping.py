"""A manager's store: opening it, and keeping every session in it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from triologue.agents import new_owner
from triologue.errors import InvalidOption, brief
from triologue.manager.directory import Directory
from triologue.manager.recovering import Recovery
from triologue.ports import SessionStore
from triologue.stores import SqliteStore
from triologue.supervision import Shelf


@asynccontextmanager
async def opened_store(store: SessionStore | str | Path | None) -> AsyncGenerator[SessionStore | None]:
    """Open the store that is named by a path; one that is given is its owner's."""
    if isinstance(store, str | Path):
        async with SqliteStore(store) as opened:
            yield opened
    elif store is None or (isinstance(store, SessionStore) and not isinstance(store, type)):
        yield store
    else:
        raise InvalidOption(f"store={brief(store)} is no path of a file, and no SessionStore")


def keep_sessions(store: SessionStore, directory: Directory) -> Recovery:
    """Let every session be taken from the store when it is used, and be written to it."""
    registry, world = directory.registry, directory.world
    recovery = Recovery(directory, store)

    registry.shelf = Shelf(
        store,
        owner=new_owner(),
        ttl=world.deadlines.lease,
        nursery=world.nursery,
        sleepers=registry,
        resume=recovery.resume,
    )
    directory.recall = recovery.recall
    world.nursery.start_soon(registry.shelf.keep)
    return recovery
