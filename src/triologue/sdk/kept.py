"""Conversations of `query()` and `Client` that a store keeps: which one is meant, and how it is gone on with."""

from triologue.errors import InvalidOption, SessionIdInUse
from triologue.manager import Session, SessionManager, folder_of, latest_of
from triologue.options import IDENTITY, Options, without_identity
from triologue.ports import Agent, StoredSession

_BEGINS = ("resume", "continue_conversation")


async def find_kept(manager: SessionManager, agent: Agent, options: Options) -> StoredSession | None:
    """The conversation that these options mean; None: a new one, or one that only the agent can know.

    Raises:
        SessionIdInUse: a new one was to have an id that is kept.
        StoreError: the store cannot be read.
    """
    assert manager.store is not None
    store = manager.store.port
    if options.resume is not None:
        return await store.get_session(options.resume)
    if options.continue_conversation:
        return await latest_of(store, folder_of(options), agent=agent.name)
    if options.session_id is not None and await store.get_session(options.session_id) is not None:
        raise SessionIdInUse(f"a conversation {options.session_id} is kept already; resume it, or choose another id")
    return None


async def begin(
    manager: SessionManager, agent: Agent, options: Options, *, key: str, head: StoredSession | None
) -> Session:
    """The session of a query or a client.

    Args:
        manager: has it from now on.
        agent: who answers.
        options: how, and which conversation.
        key: of a new one, or of a copy.
        head: what is gone on with, or copied.

    Raises:
        InvalidOption: it is with another agent, or in another folder, or cannot be cut where it is.
        SessionElsewhere, StoreError: it cannot be copied now.
    """
    if head is None:
        if manager.store is not None:
            options = options.copy()
            options.cwd = folder_of(options)  # by which it is found again
        return manager.session(key, agent=agent, options=options)
    if not options.fork_session:
        if left := sorted(set(options.named()) & set(IDENTITY) - {*_BEGINS}):
            raise InvalidOption(
                f"{' and '.join(left)} would change the conversation {head.session_id} where it is kept; add "
                "fork_session=True, which does that in a copy"
            )
        return manager.session(head.key, agent=agent, options=without_identity(options))
    if options.resume_drops_turn is not None:
        raise InvalidOption("resume_drops_turn cannot be had of a conversation that is kept; use resume_session_at")
    await manager.copy(head, key, agent=agent, at=options.resume_session_at, session_id=options.session_id)
    return manager.session(key, agent=agent, options=without_identity(options))
