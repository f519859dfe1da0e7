"""The public names of Claude's Agent SDK for Python (`claude_agent_sdk`), over triologue.

A program is ported by changing its imports and its runner; docs/howto/migrate.md has every difference.
"""

from typing import TYPE_CHECKING

from triologue.engine.histories import CLAUDE
from triologue.hosting import create_sdk_mcp_server as create_sdk_mcp_server
from triologue.messages import (
    AssistantMessage as AssistantMessage,
    ContentBlock as ContentBlock,
    ConversationReset,
    DeferredToolUse as DeferredToolUse,
    HookEventMessage as HookEventMessage,
    Message as Message,
    MirrorErrorMessage as MirrorErrorMessage,
    PermissionResult as PermissionResult,
    PermissionResultAllow as PermissionResultAllow,
    PermissionResultDeny as PermissionResultDeny,
    PermissionUpdate as PermissionUpdate,
    RateLimitEvent as RateLimitEvent,
    RateLimitInfo as RateLimitInfo,
    ResultMessage as ResultMessage,
    ServerToolResultBlock as ServerToolResultBlock,
    ServerToolUseBlock as ServerToolUseBlock,
    StreamEvent as StreamEvent,
    SystemMessage as SystemMessage,
    TaskNotificationMessage as TaskNotificationMessage,
    TaskProgressMessage as TaskProgressMessage,
    TaskStartedMessage as TaskStartedMessage,
    TaskUpdatedMessage as TaskUpdatedMessage,
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
from triologue.sdk.claude.client import (
    ClaudeSDKClient as ClaudeSDKClient,
    query as query,
)
from triologue.sdk.claude.options import (
    AgentDefinition as AgentDefinition,
    ClaudeAgentOptions as ClaudeAgentOptions,
)
from triologue.sdk.vendor.errors import (
    CLIConnectionError as CLIConnectionError,
    CLIJSONDecodeError as CLIJSONDecodeError,
    CLINotFoundError as CLINotFoundError,
    ProcessError as ProcessError,
    ResultError as ResultError,
    SDKError,
)
from triologue.sdk.vendor.missing import (
    STORE_NAMES,
    STORES,
    TRANSPORT,
    missing,
)
from triologue.sdk.vendor.options import CanUseToolShadowedWarning as CanUseToolShadowedWarning
from triologue.sdk.vendor.session_changes import ForkSessionResult as ForkSessionResult
from triologue.sdk.vendor.session_listing import SDKSessionInfo as SDKSessionInfo
from triologue.sdk.vendor.session_messages import SessionMessage as SessionMessage
from triologue.sdk.vendor.sessions import SessionFunctions
from triologue.sdk.vendor.shapes import (
    BackgroundTaskSummary as BackgroundTaskSummary,
    BaseHookInput as BaseHookInput,
    ContextUsageCategory as ContextUsageCategory,
    ContextUsageResponse as ContextUsageResponse,
    CwdChangedHookSpecificOutput as CwdChangedHookSpecificOutput,
    EffortLevel as EffortLevel,
    ElicitationHookSpecificOutput as ElicitationHookSpecificOutput,
    ElicitationResultHookSpecificOutput as ElicitationResultHookSpecificOutput,
    FastModeDisabledReason as FastModeDisabledReason,
    FastModeState as FastModeState,
    FileChangedHookSpecificOutput as FileChangedHookSpecificOutput,
    HookEffort as HookEffort,
    HookInput as HookInput,
    HookJSONOutput as HookJSONOutput,
    McpSdkServerConfig as McpSdkServerConfig,
    McpServerConfig as McpServerConfig,
    McpServerConnectionStatus as McpServerConnectionStatus,
    McpServerInfo as McpServerInfo,
    McpServerStatus as McpServerStatus,
    McpServerStatusConfig as McpServerStatusConfig,
    McpStatusResponse as McpStatusResponse,
    McpToolAnnotations as McpToolAnnotations,
    McpToolInfo as McpToolInfo,
    MessageDisplayHookSpecificOutput as MessageDisplayHookSpecificOutput,
    MessageOrigin as MessageOrigin,
    MessageOriginKind as MessageOriginKind,
    ModelUsage as ModelUsage,
    NotificationHookInput as NotificationHookInput,
    NotificationHookSpecificOutput as NotificationHookSpecificOutput,
    PermissionDeniedHookSpecificOutput as PermissionDeniedHookSpecificOutput,
    PermissionMode as PermissionMode,
    PermissionRequestHookInput as PermissionRequestHookInput,
    PermissionRequestHookSpecificOutput as PermissionRequestHookSpecificOutput,
    PostModelSwitchHookSpecificOutput as PostModelSwitchHookSpecificOutput,
    PostToolBatchHookSpecificOutput as PostToolBatchHookSpecificOutput,
    PostToolUseFailureHookInput as PostToolUseFailureHookInput,
    PostToolUseFailureHookSpecificOutput as PostToolUseFailureHookSpecificOutput,
    PostToolUseHookInput as PostToolUseHookInput,
    PostToolUseHookSpecificOutput as PostToolUseHookSpecificOutput,
    PreCompactHookInput as PreCompactHookInput,
    PreModelSwitchHookSpecificOutput as PreModelSwitchHookSpecificOutput,
    PreToolUseHookInput as PreToolUseHookInput,
    PreToolUseHookSpecificOutput as PreToolUseHookSpecificOutput,
    RateLimitStatus as RateLimitStatus,
    RateLimitType as RateLimitType,
    SandboxIgnoreViolations as SandboxIgnoreViolations,
    SandboxNetworkConfig as SandboxNetworkConfig,
    SandboxSettings as SandboxSettings,
    SdkBeta as SdkBeta,
    SdkPluginConfig as SdkPluginConfig,
    ServerToolName as ServerToolName,
    SessionCronSummary as SessionCronSummary,
    SessionStartHookSpecificOutput as SessionStartHookSpecificOutput,
    SettingSource as SettingSource,
    StopHookInput as StopHookInput,
    StopHookSpecificOutput as StopHookSpecificOutput,
    SubagentStartHookInput as SubagentStartHookInput,
    SubagentStartHookSpecificOutput as SubagentStartHookSpecificOutput,
    SubagentStopHookInput as SubagentStopHookInput,
    SubagentStopHookSpecificOutput as SubagentStopHookSpecificOutput,
    SystemInitData as SystemInitData,
    SystemInitMcpServer as SystemInitMcpServer,
    SystemInitPlugin as SystemInitPlugin,
    SystemInitPluginError as SystemInitPluginError,
    TaskBudget as TaskBudget,
    TaskNotificationOriginSubkind as TaskNotificationOriginSubkind,
    TaskNotificationStatus as TaskNotificationStatus,
    TaskUpdatedStatus as TaskUpdatedStatus,
    TaskUsage as TaskUsage,
    ThinkingConfig as ThinkingConfig,
    ThinkingConfigAdaptive as ThinkingConfigAdaptive,
    ThinkingConfigDisabled as ThinkingConfigDisabled,
    ThinkingConfigEnabled as ThinkingConfigEnabled,
    UserPromptExpansionHookSpecificOutput as UserPromptExpansionHookSpecificOutput,
    UserPromptSubmitHookInput as UserPromptSubmitHookInput,
    UserPromptSubmitHookSpecificOutput as UserPromptSubmitHookSpecificOutput,
    WorktreeCreateHookSpecificOutput as WorktreeCreateHookSpecificOutput,
)
from triologue.sdk.vendor.tools import ToolAnnotations as ToolAnnotations
from triologue.tools import (
    ToolDefinition,
    tool as tool,
)

CanUseTool = CanUseToolCallback
ClaudeSDKError = SDKError
ConversationResetMessage = ConversationReset
SdkMcpTool = ToolDefinition

__version__ = "0.2.186"
"""The version of the vendor's SDK whose names these are."""

TERMINAL_TASK_STATUSES = frozenset({"completed", "failed", "killed", "stopped"})
"""After these nothing more happens to a background task."""

_sessions = SessionFunctions(CLAUDE)
delete_session = _sessions.delete_session
fork_session = _sessions.fork_session
get_session_info = _sessions.get_session_info
get_session_messages = _sessions.get_session_messages
get_subagent_messages = _sessions.get_subagent_messages
list_sessions = _sessions.list_sessions
list_subagents = _sessions.list_subagents
project_key_for_directory = _sessions.project_key_for_directory
rename_session = _sessions.rename_session
tag_session = _sessions.tag_session

NOT_PORTED = {
    "Transport": TRANSPORT,
    **dict.fromkeys(STORE_NAMES, STORES),
    "SessionSummaryEntry": STORES,
    "fold_session_summary": STORES,
}
"""Names without a counterpart here: why, and what to do instead."""

if not TYPE_CHECKING:  # a type checker is to see which names there are
    __getattr__ = missing(__name__, NOT_PORTED)
