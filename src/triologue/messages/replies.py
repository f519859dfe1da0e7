"""What agents answer to the requests of `Session` and `Client`, under the vendors' names; read by `wire.read_reply`."""

from typing import Any

from msgspec import Struct, field


class ControlReply(Struct, kw_only=True, gc=False):
    """An answer, or a part of one. What an agent left out, or said oddly, has its default."""

    data: dict[str, Any] = field(default_factory=dict, name="#data")
    """The whole of it as it came, with the fields that have no name here."""

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The same, with what another vendor calls differently under the names of this class."""
        return data

    def __eq__(self, other: object) -> bool:
        """Compare what is said; `data` is provenance."""
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "data")

    __hash__ = None  # type: ignore[assignment]  # as for any mutable value


# MCP servers.


class McpToolInfo(ControlReply):
    """A tool of an MCP server."""

    name: str = ""
    description: str | None = None
    annotations: dict[str, Any] | None = None


class McpServerStatus(ControlReply, rename="camel"):
    """One MCP server, as the agent sees it."""

    name: str = ""
    status: str = ""
    """`connected failed needs-auth pending disabled`; Qoder also `connecting`, Cortex Code `remote`."""
    server_info: dict[str, Any] | None = None
    """`{"name", "version"}`, from its handshake."""
    error: str | None = None
    config: dict[str, Any] | None = None
    scope: str | None = None
    tools: list[McpToolInfo] | None = None


class McpStatusResponse(ControlReply, rename="camel"):
    """Every MCP server that the agent knows."""

    mcp_servers: list[McpServerStatus] = field(default_factory=list)

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Qoder calls the list `servers`."""
        return {"mcpServers": data.get("servers"), **data}


class McpSetServersResult(ControlReply):
    """What became of a new set of MCP servers."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """By server; one that failed does not keep the others from being set."""


class McpAuthentication(ControlReply, rename="camel"):
    """How an MCP server's log-in goes on."""

    auth_url: str | None = None
    """The page where the user agrees."""
    requires_user_action: bool = False
    """Open `auth_url`; else the log-in is done already."""

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """An agent that says no more than the address wants it to be opened."""
        return {"requiresUserAction": bool(data.get("authUrl")), **data}


# The conversation.


class ContextUsageCategory(ControlReply, rename="camel"):
    """What takes up a part of the context window."""

    name: str = ""
    tokens: int | None = None
    """None: the agent tells only the percentage (Qoder)."""
    percentage: float | None = None
    color: str | None = None
    is_deferred: bool = False

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Qoder calls the name `type`."""
        return {"name": data.get("type"), **data}


class ContextUsageResponse(ControlReply, rename="camel"):
    """How full the model's context window is. The vendors tell different things; the rest is in `data`."""

    model: str | None = None
    percentage: float | None = None
    """Of the window, 0 to 100."""
    total_tokens: int | None = None
    """In the window; None: the agent does not tell tokens (Qoder)."""
    max_tokens: int | None = None
    raw_max_tokens: int | None = None
    categories: list[ContextUsageCategory] = field(default_factory=list)
    is_auto_compact_enabled: bool | None = None
    memory_files: list[dict[str, Any]] = field(default_factory=list)
    mcp_tools: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Qoder has two of these one level down."""
        window, compact = data.get("contextWindow"), data.get("autoCompact")
        found: dict[str, Any] = {}
        if isinstance(window, dict):
            found["percentage"] = window.get("usedPercentage")
        if isinstance(compact, dict):
            found["isAutoCompactEnabled"] = compact.get("enabled")
        return {**found, **data}


class RewindFilesResult(ControlReply, rename="camel"):
    """Which files were put back, or would be."""

    can_rewind: bool = True
    error: str | None = None
    files_changed: list[str] = field(default_factory=list)
    insertions: int | None = None
    deletions: int | None = None


class RewindFileFailure(ControlReply):
    """A file that could not be put back."""

    path: str = ""
    error: str = ""


class RewindResult(ControlReply, rename="camel"):
    """How far a conversation, its files or both were taken back, or would be."""

    status: str = ""
    """`success`; `partial`: all but `failed_files`; of a dry run `ready` or `rejected`."""
    target_user_message_id: str | None = None
    scope: str | None = None
    retained_leaf_id: str | None = None
    """The last message that is left."""
    removed_message_ids: list[str] = field(default_factory=list)
    files_changed: list[str] = field(default_factory=list)
    insertions: int | None = None
    deletions: int | None = None
    failed_files: list[RewindFileFailure] = field(default_factory=list)
    error: str | None = None


class SideQuestionResult(ControlReply):
    """An answer given beside the turn."""

    response: str = ""
    synthetic: bool = False
    """It stands in for an answer that the model did not give."""
    refusal_fallback: dict[str, Any] | None = None
    """Another model answered: `{"original_model", "fallback_model", "content"}`."""


class PlanModeSnapshot(ControlReply):
    """Whether plan mode is on."""

    active: bool = False


class GoalSnapshot(ControlReply):
    """The goal that is worked on."""

    id: str = ""
    objective: str = ""
    status: str = ""
    """`active paused blocked usage_limited budget_limited complete`."""
    turns_used: int = 0
    time_used_seconds: float = 0.0
    created_at: float | None = None
    updated_at: float | None = None
    max_turns: int | None = None
    credits_budget: float | None = None
    credits_used: float | None = None


# The agent.


class ModelInfo(ControlReply, rename="camel"):
    """A model to choose from."""

    value: str = ""
    """For `set_model`."""
    display_name: str = ""
    description: str = ""
    resolved_model: str | None = None
    """What an alias stands for now."""
    is_enabled: bool = True
    supports_effort: bool | None = None
    supported_effort_levels: list[str] = field(default_factory=list)
    is_free: bool | None = None
    is_new: bool | None = None
    price_factor: float | None = None
    context_config: dict[str, Any] | None = field(default=None, name="context_config")
    thinking_config: dict[str, Any] | None = field(default=None, name="thinking_config")
    promotion: dict[str, Any] | None = None


class ServerInfo(ControlReply):
    """What the agent told of itself when it started: the answer to `initialize`."""

    commands: list[dict[str, Any]] = field(default_factory=list)
    """Slash commands: `{"name", "description", "argumentHint"}`."""
    agents: list[dict[str, Any]] = field(default_factory=list)
    """Sub-agents: `{"name", "description", "model"}`."""
    skills: list[dict[str, Any]] = field(default_factory=list)
    models: list[ModelInfo] = field(default_factory=list)
    output_style: str | None = None
    available_output_styles: list[str] = field(default_factory=list)
    account: dict[str, Any] | None = None
    capabilities: list[str] = field(default_factory=list)
    pid: int | None = None
    claude_code_version: str | None = None
    current_permission_mode: str | None = None
    session_state: str | None = None
    memory: dict[str, Any] | None = None
    evolution: dict[str, Any] | None = None

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Qoder calls the mode `permissionMode`."""
        return {"current_permission_mode": data.get("permissionMode"), **data}


class UsageInfo(ControlReply, rename="camel"):
    """What the account has used, and what is left."""

    user_id: str | None = None
    user_type: str | None = None
    total_usage_percentage: float | None = None
    is_quota_exceeded: bool | None = None
    is_highest_tier: bool | None = None
    is_plan_quota_prorated: bool | None = None
    expires_at: float | None = None
    upgrade_url: str | None = None
    user_quota: dict[str, Any] | None = None
    """`{"total", "used", "remaining", "percentage", "unit"}`."""
    add_on_quota: dict[str, Any] | None = None
    org_resource_package: dict[str, Any] | None = None
    session: dict[str, Any] | None = None
    """This session's: `{"total_credits", "model_usage"}`."""
    usage_error: str | None = field(default=None, name="usage_error")
    """Why the account's part is missing."""

    @classmethod
    def adapted(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The account's part is one level down."""
        usage = data.get("usage")
        return {**(usage if isinstance(usage, dict) else {}), **data}


class PluginDetails(ControlReply, rename="camel"):
    """A plugin that is loaded."""

    id: str = ""
    name: str = ""
    source: str = ""
    path: str = ""
    version: str = ""
    scope: str = ""
    enabled: bool = True
    can_disable: bool | None = None
    display_name: str | None = None
    description: str | None = None
    installed_at: str | None = None
    last_updated: str | None = None
    resources: dict[str, Any] | None = None
    """`{"skills", "agents", "mcpServers", "commands", "hooks"}`."""


class ReloadPluginsResponse(ControlReply, rename="camel"):
    """What there is after the plugins were read again."""

    commands: list[dict[str, Any]] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)
    plugins: list[dict[str, Any]] = field(default_factory=list)
    mcp_servers: list[McpServerStatus] = field(default_factory=list)
    error_count: int = field(default=0, name="error_count")
    """Plugins that could not be loaded."""
