"""Who writes to which conversation: two agents in one conversation would tear its history."""

import logging
from typing import final

from triologue.actors.log_extra import log_extra
from triologue.errors import SessionIdInUse
from triologue.options import Options

logger = logging.getLogger("triologue.session")


@final
class Writers:
    """The conversations that agents of one manager write to, each with the key whose agent that is."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._ids: dict[str, list[str]] = {}

    def enter(self, key: str, options: Options) -> None:
        """An agent of this key is on its way, and is started with these options. Until `leave`.

        Raises:
            SessionIdInUse: an agent of another key writes to the conversation that they name.
        """
        session_id = options.session_id if options.fork_session else options.resume or options.session_id
        if session_id is not None and (other := self._keys.get(session_id, key)) != key:
            # Whoever named the conversation may be one who must not know of that key.
            text = "the key %r is refused the conversation %r, which %r writes to"
            logger.warning(text, key, session_id, other, extra=log_extra(key))
            raise SessionIdInUse(
                f"the agent of another key writes to the conversation {session_id!r}, so the key {key!r} cannot: close() "
                "that session first (the log names its key), disconnect that client, or copy it with fork_session=True"
            )
        self.told(key, session_id)

    def told(self, key: str, session_id: str | None) -> None:
        """The agent of this key says which conversation it has."""
        if session_id is not None and session_id not in self._keys:
            self._keys[session_id] = key
            self._ids.setdefault(key, []).append(session_id)

    def leave(self, key: str) -> None:
        """No agent of this key is there any more, or none came."""
        for written in self._ids.pop(key, ()):
            del self._keys[written]
