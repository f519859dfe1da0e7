"""Up to which message a conversation can be copied, looked for before the copy is begun."""

from collections.abc import Sequence

from triologue.actors import Conversation
from triologue.agents import is_dead
from triologue.errors import InvalidOption, brief
from triologue.ports import MirrorsHistories, SessionStore, TranscriptEntry


async def check_cut(conversation: Conversation, at: str, store: SessionStore | None) -> None:
    """Refuse a copy up to a message that there is not: its agent would refuse to begin it, at each of its prompts.

    What only the agent knows is left to it: all, where no history is kept, or while somebody works with the
    conversation, since what was said last may not be kept yet.

    Args:
        conversation: the original.
        at: the uuid of the last message to copy.
        store: where its history is kept, if it is.

    Raises:
        InvalidOption: no message has this uuid, or it cannot be one.
        StoreError: the history cannot be read.
    """
    if not isinstance(at, str) or not at:
        raise InvalidOption(f"at={brief(at)} is no uuid of a message; leave it out to copy all that was said")
    agent, session_id = conversation.agent, conversation.session_id
    if store is None or session_id is None or not isinstance(agent, MirrorsHistories):
        return
    if await _is_held(store, conversation.key):
        return
    kept = _messages(await store.read_transcript(session_id), session_id)
    if not kept or at in kept:
        return
    # A conversation that was begun elsewhere is kept only from then on, so its program is asked for all that it has.
    async with agent.restore(conversation.launch_options(session_id, fresh=False), []) as restored:
        if at in _messages(restored.unkept, session_id):
            return
    raise InvalidOption(f"at={brief(at)}: no message of the session {conversation.key!r} has this uuid")


def _messages(entries: Sequence[TranscriptEntry], session_id: str) -> set[str | None]:
    """The uuids of the conversation's own messages: those of its sub-agents are no place to cut at."""
    return {entry.id for entry in entries if entry.path == f"{session_id}.jsonl" and entry.id is not None}


async def _is_held(store: SessionStore, key: str) -> bool:
    owner = (await store.holders([key])).get(key)
    return owner is not None and not is_dead(owner)
