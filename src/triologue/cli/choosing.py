"""Which conversation a command goes on with, and who holds it."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from triologue.agents import AGENTS as KNOWN
from triologue.cli.database import NotKept, new_key, open_database
from triologue.cli.offline import PACE, offline_agent
from triologue.errors import InvalidOption
from triologue.manager import Session, SessionManager, folder_of, latest_of
from triologue.options import Options, without_identity
from triologue.ports import Agent, SessionStore, StoredSession

AGENTS: dict[str, Callable[[], Agent]] = {**KNOWN, "embedded": offline_agent}
"""How each agent is made that a command can talk to, by name."""


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    command: str
    """Whose it is; new keys begin with it."""
    agent: str
    """Its name; empty: that of a session that must be kept."""
    options: Options
    """Those of identity say which conversation; `resume` may be a key too."""
    is_agent_named: bool = False
    """Not only by a default."""
    is_kept: bool = True
    is_paced: bool = False
    """The built-in agent answers at the pace of a reader."""


class Choice(Struct, frozen=True, kw_only=True):
    """What the database makes of it."""

    agent: Agent
    key: str | None
    """The session that is kept and is gone on with; None: a new one."""
    options: Options
    """Without identity where the session is kept."""


@asynccontextmanager
async def store_for(wish: Wish) -> AsyncGenerator[SessionStore | None]:
    """Where the conversation is kept; None where it is not to be.

    Raises:
        StoreError: it cannot be opened.
    """
    if not wish.is_kept:
        yield None
        return
    async with open_database() as store:
        yield store


async def choose(store: SessionStore | None, wish: Wish) -> Choice:
    """Look for the conversation in the database; what is not there, the agent may know by itself.

    Raises:
        InvalidOption: it is with another agent, or in another folder, than was said.
        NotKept: it is not there, and nobody else may know it.
    """
    wanted = wish.options.copy()
    wanted.cwd = folder_of(wish.options)
    head = await _find(store, wish, wanted.cwd)
    if head is None and not wish.agent:
        raise NotKept(wish.options.resume or "")
    if head is None:
        return Choice(agent=make_agent(wish.agent, is_paced=wish.is_paced), key=None, options=wanted)
    if head.agent and head.agent != wish.agent and wish.is_agent_named:
        raise InvalidOption(f"the session {head.key!r} is with {head.agent!r}; leave --agent {wish.agent} out")
    if head.cwd and wish.options.cwd is not None and not _is_same(head.cwd, wanted.cwd):
        raise InvalidOption(f"the session {head.key!r} works in {head.cwd!r}, and cannot be moved; leave --cwd out")
    options = without_identity(wanted)
    options.cwd = head.cwd or wanted.cwd
    return Choice(agent=make_agent(head.agent or wish.agent, is_paced=wish.is_paced), key=head.key, options=options)


async def _find(store: SessionStore | None, wish: Wish, folder: str) -> StoredSession | None:
    if store is None:
        return None
    if wish.options.resume is not None:
        return await store.get_session(wish.options.resume)
    if wish.options.continue_conversation:
        return await latest_of(store, folder, agent=wish.agent if wish.is_agent_named else None)
    return None


async def begin(manager: SessionManager, choice: Choice, wish: Wish) -> Session:
    """The session to talk to: a new one, the one that is kept, or a copy of it.

    Raises:
        SessionElsewhere: somebody else writes to it.
        TriologueError: it cannot go on like this.
    """
    if choice.key is None:
        return manager.session(new_key(wish.command), options=choice.options)
    session = manager.session(choice.key, options=choice.options)
    if wish.options.fork_session:
        session = await session.fork(new_key(wish.command), session_id=wish.options.session_id)
    # What a session has begun with is kept, and only a change is stronger than that.
    if wish.options.model is not None:
        await session.set_model(wish.options.model)
    if wish.options.permission_mode is not None:
        await session.set_permission_mode(wish.options.permission_mode)
    return session


def _is_same(folder: str, real: str) -> bool:
    return os.path.realpath(folder) == real


def make_agent(name: str, *, is_paced: bool = False) -> Agent:
    """The agent of this name.

    Raises:
        InvalidOption: the command cannot talk to such a one.
    """
    if name == "embedded" and is_paced:
        return offline_agent(pace=PACE)
    if name not in AGENTS:
        raise InvalidOption(f"the session is with {name!r}, an agent that this command cannot talk to")
    return AGENTS[name]()
