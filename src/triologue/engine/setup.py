"""What the built-in agent is made of."""

from collections.abc import Callable, Sequence
from uuid import uuid4

from msgspec import Struct

from triologue.engine.transcripts import Transcripts
from triologue.options import Options
from triologue.ports import Model
from triologue.tools import ToolDefinition


def new_uuid() -> str:
    """A fresh random UUID."""
    return str(uuid4())


class EngineSetup(Struct, frozen=True, kw_only=True):
    """One agent: its model, its tools, and how it is to work."""

    model: Model
    options: Options
    transcripts: Transcripts
    tools: Sequence[ToolDefinition] = ()
    new_id: Callable[[], str] = new_uuid
    """Makes session ids and the ids of frames; each a UUID."""
