"""The public names of Cortex Code's Agent SDK for Python (`cortex_code_agent_sdk`), over triologue.

A program is ported by changing its imports and its runner; docs/howto/migrate.md has every difference.
"""

from typing import TYPE_CHECKING

from triologue.hosting import create_sdk_mcp_server as create_sdk_mcp_server
from triologue.messages import (
    AssistantMessage as AssistantMessage,
    ContentBlock as ContentBlock,
    InitMessage,
    Message as Message,
    PermissionResult as PermissionResult,
    PermissionResultAllow as PermissionResultAllow,
    PermissionResultDeny as PermissionResultDeny,
    PermissionRuleValue as PermissionRuleValue,
    PermissionUpdate as PermissionUpdate,
    ResultMessage as ResultMessage,
    StreamEvent as StreamEvent,
    SystemMessage as SystemMessage,
    SystemText,
    TaskNotificationMessage as TaskNotificationMessage,
    TaskProgressMessage as TaskProgressMessage,
    TaskStartedMessage as TaskStartedMessage,
    TextBlock as TextBlock,
    ThinkingBlock as ThinkingBlock,
    ToolResultBlock as ToolResultBlock,
    ToolUseBlock as ToolUseBlock,
    UserMessage as UserMessage,
)
from triologue.options import (
    CanUseToolCallback,
    HookCallback as HookCallback,
    HookContext as HookContext,
    HookMatcher as HookMatcher,
    ToolPermissionContext as ToolPermissionContext,
)
from triologue.sdk.cortex.client import (
    CortexCodeSDKClient as CortexCodeSDKClient,
    fork_session as fork_session,
    query as query,
)
from triologue.sdk.cortex.options import (
    AgentDefinition as AgentDefinition,
    CortexCodeAgentOptions as CortexCodeAgentOptions,
    InvalidOptionValueError as InvalidOptionValueError,
    SnowflakeSandboxOptions as SnowflakeSandboxOptions,
)
from triologue.sdk.vendor.errors import (
    CLIConnectionError as CLIConnectionError,
    CLIJSONDecodeError as CLIJSONDecodeError,
    CLINotFoundError as CLINotFoundError,
    ProcessError as ProcessError,
    SDKError,
)
from triologue.sdk.vendor.missing import (
    TRANSPORT,
    missing,
)
from triologue.sdk.vendor.shapes import (
    BaseHookInput as BaseHookInput,
    HookInput as HookInput,
    HookJSONOutput as HookJSONOutput,
    McpHttpServerConfig as McpHttpServerConfig,
    McpSdkServerConfig as McpSdkServerConfig,
    McpServerConfig as McpServerConfig,
    McpServerConnectionStatus as McpServerConnectionStatus,
    McpServerInfo as McpServerInfo,
    McpServerStatus as McpServerStatus,
    McpServerStatusConfig as McpServerStatusConfig,
    McpSetServersConfig as McpSetServersConfig,
    McpSetServersResult as McpSetServersResult,
    McpSnowflakeServerConfig as McpSnowflakeServerConfig,
    McpSSEServerConfig as McpSSEServerConfig,
    McpStatusResponse as McpStatusResponse,
    McpStdioServerConfig as McpStdioServerConfig,
    McpToolAnnotations as McpToolAnnotations,
    McpToolInfo as McpToolInfo,
    NotificationHookInput as NotificationHookInput,
    NotificationHookSpecificOutput as NotificationHookSpecificOutput,
    PermissionMode as PermissionMode,
    PermissionRequestHookInput as PermissionRequestHookInput,
    PermissionRequestHookSpecificOutput as PermissionRequestHookSpecificOutput,
    PostToolUseFailureHookInput as PostToolUseFailureHookInput,
    PostToolUseFailureHookSpecificOutput as PostToolUseFailureHookSpecificOutput,
    PostToolUseHookInput as PostToolUseHookInput,
    PreCompactHookInput as PreCompactHookInput,
    PreToolUseHookInput as PreToolUseHookInput,
    SDKPermissionDenial as SDKPermissionDenial,
    SdkPluginConfig as SdkPluginConfig,
    SessionMode as SessionMode,
    SettingSource as SettingSource,
    StopHookInput as StopHookInput,
    SubagentStartHookInput as SubagentStartHookInput,
    SubagentStartHookSpecificOutput as SubagentStartHookSpecificOutput,
    SubagentStopHookInput as SubagentStopHookInput,
    TaskNotificationStatus as TaskNotificationStatus,
    TaskUsage as TaskUsage,
    UserPromptSubmitHookInput as UserPromptSubmitHookInput,
)
from triologue.sdk.vendor.tools import ToolAnnotations as ToolAnnotations
from triologue.tools import (
    ToolDefinition,
    tool as tool,
)

CanUseTool = CanUseToolCallback
CortexCodeSDKError = SDKError
InitSystemMessage = InitMessage
SdkMcpTool = ToolDefinition
SystemTextMessage = SystemText

_API = "the REST interface is no program; this face talks to the `cortex` CLI, by a connection's name"

NOT_PORTED = {
    "AgentApiOptions": _API,
    "AgentApiTokenProvider": _API,
    "AgentApiVStage": _API,
    "Transport": TRANSPORT,
}
"""Names without a counterpart here: why, and what to do instead."""

if not TYPE_CHECKING:  # a type checker is to see which names there are
    __getattr__ = missing(__name__, NOT_PORTED)
