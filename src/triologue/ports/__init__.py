"""What can be replaced: the agent, its connection, the carrier of its process, the model of the built-in agent, the store.

The actors know these names and no implementation; the manager introduces them to each other. `Sessions` is what programs
need of a manager, whether it is here or behind a gateway.
"""

from triologue.ports.agents import (
    Account,
    Agent,
    Carrier,
    Command,
    ConcludesSessions,
    Connection,
    Exit,
    FindsLatest,
    KeepsLogins,
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
from triologue.ports.sessions import AnyPermission, AnySession, AnyTurn, SessionLine, Sessions
from triologue.ports.stores import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry, UnfinishedTurn

__all__ = [
    "Account",
    "Agent",
    "AnyPermission",
    "AnySession",
    "AnyTurn",
    "Append",
    "Carrier",
    "Command",
    "ConcludesSessions",
    "Connection",
    "Exit",
    "FindsLatest",
    "KeepsLogins",
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
    "SessionLine",
    "SessionStore",
    "Sessions",
    "Sink",
    "StoredSession",
    "ToolSpec",
    "TranscriptEntry",
    "UnfinishedTurn",
]
