"""All sessions of a manager, a line each: those that it knows, and those that sleep in its store."""

from collections import Counter

import trio
from msgspec import Struct

from triologue.actors import Conversation
from triologue.errors import InvalidOption, brief
from triologue.manager.directory import Directory
from triologue.manager.explaining import oldest_turn, waits_for
from triologue.messages import SessionState
from triologue.ports import StoredSession

ASLEEP = 1_000
"""Sessions of the store that are listed, beside those that the manager knows; those that were active last."""


class SessionOverview(Struct, frozen=True, kw_only=True):
    """One session, in a line."""

    key: str
    session_id: str | None
    state: SessionState
    waiting: int
    """Turns in line."""
    age: float | None
    """Seconds since its oldest turn without an outcome was accepted; None where there is none, or it sleeps in the store."""
    waits_for: str | None
    permissions: int
    """Requests that are open."""
    cost_usd: float | None
    turns: int
    """Turns that have ended."""
    last: int
    """The `seq` of its newest record."""


class OverviewPage(Struct, frozen=True, kw_only=True):
    """Some sessions, by key."""

    lines: list[SessionOverview]
    is_last: bool
    """No others follow; False where that is not known."""


async def overview(directory: Directory, prefix: str, *, after: str = "", limit: int | None = None) -> OverviewPage:
    """See `SessionManager.overview`: those behind a key, at most so many. Only these are looked at closely."""
    if not isinstance(prefix, str):
        raise InvalidOption(f"prefix={brief(prefix)} is no str")
    store = directory.world.store
    stored = await store.list_sessions(prefix=prefix, limit=ASLEEP) if store is not None else []
    await trio.lowlevel.checkpoint()
    asleep = {head.key: head for head in stored}
    known = {
        conversation.key: conversation
        for conversation in directory.registry
        if conversation.key.startswith(prefix) and (conversation.journal is not None or conversation.key not in asleep)
    }
    keys = asleep.keys() | known.keys()
    following = sorted(key for key in keys if key > after)
    shown = following[:limit]
    asked = Counter(permission.key for permission in directory.world.permissions)
    return OverviewPage(
        lines=[_known(directory, known[key], asked[key]) if key in known else _asleep(asleep[key]) for key in shown],
        # Of those that sleep there is only a part else.
        is_last=(store is None or len(keys) < ASLEEP) and len(shown) == len(following),
    )


def _known(directory: Directory, conversation: Conversation, permissions: int) -> SessionOverview:
    said = directory.statistics_of(conversation)
    return SessionOverview(
        key=said.key,
        session_id=said.session_id,
        state=said.state,
        waiting=said.waiting,
        age=oldest_turn(conversation),
        waits_for=waits_for(directory, conversation),
        permissions=permissions,
        cost_usd=said.total_cost_usd,
        turns=conversation.ended,
        last=said.records,
    )


def _asleep(head: StoredSession) -> SessionOverview:
    return SessionOverview(
        key=head.key,
        session_id=head.session_id,
        state="new" if head.session_id is None else "hibernated",
        waiting=len(head.unfinished),
        age=None,
        waits_for=None,
        permissions=0,
        cost_usd=head.cost_usd,
        turns=head.turns,
        last=head.last_seq,
    )
