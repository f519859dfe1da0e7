"""System frames: what an agent tells about itself, by `subtype`."""

from typing import Any

from msgspec import field

from triologue.messages.message import Message


class SystemMessage(Message, tag="system", kw_only=True):
    """A system frame; every field of it is in `data`. Subtypes with a known shape have a class of their own."""

    subtype: str
    session_id: str | None = None
    uuid: str | None = None
    sdk_host_only: bool | None = None
    """Meant for this host, not for its users."""


class InitMessage(SystemMessage, tag="system", kw_only=True):
    """`init`: what the agent is and has. Claude Code sends one at the start of every turn."""

    cwd: str | None = None
    model: str | None = None
    tools: list[str] | None = None
    mcp_servers: list[Any] | None = None
    permission_mode: str | None = field(default=None, name="permissionMode")
    slash_commands: list[Any] | None = None
    api_key_source: str | None = field(default=None, name="apiKeySource")
    claude_code_version: str | None = None
    qodercli_version: str | None = None
    protocol_version: str | None = None
    output_style: str | None = None
    agents: list[Any] | None = None
    skills: list[Any] | None = None
    plugins: list[Any] | None = None
    capabilities: list[str] | None = None

    @property
    def betas(self) -> list[str] | None:
        """The beta features that are on (Cortex)."""
        return self.data.get("betas")


class TaskStartedMessage(SystemMessage, tag="system", kw_only=True):
    """`task_started`: a background task or sub-agent began."""

    task_id: str
    description: str
    tool_use_id: str | None = None
    task_type: str | None = None
    subagent_type: str | None = None
    workflow_name: str | None = None
    prompt: str | None = None

    @property
    def tools(self) -> list[str] | None:
        """The tools that it has (Qoder)."""
        return self.data.get("tools")


class TaskProgressMessage(SystemMessage, tag="system", kw_only=True):
    """`task_progress`: how far a task is; `usage` has `total_tokens`, `tool_uses` and `duration_ms`."""

    task_id: str
    description: str
    usage: dict[str, Any] | None = None
    tool_use_id: str | None = None
    last_tool_name: str | None = None
    summary: str | None = None
    subagent_type: str | None = None


class TaskNotificationMessage(SystemMessage, tag="system", kw_only=True):
    """`task_notification`: a task ended (`completed`, `failed` or `stopped`)."""

    task_id: str
    status: str
    output_file: str
    summary: str
    tool_use_id: str | None = None
    usage: dict[str, Any] | None = None


class TaskUpdatedMessage(SystemMessage, tag="system", kw_only=True):
    """`task_updated`: fields of a task changed; its end may come only here."""

    task_id: str
    patch: dict[str, Any]

    @property
    def status(self) -> str | None:
        """The task's new status, if that changed: `pending running paused completed failed killed`."""
        status = self.patch.get("status")
        return status if isinstance(status, str) else None


class BackgroundTasksMessage(SystemMessage, tag="system", kw_only=True):
    """`background_tasks_changed`: the full list of tasks that run now."""

    tasks: list[Any]


class SessionStateMessage(SystemMessage, tag="system", kw_only=True):
    """`session_state_changed`: `idle`, `running` or `requires_action`. After `idle` nothing more is owed."""

    state: str


class StatusMessage(SystemMessage, tag="system", kw_only=True):
    """`status`: `requesting`, `compacting` or None; also tells a change of permission mode."""

    status: str | None = None
    permission_mode: str | None = field(default=None, name="permissionMode")
    compact_result: Any = None
    compact_error: str | None = None


class CompactBoundaryMessage(SystemMessage, tag="system", kw_only=True):
    """`compact_boundary`: what was said before is now a summary."""

    compact_metadata: dict[str, Any]


class HookEventMessage(SystemMessage, tag="system", kw_only=True):
    """`hook_started`, `hook_progress`, `hook_response`: a hook from the settings runs."""

    hook_id: str
    hook_name: str
    hook_event: str
    stdout: str | None = None
    stderr: str | None = None
    output: str | None = None
    exit_code: int | None = None
    outcome: str | None = None

    @property
    def hook_event_name(self) -> str:
        """`hook_event`, under the name that the vendor's SDK gives it."""
        return self.hook_event


class PermissionDeniedMessage(SystemMessage, tag="system", kw_only=True):
    """`permission_denied`: a tool was refused by rule, and nobody was asked."""

    tool_name: str
    tool_use_id: str
    message: str
    agent_id: str | None = None
    decision_reason_type: str | None = None
    decision_reason: str | None = None


class ApiRetryMessage(SystemMessage, tag="system", kw_only=True):
    """`api_retry`: the model could not be reached; the agent tries again after `retry_delay_ms` milliseconds."""

    attempt: int
    max_retries: int
    retry_delay_ms: float
    error_status: int | None = None
    error: str | None = None


class RequestProgressMessage(SystemMessage, tag="system", kw_only=True):
    """`control_request_progress`: a control request takes its time."""

    request_id: str
    status: str


class MirrorErrorMessage(SystemMessage, tag="system", kw_only=True):
    """`mirror_error`: the transcript could not be mirrored."""

    error: str
    key: Any = None


class GoalMessage(SystemMessage, tag="system", kw_only=True):
    """The goal that is worked on changed (Qoder)."""

    goal: dict[str, Any] | None = None
    goal_id: str | None = None
    reason: str | None = None


class GoalUpdatedMessage(GoalMessage, tag="system", kw_only=True):
    """`goal_updated` (Qoder)."""


class GoalClearedMessage(GoalMessage, tag="system", kw_only=True):
    """`goal_cleared` (Qoder)."""


class PlanModeMessage(SystemMessage, tag="system", kw_only=True):
    """`plan_mode_changed` (Qoder)."""

    plan_mode: dict[str, Any]


class WorkReportMessage(SystemMessage, tag="system", kw_only=True):
    """What a side job did (Qoder)."""

    result: Any


class MemoryGenerationMessage(WorkReportMessage, tag="system", kw_only=True):
    """`memory_generation` (Qoder): what was written down."""


class MemoryConsumptionMessage(WorkReportMessage, tag="system", kw_only=True):
    """`memory_consumption` (Qoder): what was read of it."""


class SkillEvolutionMessage(WorkReportMessage, tag="system", kw_only=True):
    """`skill_evolution` (Qoder): what a review of skills suggests."""


SYSTEM_TYPES: dict[str, type[SystemMessage]] = {
    "init": InitMessage,
    "task_started": TaskStartedMessage,
    "task_progress": TaskProgressMessage,
    "task_notification": TaskNotificationMessage,
    "task_updated": TaskUpdatedMessage,
    "background_tasks_changed": BackgroundTasksMessage,
    "session_state_changed": SessionStateMessage,
    "status": StatusMessage,
    "compact_boundary": CompactBoundaryMessage,
    "hook_started": HookEventMessage,
    "hook_progress": HookEventMessage,
    "hook_response": HookEventMessage,
    "permission_denied": PermissionDeniedMessage,
    "api_retry": ApiRetryMessage,
    "control_request_progress": RequestProgressMessage,
    "mirror_error": MirrorErrorMessage,
    "goal_updated": GoalUpdatedMessage,
    "goal_cleared": GoalClearedMessage,
    "plan_mode_changed": PlanModeMessage,
    "memory_generation": MemoryGenerationMessage,
    "memory_consumption": MemoryConsumptionMessage,
    "skill_evolution": SkillEvolutionMessage,
}
"""The class of each subtype with a known shape; the others are plain `SystemMessage`."""
