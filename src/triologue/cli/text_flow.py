"""The text of an answer as it comes: pieces first, and whatever came only as a whole."""

import re
from typing import final

from triologue.messages import AssistantMessage, Message, StreamEvent, text

# A terminal obeys control characters, and what an agent read somewhere is not to be obeyed.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(said: str) -> str:
    """Text without control characters but for line ends and tabs."""
    return _CONTROL.sub("", said)


def in_a_cell(said: str) -> str:
    """The same in one line."""
    return printable(" ".join(said.splitlines()))


@final
class TextFlow:
    """Feed it every message of a turn; it gives each piece of text once, with a line end between two texts."""

    def __init__(self) -> None:
        self._current = ""
        """What was given of the text that is being made."""
        self.is_mid_line = False
        """The last piece did not end its line."""
        self.has_spoken = False

    def feed(self, message: Message) -> str:
        """The text that this message adds. What sub-agents say is theirs, and adds none."""
        if isinstance(message, StreamEvent) and message.parent_tool_use_id is None:
            if message.abandoned_blocks and self._current:
                self._current = ""
                return self._give("\n(the answer broke off; it begins again)\n")
            piece = text(message)
            self._current += piece
            return self._give(piece)
        if isinstance(message, AssistantMessage) and message.parent_tool_use_id is None:
            return self._whole(text(message))
        return ""

    def end_line(self) -> str:
        """What brings the output to the beginning of a line."""
        return self._give("\n") if self.is_mid_line else ""

    def _whole(self, said: str) -> str:
        if not said:
            return ""
        given, self._current = self._current, ""
        rest = said[len(given) :] if said.startswith(given) else f"\n{said}"
        return self._give(rest) + self.end_line()

    def _give(self, piece: str) -> str:
        if piece:
            self.has_spoken = True
            self.is_mid_line = not piece.endswith("\n")
        return piece
