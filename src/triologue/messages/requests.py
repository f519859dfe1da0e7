"""What either end asks of the other, beside the conversation: one class for each subtype."""

from typing import Any, TypeAlias

from msgspec import Struct, field


class Request(Struct, kw_only=True, gc=False, omit_defaults=True, tag_field="subtype"):
    """What is asked for, tagged by `subtype`."""


class Initialize(Request, tag="initialize"):
    """Host to agent, first: what this host offers and wants."""

    hooks: dict[str, Any] | None = field(default_factory=lambda: None)  # a factory: `null` is written, as SDKs do
    agents: dict[str, Any] | None = None
    skills: list[str] | None = None
    exclude_dynamic_sections: bool | None = field(default=None, name="excludeDynamicSections")
    system_prompt_snapshot: Any = field(default=None, name="systemPromptSnapshot")
    forward_subagent_text: bool | None = field(default=None, name="forwardSubagentText")
    system_prompt: Any = field(default=None, name="systemPrompt")
    append_system_prompt: str | None = field(default=None, name="appendSystemPrompt")
    setting_sources: list[str] | None = field(default=None, name="settingSources")
    sdk_managed_permissions: bool | None = field(default=None, name="sdkManagedPermissions")
    sdk_mcp_servers: list[str] | None = field(default=None, name="sdkMcpServers")
    mcp_servers: dict[str, Any] | None = field(default=None, name="mcpServers")
    sdk_mcp_tool_definitions: dict[str, Any] | None = field(default=None, name="sdkMcpToolDefinitions")
    enable_file_checkpointing: bool | None = field(default=None, name="enableFileCheckpointing")
    model_policy_provider: bool | None = field(default=None, name="modelPolicyProvider")
    initialize_timeout_ms: float | None = field(default=None, name="initializeTimeoutMs")
    supports_catalog_ready_initialize: bool | None = field(default=None, name="supportsCatalogReadyInitialize")
    memory: dict[str, Any] | None = None
    evolution: dict[str, Any] | None = None
    sdk_mcp_server_configs: Any = field(default=None, name="sdkMcpServerConfigs")
    sdk_mcp_server_manifests: Any = field(default=None, name="sdkMcpServerManifests")
    json_schema: dict[str, Any] | None = field(default=None, name="jsonSchema")
    plan_mode_instructions: str | None = field(default=None, name="planModeInstructions")
    tool_aliases: dict[str, Any] | None = field(default=None, name="toolAliases")
    title: str | None = None
    prompt_suggestions: bool | None = field(default=None, name="promptSuggestions")
    agent_progress_summaries: bool | None = field(default=None, name="agentProgressSummaries")
    supported_dialog_kinds: list[str] | None = field(default=None, name="supportedDialogKinds")
    per_task_stop_affordance: bool | None = field(default=None, name="perTaskStopAffordance")
    plugins: list[Any] | None = None


class Interrupt(Request, tag="interrupt"):
    """Stop the running turn; with `cancel_queued` also drop the prompts that wait inside the agent."""

    cancel_queued: bool | None = None


class SetPermissionMode(Request, tag="set_permission_mode"):
    """Change the permission mode from now on."""

    mode: str
    preserve_plan_mode: bool | None = field(default=None, name="preservePlanMode")


class SetModel(Request, tag="set_model"):
    """Change the model from now on; None goes back to the default."""

    model: str | None = field(default_factory=lambda: None)


class SetMaxThinkingTokens(Request, tag="set_max_thinking_tokens"):
    """Bound the model's thinking."""

    max_thinking_tokens: int | None = field(default_factory=lambda: None)


class McpStatus(Request, tag="mcp_status"):
    """Which MCP servers are connected."""


class McpReconnect(Request, tag="mcp_reconnect"):
    """Connect one MCP server again."""

    server_name: str = field(name="serverName")


class McpToggle(Request, tag="mcp_toggle"):
    """Switch one MCP server on or off."""

    server_name: str = field(name="serverName")
    enabled: bool


class McpSetServers(Request, tag="mcp_set_servers"):
    """Replace the set of MCP servers."""

    servers: dict[str, Any]


class McpAuthenticate(Request, tag="mcp_authenticate"):
    """Begin an MCP server's log-in."""

    server_name: str = field(name="serverName")
    redirect_uri: str | None = field(default=None, name="redirectUri")


class McpOauthCallback(Request, tag="mcp_oauth_callback_url"):
    """Hand on the URL that an MCP log-in came back to."""

    server_name: str = field(name="serverName")
    callback_url: str = field(name="callbackUrl")


class McpInjectToken(Request, tag="mcp_inject_token"):
    """Give an MCP server a token."""

    server_name: str = field(name="serverName")
    token: dict[str, Any]


class McpClearAuth(Request, tag="mcp_clear_auth"):
    """Forget an MCP server's log-in."""

    server_name: str = field(name="serverName")


class StopTask(Request, tag="stop_task"):
    """Stop one background task."""

    task_id: str


class BackgroundTasks(Request, tag="background_tasks"):
    """Send what runs in the foreground to the background."""

    tool_use_id: str | None = None


class CancelAsyncMessage(Request, tag="cancel_async_message"):
    """Drop a prompt that waits inside the agent."""

    message_uuid: str


class RewindFiles(Request, tag="rewind_files"):
    """Put files back as they were at a prompt."""

    user_message_id: str
    dry_run: bool | None = None


class Rewind(Request, tag="rewind"):
    """Go back to a prompt: conversation, files or both (Qoder)."""

    user_message_id: str
    scope: str
    dry_run: bool | None = None


class GetContextUsage(Request, tag="get_context_usage"):
    """How full the model's context is."""

    mode: str | None = None


class ApplyFlagSettings(Request, tag="apply_flag_settings"):
    """Change settings for this session."""

    settings: dict[str, Any]


class SetProxy(Request, tag="set_proxy"):
    """Change the network proxy (Qoder)."""

    proxy: str | None = field(default_factory=lambda: None)


class SetPlanMode(Request, tag="set_plan_mode"):
    """Switch plan mode (Qoder)."""

    active: bool


class SetGoal(Request, tag="set_goal"):
    """Set the goal to work on (Qoder)."""

    objective: str | None = None
    status: str | None = None
    credits_budget: float | None = None


class SideQuestion(Request, tag="side_question"):
    """Ask something beside the turn (Qoder)."""

    question: str
    history: list[Any] | None = None


class CanUseTool(Request, tag="can_use_tool"):
    """Agent to host: may this tool run with this input?"""

    tool_name: str
    input: dict[str, Any]
    tool_use_id: str | None = None
    display_name: str | None = None
    description: str | None = None
    permission_suggestions: list[Any] | None = None
    blocked_path: str | None = None
    decision_reason: Any = None
    decision_reason_type: str | None = None
    requires_user_interaction: bool | None = None
    title: str | None = None
    agent_id: str | None = None
    permission_kind: str | None = None
    options: Any = None
    details: Any = None


class HookCallback(Request, tag="hook_callback"):
    """Agent to host: a hook that `initialize` registered fires."""

    callback_id: str
    input: dict[str, Any]
    tool_use_id: str | None = None


class McpMessage(Request, tag="mcp_message"):
    """Agent to host: one JSON-RPC message for an MCP server that lives in the host."""

    server_name: str
    message: dict[str, Any]


class McpToolCall(Request, tag="mcp_tool_call"):
    """Agent to host: call a tool of an MCP server that lives in the host (Cortex)."""

    server_name: str
    tool_name: str
    arguments: dict[str, Any]
    tool_use_id: str | None = None


class Elicitation(Request, tag="elicitation"):
    """Agent to host: an MCP server wants something from the user."""

    mcp_server_name: str
    message: str
    mode: str | None = None
    url: str | None = None
    elicitation_id: str | None = None
    requested_schema: dict[str, Any] | None = None
    title: str | None = None
    display_name: str | None = None
    description: str | None = None


class RequestUserDialog(Request, tag="request_user_dialog"):
    """Agent to host: show the user a dialog."""

    dialog_kind: str
    payload: Any = None
    tool_use_id: str | None = None


class McpOauthRequired(Request, tag="mcp_oauth_required"):
    """Agent to host: an MCP server needs a log-in (Qoder)."""

    server_name: str
    auth_url: str
    state: str | None = None
    scopes: list[str] | None = None
    redirect_uri: str | None = None


class GetModelPolicy(Request, tag="get_model_policy"):
    """Agent to host: which model should this call use (Qoder)?"""

    purpose: str
    session_id: str | None = field(default=None, name="sessionId")
    turn_index: int | None = field(default=None, name="turnIndex")


class FetchJobToken(Request, tag="fetch_job_token"):
    """Agent to host: a fresh job token, please (Qoder)."""

    reason: str
    session_id: str | None = None


class FetchServiceAccountToken(Request, tag="fetch_service_account_token"):
    """Agent to host: a fresh service-account token, please (Qoder)."""

    reason: str
    session_id: str | None = None
    required_scopes: list[str] | None = None


class MemoryShouldGenerate(Request, tag="memory_should_generate"):
    """Agent to host: should memory be written now (Qoder)?"""

    callback_id: str = field(name="callbackId")
    input: dict[str, Any]


class SkillEvolutionShouldReview(Request, tag="skill_evolution_should_review"):
    """Agent to host: should skills be reviewed now (Qoder)?"""

    callback_id: str = field(name="callbackId")
    input: dict[str, Any]


class UnknownRequest(Request, tag="#unknown"):
    """A request of a subtype without a class of its own; on the wire it is `body`.

    Sending one is how to use a subtype whose shape is its agent's own affair (`get_settings`, `list_models` ...).
    """

    body: dict[str, Any]

    @property
    def subtype(self) -> str:
        """The subtype it was sent with (some of Qoder's carry it under `type`), or `""`."""
        subtype = self.body.get("subtype") or self.body.get("type")
        return subtype if isinstance(subtype, str) else ""


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
    | SetProxy
    | SetPlanMode
    | SetGoal
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
