"""What either end asks of the other, beside the conversation: one class for each subtype."""

from typing import TypeAlias

from triologue.messages.requests.agent_requests import (
    CanUseTool as CanUseTool,
    Elicitation as Elicitation,
    FetchJobToken as FetchJobToken,
    FetchServiceAccountToken as FetchServiceAccountToken,
    GetModelPolicy as GetModelPolicy,
    HookCallback as HookCallback,
    McpMessage as McpMessage,
    McpOauthRequired as McpOauthRequired,
    McpToolCall as McpToolCall,
    MemoryShouldGenerate as MemoryShouldGenerate,
    RequestUserDialog as RequestUserDialog,
    SkillEvolutionShouldReview as SkillEvolutionShouldReview,
)
from triologue.messages.requests.host_requests import (
    ApplyFlagSettings as ApplyFlagSettings,
    BackgroundTasks as BackgroundTasks,
    CancelAsyncMessage as CancelAsyncMessage,
    ClearGoal as ClearGoal,
    FlushMemory as FlushMemory,
    FlushSkillEvolution as FlushSkillEvolution,
    GetByokConfig as GetByokConfig,
    GetContextUsage as GetContextUsage,
    GetGoal as GetGoal,
    GetModels as GetModels,
    GetPlanMode as GetPlanMode,
    GetUsageInfo as GetUsageInfo,
    Interrupt as Interrupt,
    ListPlugins as ListPlugins,
    McpAuthenticate as McpAuthenticate,
    McpClearAuth as McpClearAuth,
    McpInjectToken as McpInjectToken,
    McpOauthCallback as McpOauthCallback,
    McpReconnect as McpReconnect,
    McpSetServers as McpSetServers,
    McpStatus as McpStatus,
    McpToggle as McpToggle,
    RefreshMemory as RefreshMemory,
    ReloadPlugins as ReloadPlugins,
    Rewind as Rewind,
    RewindFiles as RewindFiles,
    SetGoal as SetGoal,
    SetMaxThinkingTokens as SetMaxThinkingTokens,
    SetModel as SetModel,
    SetPermissionMode as SetPermissionMode,
    SetPlanMode as SetPlanMode,
    SetProxy as SetProxy,
    SideQuestion as SideQuestion,
    StopTask as StopTask,
)
from triologue.messages.requests.initialize import Initialize as Initialize
from triologue.messages.requests.request import (
    Request as Request,
    UnknownRequest as UnknownRequest,
    subtype_of as subtype_of,
)

AnyRequest: TypeAlias = (
    Initialize
    | Interrupt
    | SetPermissionMode
    | SetModel
    | SetMaxThinkingTokens
    | McpStatus
    | McpReconnect
    | McpToggle
    | McpSetServers
    | McpAuthenticate
    | McpOauthCallback
    | McpInjectToken
    | McpClearAuth
    | StopTask
    | BackgroundTasks
    | CancelAsyncMessage
    | RewindFiles
    | Rewind
    | GetContextUsage
    | ApplyFlagSettings
    | GetModels
    | GetUsageInfo
    | GetByokConfig
    | ReloadPlugins
    | ListPlugins
    | FlushMemory
    | RefreshMemory
    | FlushSkillEvolution
    | SetProxy
    | SetPlanMode
    | GetPlanMode
    | SetGoal
    | GetGoal
    | ClearGoal
    | SideQuestion
    | CanUseTool
    | HookCallback
    | McpMessage
    | McpToolCall
    | Elicitation
    | RequestUserDialog
    | McpOauthRequired
    | GetModelPolicy
    | FetchJobToken
    | FetchServiceAccountToken
    | MemoryShouldGenerate
    | SkillEvolutionShouldReview
    | UnknownRequest
)
