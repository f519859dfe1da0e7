"""The control requests that Cortex Code's CLI answers, as its SDK makes them; it announces no capabilities."""

from collections.abc import Mapping
from types import MappingProxyType

from triologue.messages import (
    Interrupt,
    McpAuthenticate,
    McpReconnect,
    McpSetServers,
    McpStatus,
    McpToggle,
    Request,
    SetModel,
    SetPermissionMode,
    StopTask,
)

REQUESTS: Mapping[type[Request], str | None] = MappingProxyType(
    {
        Interrupt: None,
        SetModel: None,
        SetPermissionMode: None,
        McpStatus: None,
        McpReconnect: None,
        McpToggle: None,
        McpSetServers: None,
        McpAuthenticate: None,
        StopTask: None,
    }
)
