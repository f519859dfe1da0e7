"""The public names of Qoder's Agent SDK for Python (`qoder_agent_sdk`), over triologue.

A program is ported by changing its imports and its runner; docs/howto/migrate.md has every difference.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from triologue.engine.histories import QODER
from triologue.hosting import create_sdk_mcp_server as create_sdk_mcp_server
from triologue.messages import (
    AssistantMessage as AssistantMessage,
    BackgroundTasksMessage,
    ContentBlock as ContentBlock,
    GoalClearedMessage as GoalClearedMessage,
    GoalUpdatedMessage as GoalUpdatedMessage,
    MemoryConsumptionMessage as MemoryConsumptionMessage,
    MemoryGenerationMessage as MemoryGenerationMessage,
    Message as Message,
    MirrorErrorMessage,
    PermissionDeniedMessage,
    PermissionResult as PermissionResult,
    PermissionResultAllow as PermissionResultAllow,
    PermissionResultDeny as PermissionResultDeny,
    PermissionUpdate as PermissionUpdate,
    PlanModeMessage,
    ResultMessage as ResultMessage,
    SkillEvolutionMessage as SkillEvolutionMessage,
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
    ExitPlanModeApprovalDetails as ExitPlanModeApprovalDetails,
    HookCallback as HookCallback,
    HookContext as HookContext,
    HookMatcher as HookMatcher,
    OnElicitation as OnElicitation,
    OnMcpOauthRequired,
    OnMcpStatusChange as OnMcpStatusChange,
    ToolPermissionContext as ToolPermissionContext,
)
from triologue.sdk.qoder.auth import (
    DEFAULT_ACCESS_TOKEN_ENV_VAR as DEFAULT_ACCESS_TOKEN_ENV_VAR,
    DEFAULT_SERVICE_ACCOUNT_ENV_VAR as DEFAULT_SERVICE_ACCOUNT_ENV_VAR,
    AccessTokenAuthOptions as AccessTokenAuthOptions,
    AccessTokenEnvVar as AccessTokenEnvVar,
    AuthAccessTokenEnvVarError as AuthAccessTokenEnvVarError,
    AuthNotConfiguredError as AuthNotConfiguredError,
    AuthOptions as AuthOptions,
    AuthServiceAccountEnvVarError as AuthServiceAccountEnvVarError,
    FetchJobToken as FetchJobToken,
    FetchServiceAccountToken as FetchServiceAccountToken,
    InternalAuthOptions as InternalAuthOptions,
    JobTokenAuthOptions as JobTokenAuthOptions,
    JobTokenContext as JobTokenContext,
    JobTokenRequest as JobTokenRequest,
    JobTokenResult as JobTokenResult,
    QoderCLIAuthOptions as QoderCLIAuthOptions,
    ServiceAccountAuthOptions as ServiceAccountAuthOptions,
    ServiceAccountEnvVar as ServiceAccountEnvVar,
    ServiceAccountKeyInput as ServiceAccountKeyInput,
    ServiceAccountTokenResult as ServiceAccountTokenResult,
    access_token as access_token,
    access_token_from_env as access_token_from_env,
    job_token as job_token,
    normalize_auth as normalize_auth,
    qodercli_auth as qodercli_auth,
    service_account as service_account,
    service_account_from_env as service_account_from_env,
)
from triologue.sdk.qoder.client import (
    QoderSDKClient as QoderSDKClient,
    query as query,
)
from triologue.sdk.qoder.not_ported import NOT_PORTED as NOT_PORTED
from triologue.sdk.qoder.options import (
    MAX_SKILL_EVOLUTION_REVIEW_THRESHOLD as MAX_SKILL_EVOLUTION_REVIEW_THRESHOLD,
    AgentDefinition as AgentDefinition,
    EvolutionOptions as EvolutionOptions,
    QoderAgentOptions as QoderAgentOptions,
    SkillEvolutionGenerationOptions as SkillEvolutionGenerationOptions,
    SkillEvolutionOptions as SkillEvolutionOptions,
    SkillEvolutionTurnCompleteOptions as SkillEvolutionTurnCompleteOptions,
)
from triologue.sdk.qoder.results import (
    ModelPolicyTimeoutError as ModelPolicyTimeoutError,
    is_bash_tool_background_launch_result as is_bash_tool_background_launch_result,
)
from triologue.sdk.vendor.errors import (
    CLIConnectionError as CLIConnectionError,
    CLIJSONDecodeError as CLIJSONDecodeError,
    CLINotFoundError as CLINotFoundError,
    ProcessError as ProcessError,
    SDKError,
    UnsupportedCliCapabilityError as UnsupportedCliCapabilityError,
)
from triologue.sdk.vendor.missing import missing
from triologue.sdk.vendor.session_changes import ForkSessionResult as ForkSessionResult
from triologue.sdk.vendor.session_listing import SDKSessionInfo as SDKSessionInfo
from triologue.sdk.vendor.session_messages import SessionMessage as SessionMessage
from triologue.sdk.vendor.sessions import SessionFunctions
from triologue.sdk.vendor.shapes import (
    AgentToolBackgroundLaunchResult as AgentToolBackgroundLaunchResult,
    AsyncHookJSONOutput as AsyncHookJSONOutput,
    BackgroundTask as BackgroundTask,
    BaseHookInput as BaseHookInput,
    BashToolBackgroundLaunchResult as BashToolBackgroundLaunchResult,
    BYOKFieldInfo as BYOKFieldInfo,
    BYOKModelInfo as BYOKModelInfo,
    BYOKModelTypeInfo as BYOKModelTypeInfo,
    BYOKProviderInfo as BYOKProviderInfo,
    ContextUsageAutoCompact as ContextUsageAutoCompact,
    ContextUsageCategory as ContextUsageCategory,
    ContextUsageDuplicateFileRead as ContextUsageDuplicateFileRead,
    ContextUsageLinesChanged as ContextUsageLinesChanged,
    ContextUsageResponse as ContextUsageResponse,
    ContextUsageSession as ContextUsageSession,
    ContextUsageSkill as ContextUsageSkill,
    ContextUsageSkills as ContextUsageSkills,
    ContextUsageToolCalls as ContextUsageToolCalls,
    ContextUsageWindow as ContextUsageWindow,
    CustomModel as CustomModel,
    CwdChangedHookInput as CwdChangedHookInput,
    CwdChangedHookSpecificOutput as CwdChangedHookSpecificOutput,
    EffectiveMemoryConfig as EffectiveMemoryConfig,
    EffectiveMemoryRoot as EffectiveMemoryRoot,
    ElicitationRequest as ElicitationRequest,
    ElicitationResult as ElicitationResult,
    ExitReason as ExitReason,
    FileChangedHookInput as FileChangedHookInput,
    FileChangedHookSpecificOutput as FileChangedHookSpecificOutput,
    GoalSnapshot as GoalSnapshot,
    GoalStatus as GoalStatus,
    HookEvent as HookEvent,
    HookInput as HookInput,
    HookJSONOutput as HookJSONOutput,
    HookSpecificOutput as HookSpecificOutput,
    InitializeAgentInfo as InitializeAgentInfo,
    InitializeCommandInfo as InitializeCommandInfo,
    InitializeSkillInfo as InitializeSkillInfo,
    InstructionsLoadedHookInput as InstructionsLoadedHookInput,
    LocalizedModelText as LocalizedModelText,
    McpOAuthCallbackUrlResolution as McpOAuthCallbackUrlResolution,
    McpOAuthCodeResolution as McpOAuthCodeResolution,
    McpOAuthRequest as McpOAuthRequest,
    McpOAuthResolution as McpOAuthResolution,
    McpOAuthTokenResolution as McpOAuthTokenResolution,
    McpSdkServerConfig as McpSdkServerConfig,
    McpServerConfig as McpServerConfig,
    McpServerConnectionStatus as McpServerConnectionStatus,
    McpServerInfo as McpServerInfo,
    McpServerStatus as McpServerStatus,
    McpServerStatusConfig as McpServerStatusConfig,
    McpServerToolPolicy as McpServerToolPolicy,
    McpSetServersResult as McpSetServersResult,
    McpStatusChangeMessage as McpStatusChangeMessage,
    McpStatusResponse as McpStatusResponse,
    McpToolAnnotations as McpToolAnnotations,
    McpToolInfo as McpToolInfo,
    MemoryConsumptionCallback as MemoryConsumptionCallback,
    MemoryConsumptionFile as MemoryConsumptionFile,
    MemoryConsumptionFileResult as MemoryConsumptionFileResult,
    MemoryConsumptionOptions as MemoryConsumptionOptions,
    MemoryConsumptionResult as MemoryConsumptionResult,
    MemoryGateContext as MemoryGateContext,
    MemoryGenerationCallback as MemoryGenerationCallback,
    MemoryGenerationFailedFile as MemoryGenerationFailedFile,
    MemoryGenerationGateInput as MemoryGenerationGateInput,
    MemoryGenerationGateResult as MemoryGenerationGateResult,
    MemoryGenerationOptions as MemoryGenerationOptions,
    MemoryGenerationResult as MemoryGenerationResult,
    MemoryMode as MemoryMode,
    MemoryOptions as MemoryOptions,
    MemoryRoot as MemoryRoot,
    MemoryRootAccess as MemoryRootAccess,
    MemoryShouldGenerate as MemoryShouldGenerate,
    MemoryTurnCompleteOptions as MemoryTurnCompleteOptions,
    MemoryWrittenFile as MemoryWrittenFile,
    ModelContextConfig as ModelContextConfig,
    ModelContextWindowEntry as ModelContextWindowEntry,
    ModelEffortEntry as ModelEffortEntry,
    ModelInfo as ModelInfo,
    ModelPolicyContext as ModelPolicyContext,
    ModelPolicyProvider as ModelPolicyProvider,
    ModelPolicyResult as ModelPolicyResult,
    ModelPromotion as ModelPromotion,
    ModelThinkingConfig as ModelThinkingConfig,
    ModelThinkingDisabled as ModelThinkingDisabled,
    ModelThinkingEnabled as ModelThinkingEnabled,
    ModelUsage as ModelUsage,
    NonNullableUsage as NonNullableUsage,
    OAuthToken as OAuthToken,
    PermissionDecisionClassification as PermissionDecisionClassification,
    PermissionDecisionReasonType as PermissionDecisionReasonType,
    PermissionMode as PermissionMode,
    PermissionRequestAllowDecision as PermissionRequestAllowDecision,
    PermissionRequestDecision as PermissionRequestDecision,
    PermissionRequestDenyDecision as PermissionRequestDenyDecision,
    PermissionRequestHookInput as PermissionRequestHookInput,
    PermissionRequestHookSpecificOutput as PermissionRequestHookSpecificOutput,
    PlanModeSnapshot as PlanModeSnapshot,
    PluginDetails as PluginDetails,
    PluginInfo as PluginInfo,
    PluginResources as PluginResources,
    PluginScope as PluginScope,
    PostCompactHookInput as PostCompactHookInput,
    PostToolUseFailureHookInput as PostToolUseFailureHookInput,
    PostToolUseFailureHookSpecificOutput as PostToolUseFailureHookSpecificOutput,
    PostToolUseHookInput as PostToolUseHookInput,
    PostToolUseHookSpecificOutput as PostToolUseHookSpecificOutput,
    PreCompactHookInput as PreCompactHookInput,
    PreToolUseHookInput as PreToolUseHookInput,
    PreToolUseHookSpecificOutput as PreToolUseHookSpecificOutput,
    QoderModelPurpose as QoderModelPurpose,
    ReloadPluginsResponse as ReloadPluginsResponse,
    RewindFileFailure as RewindFileFailure,
    RewindFilesResult as RewindFilesResult,
    RewindResult as RewindResult,
    RewindScope as RewindScope,
    RewindStatus as RewindStatus,
    SDKCapabilities as SDKCapabilities,
    SDKControlGetByokConfigRequest as SDKControlGetByokConfigRequest,
    SDKControlGetByokConfigResponse as SDKControlGetByokConfigResponse,
    SDKControlGetModelPolicyRequest as SDKControlGetModelPolicyRequest,
    SDKControlGetModelPolicyResponse as SDKControlGetModelPolicyResponse,
    SDKControlInitializeResponse as SDKControlInitializeResponse,
    SDKPermissionDenial as SDKPermissionDenial,
    SdkPluginConfig as SdkPluginConfig,
    SecurityScanOptions as SecurityScanOptions,
    ServerModelJson as ServerModelJson,
    SessionCreditsModelUsage as SessionCreditsModelUsage,
    SessionCreditsUsage as SessionCreditsUsage,
    SessionEndHookInput as SessionEndHookInput,
    SessionMessageView as SessionMessageView,
    SessionStartHookInput as SessionStartHookInput,
    SessionStartHookSpecificOutput as SessionStartHookSpecificOutput,
    Settings as Settings,
    SettingSource as SettingSource,
    SideQuestionHistoryEntry as SideQuestionHistoryEntry,
    SideQuestionRefusalFallback as SideQuestionRefusalFallback,
    SideQuestionResult as SideQuestionResult,
    SkillEvolutionGateRequest as SkillEvolutionGateRequest,
    SkillEvolutionGateResult as SkillEvolutionGateResult,
    SkillEvolutionResult as SkillEvolutionResult,
    SkillEvolutionResultCallback as SkillEvolutionResultCallback,
    SkillEvolutionShouldReview as SkillEvolutionShouldReview,
    SkillEvolutionSuggestion as SkillEvolutionSuggestion,
    StopHookInput as StopHookInput,
    SubagentStartHookInput as SubagentStartHookInput,
    SubagentStartHookSpecificOutput as SubagentStartHookSpecificOutput,
    SubagentStopHookInput as SubagentStopHookInput,
    SyncHookJSONOutput as SyncHookJSONOutput,
    TaskNotificationStatus as TaskNotificationStatus,
    TaskStatus as TaskStatus,
    TaskUpdatePatch as TaskUpdatePatch,
    TaskUsage as TaskUsage,
    UsageAddOnQuotaBucket as UsageAddOnQuotaBucket,
    UsageInfo as UsageInfo,
    UsageOrgResourcePackage as UsageOrgResourcePackage,
    UsageQuotaBucket as UsageQuotaBucket,
    UserPromptSubmitHookInput as UserPromptSubmitHookInput,
    UserPromptSubmitHookSpecificOutput as UserPromptSubmitHookSpecificOutput,
)
from triologue.sdk.vendor.tools import ToolAnnotations as ToolAnnotations
from triologue.tools import (
    ToolDefinition,
    ToolInvocationContext as ToolInvocationContext,
    tool as tool,
)

AssistantMessageWithRequestId = AssistantMessage
BackgroundTasksChangedMessage = BackgroundTasksMessage
CanUseTool = CanUseToolCallback
OnMcpOAuthRequired = OnMcpOauthRequired
PlanModeChangedMessage = PlanModeMessage
QoderSDKError = SDKError
SDKMirrorErrorMessage = MirrorErrorMessage
SDKPermissionDeniedMessage = PermissionDeniedMessage
SdkMcpTool = ToolDefinition

__version__ = "1.0.16"
"""The version of the vendor's SDK whose names these are."""

ServerModelJsonValue: TypeAlias = Any

_sessions = SessionFunctions(QODER)
delete_session = _sessions.delete_session
fork_session = _sessions.fork_session
get_session_info = _sessions.get_session_info
get_session_messages = _sessions.get_session_messages_in_view
get_subagent_messages = _sessions.get_subagent_messages
list_sessions = _sessions.list_sessions
list_subagents = _sessions.list_subagents
project_key_for_directory = _sessions.project_key_for_directory
rename_session = _sessions.rename_session
tag_session = _sessions.tag_session

if not TYPE_CHECKING:  # a type checker is to see which names there are
    __getattr__ = missing(__name__, NOT_PORTED)
