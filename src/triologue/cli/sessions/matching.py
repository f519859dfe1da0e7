"""Looking for words in what was said; pure."""

import re
from typing import Literal, final

from msgspec import Struct

from triologue.cli.text_flow import printable
from triologue.messages import AssistantMessage, Message, TurnAccepted, text
from triologue.ports import Record
from triologue.wire import decode_record

BEFORE, AFTER = 30, 60
"""Characters that are shown around what was found."""

_SAID = ("#turn_accepted", "assistant")


class Hit(Struct, frozen=True, kw_only=True):
    """A place where something was found."""

    key: str
    seq: int
    turn_id: str | None
    time: float
    who: Literal["prompt", "answer"]
    before: str
    match: str
    after: str


@final
class Search:
    """Finds a plain text, whatever its case, in prompts and in what the model answered, once in each message.

    White space counts as one space, however much of it there is and of which kind.

    Args:
        wanted: the text; not blank.
    """

    def __init__(self, wanted: str) -> None:
        self._find = re.compile(re.escape(" ".join(wanted.split())), re.IGNORECASE).search

    def look_at(self, key: str, record: Record) -> Hit | None:
        """What is found in a record of a session."""
        if record.kind not in _SAID:
            return None
        message = decode_record(record.kind, record.line)
        said = " ".join(printable(_visible(message)).split())
        found = self._find(said)
        if found is None:
            return None
        begin, end = found.span()
        return Hit(
            key=key,
            seq=record.seq,
            turn_id=record.turn_id,
            time=record.time,
            who="prompt" if isinstance(message, TurnAccepted) else "answer",
            before=("…" if begin > BEFORE else "") + said[max(0, begin - BEFORE) : begin],
            match=said[begin:end],
            after=said[end : end + AFTER] + ("…" if len(said) > end + AFTER else ""),
        )


def _visible(message: Message) -> str:
    """What a person has seen of it; what sub-agents say is theirs."""
    match message:
        case TurnAccepted(prompt=prompt):
            return text(prompt)
        case AssistantMessage(parent_tool_use_id=None):
            return text(message)
        case _:
            return ""
