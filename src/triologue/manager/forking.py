"""How a copy of a conversation is begun under a key of its own."""

from pathlib import Path

from triologue.actors import Conversation, kept_options
from triologue.errors import InvalidOption, SessionExists
from triologue.manager.checks import check_key, group_of
from triologue.manager.cutting import check_cut
from triologue.manager.directory import Directory
from triologue.options import Options


async def begin_copy(
    directory: Directory, conversation: Conversation, key: str, *, at: str | None, session_id: str | None
) -> None:
    """Begin a copy of a conversation under a new key.

    Args:
        directory: of the manager.
        conversation: the original.
        key: of the copy.
        at: the uuid of the last message to copy; None: all of it.
        session_id: the copy's session id; None: the agent chooses.

    Raises:
        SessionExists: the key has a conversation.
        InvalidOption: a key that cannot be, or there is nothing to copy yet, or no such message.
        SessionIdInUse, SessionElsewhere, StoreError: see `Directory.taken`.
    """
    try:
        await _begin(directory, conversation, key, at, session_id)
    finally:
        directory.leave(conversation)


async def _begin(
    directory: Directory, conversation: Conversation, key: str, at: str | None, session_id: str | None
) -> None:
    if at is not None:
        await check_cut(conversation, at, directory.world.store)
    if conversation.session_id is None:
        raise InvalidOption(
            f"the session {conversation.key!r} has not begun, so there is nothing to fork; send a prompt first"
        )
    options = conversation.launch_options(conversation.session_id, fresh=False)
    options.fork_session, options.session_id, options.resume_session_at = True, session_id, at
    check_key(key)
    directory.refuse_if_closed()
    looked_at = directory.registry.get(key)
    if looked_at is not None and (looked_at.has_begun or directory.is_used(key)):
        raise SessionExists(f"the key {key!r} has a conversation already; fork to another key")
    copied = _copied(directory, key, conversation, options, looked_at)
    directory.registry.add(copied)
    try:
        async with directory.taken(copied, is_new=True):
            if copied.journal is not None:
                copied.journal.descend_from(conversation.key, at)
                await copied.journal.kept()
    except BaseException:
        if directory.registry.get(key) is copied and not directory.registry.is_awake(key):
            _take_back(directory, copied, looked_at)
        raise


def _copied(
    directory: Directory, key: str, original: Conversation, options: Options, looked_at: Conversation | None
) -> Conversation:
    """The copy; in the place of one that was only looked at, it has that one's readers, and what was wanted for it."""
    named = looked_at.named if looked_at is not None else {}
    cwd = named.get("cwd")
    if cwd is not None and Path(cwd).absolute() != Path(options.cwd or ".").absolute():
        raise InvalidOption(
            f"the session {key!r} is to work in {str(cwd)!r}, and a copy works where its original does, because its "
            "agent keeps its history there; use another key"
        )
    for name, value in named.items():
        setattr(options, name, value)
    directory.check(original.agent, options)
    limits = directory.world.limits
    copied = Conversation(key, original.agent, options, limits=limits, group=group_of(limits, key))
    copied.given, copied.own = original.given, kept_options(original)
    copied.name(named)
    if looked_at is not None:
        copied.log, copied.begun, copied.on_missing = looked_at.log, looked_at.begun, looked_at.on_missing
    return copied


def _take_back(directory: Directory, copied: Conversation, looked_at: Conversation | None) -> None:
    """The copy did not come to be."""
    if looked_at is None:
        directory.registry.remove(copied.key)
    else:  # its readers go on, if they have not left meanwhile
        looked_at.begun = copied.begun
        directory.registry.add(looked_at)
        directory.leave(looked_at)
