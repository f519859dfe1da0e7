"""What the host asks of its agent, beside the conversation."""

from typing import Any

from msgspec import field

from triologue.messages.requests.request import Request


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


class GetModels(Request, tag="get_models"):
    """Which models there are to choose from (Qoder)."""


class GetUsageInfo(Request, tag="get_usage_info"):
    """What the account has used, and what is left (Qoder)."""


class GetByokConfig(Request, tag="get_byok_config"):
    """The providers for whose models one's own keys can be used (Qoder)."""


class ReloadPlugins(Request, tag="reload_plugins"):
    """Read the plugins' folders again."""


class ListPlugins(Request, tag="list_plugins"):
    """Which plugins are loaded (Qoder)."""


class FlushMemory(Request, tag="flush_memory"):
    """Write down now what is to be remembered (Qoder)."""


class RefreshMemory(Request, tag="refresh_memory"):
    """Read again what is remembered (Qoder)."""


class FlushSkillEvolution(Request, tag="flush_skill_evolution"):
    """Finish the review of skills that is due (Qoder)."""

    type: str = field(default_factory=lambda: "flush_skill_evolution")  # a factory, because it is always written


class SetProxy(Request, tag="set_proxy"):
    """Change the network proxy (Qoder)."""

    proxy: str | None = field(default_factory=lambda: None)


class SetPlanMode(Request, tag="set_plan_mode"):
    """Switch plan mode (Qoder)."""

    active: bool


class GetPlanMode(Request, tag="get_plan_mode"):
    """Whether plan mode is on (Qoder)."""


class SetGoal(Request, tag="set_goal"):
    """Set the goal to work on (Qoder)."""

    objective: str | None = None
    status: str | None = None
    credits_budget: float | None = None


class GetGoal(Request, tag="get_goal"):
    """The goal that is worked on (Qoder)."""


class ClearGoal(Request, tag="clear_goal"):
    """Work on no goal any more (Qoder)."""


class SideQuestion(Request, tag="side_question"):
    """Ask something beside the turn (Qoder)."""

    question: str
    history: list[Any] | None = None
