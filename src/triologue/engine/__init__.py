"""The built-in agent: the agent side of the protocol, a model, tools, and what was said."""

from triologue.engine.offline import OfflineModel as OfflineModel
from triologue.engine.serve import Server as Server, begin as begin, serve as serve
from triologue.engine.setup import EngineSetup as EngineSetup
from triologue.engine.transcripts import (
    Transcript as Transcript,
    Transcripts as Transcripts,
    default_transcripts as default_transcripts,
)
