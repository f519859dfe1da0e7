"""A manager's store: opening it, and keeping every session in it."""

import inspect
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from triologue.agents import new_owner, working_folder
from triologue.errors import InvalidOption, brief
from triologue.manager.directory import Directory
from triologue.manager.recovering import Recovery
from triologue.options import Options
from triologue.ports import SessionStore, StoredSession
from triologue.stores import SqliteStore
from triologue.supervision import Asleep, Shelf, is_aside

LATEST = (100, 10_000)
"""So many sessions are looked through for the latest one of a folder; the second number where it is not among the first."""

_METHODS = tuple(name for name, member in vars(SessionStore).items() if inspect.iscoroutinefunction(member))


def check_store(store: object) -> None:
    """Refuse what cannot be a store.

    Raises:
        InvalidOption: it is no path, no `SessionStore`, and not None.
    """
    if store is None or (isinstance(store, str | Path) and store != ""):
        return
    missing = [name for name in _METHODS if not hasattr(store, name)]
    if isinstance(store, type) or len(missing) == len(_METHODS):
        raise InvalidOption(f"store={brief(store)} is no path of a file, and no SessionStore")
    if missing:
        raise InvalidOption(f"store={brief(store)} lacks methods of a SessionStore: {', '.join(missing)}")


@asynccontextmanager
async def opened_store(store: SessionStore | str | Path | None) -> AsyncGenerator[SessionStore | None]:
    """Open the store that is named by a path; one that is given is its owner's."""
    check_store(store)
    if isinstance(store, str | Path):
        async with SqliteStore(store) as opened:
            yield opened
    else:
        yield store


async def latest_of(store: SessionStore, folder: str, *, agent: str | None) -> StoredSession | None:
    """The session of a folder, and of an agent, that was active last.

    What a reset has set aside is not meant, unless somebody went on with it since.
    """
    for limit in LATEST:
        begun_anew: set[str] = set()
        for head in await store.list_sessions(limit=limit):
            if head.session_id is None:
                begun_anew.add(head.key)
            elif head.cwd == folder and agent in (None, head.agent) and not is_aside(head, begun_anew):
                return head
    return None


def folder_of(options: Options) -> str:
    """The one name of the folder that is worked in. Raises `AgentStartError` if there is none."""
    return os.path.realpath(working_folder(options))


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
    if world.limits.max_asleep is not None:
        registry.asleep = Asleep(world.limits.max_asleep, directory.is_spare)
    directory.recall = recovery.recall
    world.nursery.start_soon(registry.shelf.keep)
    return recovery
