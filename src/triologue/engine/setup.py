"""What the built-in agent is made of."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import uuid4

from msgspec import Struct

from triologue.engine.profile import Profile
from triologue.engine.toolbox import Guard
from triologue.engine.transcripts import Transcript, TranscriptStore
from triologue.options import Options
from triologue.ports import Model
from triologue.tools import ToolDefinition


def new_uuid() -> str:
    """A fresh random UUID."""
    return str(uuid4())


def no_path(transcript: Transcript) -> str:
    """Where a conversation is on disk that is only in memory: nowhere."""
    return ""


class EngineSetup(Struct, frozen=True, kw_only=True):
    """One agent: its model, its tools, and how it is to work."""

    model: Model
    options: Options
    transcripts: TranscriptStore
    tools: Sequence[ToolDefinition] = ()
    guards: Mapping[str, Guard] = MappingProxyType({})
    """By name, the tools that need permission. The others run without asking, unless the host wants to be asked."""
    new_id: Callable[[], str] = new_uuid
    """Makes session ids and the ids of frames; each a UUID."""
    transcript_path: Callable[[Transcript], str] = no_path
    """The file of a conversation, as hooks are told it."""
    profile: Profile = Profile()
    """What it presents itself as."""
