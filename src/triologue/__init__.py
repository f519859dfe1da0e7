"""Many multi-turn agent conversations in one process, each a supervised trio actor, and none of them lost."""

# fmt: off  -- one name a line would make three pages of this one
from triologue.actors import Turn
from triologue.agents import ClaudeCode, Embedded
from triologue.engine import OfflineModel, Transcripts
from triologue.errors import (
    AgentCrashed, AgentError, AgentNotFound, AgentProtocolError, AgentStartError, CallerError, InvalidOption,
    LimitError, MailboxFull, ManagerClosed, ModelError, NotLoggedIn, SessionExists, SessionFailed, SessionIdInUse,
    SessionNotFound, StoreError, TriologueError, TurnCancelled, TurnError, TurnFailed, TurnInterrupted, TurnLost,
    UnsupportedOption, UnsupportedRequest,
)
from triologue.manager import ManagerStatistics, Session, SessionManager, SessionStatistics, Subscription, open_manager
from triologue.messages import (
    ActiveGoal, ApiRetryMessage, AssistantBody, AssistantMessage, AuthStatus, BackgroundTasksMessage,
    CommandLifecycle, CompactBoundaryMessage, ContentBlock, ConversationReset, DocumentBlock, Event, Gap,
    GoalMessage, HookEventMessage, ImageBlock, InitMessage, MalformedMessage, McpStatusChange, Message,
    MirrorErrorMessage, Outcome, OutcomeKind, OversizeMessage, PermissionDeniedMessage, PlanModeMessage, Prompt,
    PromptSuggestion, RateLimitEvent, RedactedThinkingBlock, RequestProgressMessage, ResultMessage,
    ServerToolResultBlock, ServerToolUseBlock, SessionState, SessionStateMessage, StateChanged, StatusMessage,
    StrayText, StreamEvent, SystemMessage, SystemText, TaskNotificationMessage, TaskProgressMessage,
    TaskStartedMessage, TaskUpdatedMessage, TextBlock, ThinkingBlock, ToolProgress, ToolResultBlock, ToolUseBlock,
    ToolUseSummary, TranscriptMirror, TurnAccepted, TurnEnded, TurnStarted, UnknownBlock, UnknownMessage, UserBody,
    UserMessage, WorkReportMessage, text, text_delta,
)
from triologue.options import Deadlines, Limits, Options
from triologue.ports import Agent, Carrier, Command, Connection, Exit, Model, ModelReply, ModelRequest, Sink, ToolSpec
from triologue.sdk import Client, Query, query
from triologue.tools import ToolDefinition

__all__ = [
    "ActiveGoal", "Agent", "AgentCrashed", "AgentError", "AgentNotFound", "AgentProtocolError", "AgentStartError",
    "ApiRetryMessage", "AssistantBody", "AssistantMessage", "AuthStatus", "BackgroundTasksMessage", "CallerError",
    "Carrier", "ClaudeCode", "Client", "Command", "CommandLifecycle", "CompactBoundaryMessage", "Connection",
    "ContentBlock", "ConversationReset", "Deadlines", "DocumentBlock", "Embedded", "Event", "Exit", "Gap",
    "GoalMessage", "HookEventMessage", "ImageBlock", "InitMessage", "InvalidOption", "LimitError", "Limits",
    "MailboxFull", "MalformedMessage", "ManagerClosed", "ManagerStatistics", "McpStatusChange", "Message",
    "MirrorErrorMessage", "Model", "ModelError", "ModelReply", "ModelRequest", "NotLoggedIn", "OfflineModel",
    "Options", "Outcome", "OutcomeKind", "OversizeMessage", "PermissionDeniedMessage", "PlanModeMessage", "Prompt",
    "PromptSuggestion", "Query", "RateLimitEvent", "RedactedThinkingBlock", "RequestProgressMessage",
    "ResultMessage", "ServerToolResultBlock", "ServerToolUseBlock", "Session", "SessionExists", "SessionFailed",
    "SessionIdInUse", "SessionManager", "SessionNotFound", "SessionState", "SessionStateMessage",
    "SessionStatistics", "Sink", "StateChanged", "StatusMessage", "StoreError", "StrayText", "StreamEvent",
    "Subscription", "SystemMessage", "SystemText", "TaskNotificationMessage", "TaskProgressMessage",
    "TaskStartedMessage", "TaskUpdatedMessage", "TextBlock", "ThinkingBlock", "ToolDefinition", "ToolProgress",
    "ToolResultBlock", "ToolSpec", "ToolUseBlock", "ToolUseSummary", "TranscriptMirror", "Transcripts",
    "TriologueError", "Turn", "TurnAccepted", "TurnCancelled", "TurnEnded", "TurnError", "TurnFailed",
    "TurnInterrupted", "TurnLost", "TurnStarted", "UnknownBlock", "UnknownMessage", "UnsupportedOption",
    "UnsupportedRequest", "UserBody", "UserMessage", "WorkReportMessage", "open_manager", "query", "text",
    "text_delta",
]
