"""The control requests that Claude Code answers, as tried on its CLI 2.1.329; it announces a capability for none of them."""

from collections.abc import Mapping
from types import MappingProxyType

from triologue.messages import (
    ApplyFlagSettings,
    BackgroundTasks,
    CancelAsyncMessage,
    GetContextUsage,
    Interrupt,
    McpAuthenticate,
    McpClearAuth,
    McpOauthCallback,
    McpReconnect,
    McpSetServers,
    McpStatus,
    McpToggle,
    ReloadPlugins,
    Request,
    RewindFiles,
    SetMaxThinkingTokens,
    SetModel,
    SetPermissionMode,
    SideQuestion,
    StopTask,
)

REQUESTS: Mapping[type[Request], str | None] = MappingProxyType(
    {
        Interrupt: None,
        SetModel: None,
        SetPermissionMode: None,
        SetMaxThinkingTokens: None,
        McpStatus: None,
        McpReconnect: None,
        McpToggle: None,
        McpSetServers: None,
        McpAuthenticate: None,
        McpOauthCallback: None,
        McpClearAuth: None,
        StopTask: None,
        BackgroundTasks: None,
        CancelAsyncMessage: None,
        RewindFiles: None,
        GetContextUsage: None,
        SideQuestion: None,
        ApplyFlagSettings: None,
        ReloadPlugins: None,
    }
)
