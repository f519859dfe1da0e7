"""What can be replaced: the agent, its connection, the carrier of its process, the model of the built-in agent, the store.

The actors know these names and no implementation; the manager introduces them to each other.
"""

from triologue.ports.agents import (
    Account,
    Agent,
    Carrier,
    Command,
    ConcludesSessions,
    Connection,
    Exit,
    LivesInside,
    MirrorsHistories,
    Model,
    ModelReply,
    ModelRequest,
    PreparesSessions,
    ProvidesTokens,
    Restored,
    Sink,
    ToolSpec,
)
from triologue.ports.stores import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry, UnfinishedTurn

__all__ = [
    "Account",
    "Agent",
    "Append",
    "Carrier",
    "Command",
    "ConcludesSessions",
    "Connection",
    "Exit",
    "Lease",
    "LivesInside",
    "MirrorsHistories",
    "Model",
    "ModelReply",
    "ModelRequest",
    "PreparesSessions",
    "ProvidesTokens",
    "Record",
    "Restored",
    "SessionStore",
    "Sink",
    "StoredSession",
    "ToolSpec",
    "TranscriptEntry",
    "UnfinishedTurn",
]
