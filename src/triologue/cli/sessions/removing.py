"""`triologue sessions delete` and `prune`."""

import sys
import time
from collections.abc import Sequence

import trio
from rich.console import Console

from triologue.agents import is_dead, new_owner
from triologue.cli.database import existing_database, find
from triologue.cli.endings import ExitCode
from triologue.cli.ps import counted
from triologue.cli.sessions.listing import Selection, holders_of, print_table, title_of
from triologue.errors import InvalidOption, SessionElsewhere
from triologue.ports import SessionStore, StoredSession

AT_ONCE = 10
"""Sessions that are deleted at the same time. Of more, or of long ones, whoever else writes to the database would wait for long."""


async def delete_kept(keys: Sequence[str], console: Console, *, is_sure: bool) -> ExitCode:
    """Delete sessions, once the user has agreed.

    Raises:
        NotKept: one of them is not there; then nothing was deleted.
        InvalidOption: nobody can be asked.
    """
    async with existing_database() as store:
        heads = {head.key: head for head in [await find(store, key) for key in keys]}
        return await _delete(store, list(heads.values()), console, is_sure=is_sure)


async def prune_kept(older_than: float, selection: Selection, console: Console, *, is_sure: bool) -> ExitCode:
    """Delete the sessions in which nothing was said for so many seconds, once the user has agreed, and not since.

    Raises:
        InvalidOption: nobody can be asked.
    """
    async with existing_database() as store:
        old = Selection(prefix=selection.prefix, tag=selection.tag, before=time.time() - older_than)
        heads = [head for head in await old.read(store) if head.last_active]  # of the others nobody knows
        if not heads:
            console.print("No session is that old.")
            return ExitCode.OK
        return await _delete(store, heads, console, is_sure=is_sure, before=old.before)


async def _delete(
    store: SessionStore, heads: list[StoredSession], console: Console, *, is_sure: bool, before: float | None = None
) -> ExitCode:
    """Delete these: all, so that one that is held is a failure; or those that are active last before a time even now."""
    if not is_sure:
        titles = {head.key: await title_of(store, head) for head in heads}
        print_table(heads, titles, await holders_of(store, heads), console)
        if not _agrees(f"Delete {counted(len(heads), 'session')}?"):
            console.print("Nothing was deleted.")
            return ExitCode.OK
    deleted, refusals = await delete_all(store, [head.key for head in heads], before=before)
    console.print(f"{counted(deleted, 'session')} deleted.")
    for refusal in refusals:
        sys.stderr.write(f"triologue: not deleted: {refusal}\n")
    return ExitCode.FAILED if refusals and before is None else ExitCode.OK


async def delete_all(store: SessionStore, keys: Sequence[str], *, before: float | None = None) -> tuple[int, list[str]]:
    """Delete sessions, some at a time, so that a disk is waited for once for several; gives their number, and why others stay.

    Args:
        store: has them.
        keys: theirs.
        before: those that were active since stay, in seconds since the epoch; None: all go.
    """
    deleted: list[str] = []
    refusals: dict[str, str] = {}

    async def delete(key: str) -> None:
        # The user may have thought about the list for long, and many before this one may have been deleted.
        if before is not None and await _is_used_since(store, key, before):
            refusals[key] = f"the session {key!r} was used meanwhile, so it is kept"
            return
        try:
            if await _forget(store, key):
                deleted.append(key)
        except SessionElsewhere as error:
            refusals[key] = str(error)

    for first in range(0, len(keys), AT_ONCE):
        async with trio.open_nursery() as nursery:
            for key in keys[first : first + AT_ONCE]:
                nursery.start_soon(delete, key)
    return len(deleted), [refusals[key] for key in keys if key in refusals]


async def _is_used_since(store: SessionStore, key: str, before: float) -> bool:
    head = await store.get_session(key)
    return head is not None and head.key == key and head.last_active >= before


async def _forget(store: SessionStore, key: str) -> bool:
    try:
        return await store.delete(key)
    except SessionElsewhere as error:
        if not is_dead(error.owner):
            raise
        lease, _ = await store.acquire(key, owner=new_owner(), ttl=0, replaces=error.owner)
        await store.release(lease)
        return await store.delete(key)


def _agrees(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidOption("nobody can be asked where the input is no terminal, so nothing was deleted; --yes answers")
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
