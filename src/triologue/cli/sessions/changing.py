"""`triologue sessions rename`, `tag` and `fork`: what is written, but for what is said."""

import sys
from collections.abc import Callable, Sequence

from triologue.cli.database import existing_database, find, new_key
from triologue.cli.endings import ExitCode
from triologue.errors import InvalidOption
from triologue.manager import KeptSessions, open_manager
from triologue.ports import Agent


async def rename_kept(key: str, title: str) -> ExitCode:
    """Give a session a title; an empty one takes it away.

    Raises:
        NotKept: there is none.
    """
    async with existing_database() as store:
        head = await find(store, key)
        await KeptSessions(store).rename(head.key, title)
    return ExitCode.OK


async def tag_kept(key: str, added: Sequence[str], removed: Sequence[str]) -> ExitCode:
    """Give a session tags, or take some away; prints those that it has then.

    Raises:
        NotKept: there is none.
    """
    async with existing_database() as store:
        head = await find(store, key)
        tags = await KeptSessions(store).tag(head.key, add=added, remove=removed)
    for tag in tags:
        sys.stdout.write(f"{tag}\n")
    return ExitCode.OK


async def fork_kept(key: str, copy: str | None, at: str | None, agent_of: Callable[[str], Agent]) -> ExitCode:
    """Begin a copy of a session; prints its key.

    Raises:
        NotKept: there is none.
        CallerError: it cannot be copied like this.
    """
    async with existing_database() as store:
        head = await find(store, key)
        if head.session_id is None:
            raise InvalidOption(f"the session {head.key!r} has not begun, so there is nothing to copy")
        async with open_manager(agent_of(head.agent), store=store, status=False) as manager:
            forked = await manager.session(head.key).fork(copy or new_key("fork"), at=at)
    sys.stdout.write(f"{forked.key}\n")
    return ExitCode.OK
