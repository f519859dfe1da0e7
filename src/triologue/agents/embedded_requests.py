"""The control requests that the built-in agent answers."""

from collections.abc import Mapping
from types import MappingProxyType

from triologue.messages import (
    CancelAsyncMessage,
    GetContextUsage,
    Interrupt,
    McpReconnect,
    McpSetServers,
    McpStatus,
    McpToggle,
    Request,
    SetMaxThinkingTokens,
    SetModel,
    SetPermissionMode,
    StopTask,
)

REQUESTS: Mapping[type[Request], str | None] = MappingProxyType(
    {
        Interrupt: None,
        SetModel: None,
        SetPermissionMode: None,
        SetMaxThinkingTokens: None,
        CancelAsyncMessage: None,
        McpStatus: None,
        McpReconnect: None,
        McpToggle: None,
        McpSetServers: None,
        StopTask: None,
        GetContextUsage: None,
    }
)
