"""What a store keeps of an agent's history, where there is no store: in a list."""

from collections.abc import Iterable, Sequence
from typing import final

from triologue.messages import Message, TranscriptMirror
from triologue.options import Options
from triologue.ports import MirrorsHistories, TranscriptEntry


@final
class Keeper:
    """Keeps lines by the rules of a store: in order, and one with an id once in its file."""

    def __init__(self) -> None:
        self.entries: list[TranscriptEntry] = []

    def hear(self, messages: Iterable[Message], agent: MirrorsHistories, options: Options) -> None:
        """Keep what is told in them."""
        for message in messages:
            if isinstance(message, TranscriptMirror):
                self.keep(agent.entries_of(message, options))

    def keep(self, entries: Sequence[TranscriptEntry]) -> None:
        known = {(entry.session_id, entry.path, entry.id) for entry in self.entries}
        self.entries += [
            entry for entry in entries if entry.id is None or (entry.session_id, entry.path, entry.id) not in known
        ]

    def of(self, session_id: str) -> list[TranscriptEntry]:
        """What is kept of a conversation."""
        return [entry for entry in self.entries if entry.session_id == session_id]
