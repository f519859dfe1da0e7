"""How an agent works, under the vendors' names."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from triologue.options.callbacks import (
    CanUseToolCallback,
    HookMatcher,
    OnElicitation,
    OnMcpOauthRequired,
    OnMcpStatusChange,
    ResolveModel,
)

if TYPE_CHECKING:  # options are data; only the type of one of them is trio's
    import trio

SystemPrompt: TypeAlias = "str | dict[str, Any] | None"
# Not only the last of them: a checker takes no dict[str, str] for it, because we might write a None into that.
Variables: TypeAlias = "dict[str, str] | dict[str, None] | dict[str, str | None]"


class Options(Struct, kw_only=True):
    """How an agent works, under the vendors' names. Mutable, and copied at use.

    What an agent does not have raises `UnsupportedOption` before anything starts.
    """

    # Which conversation.
    session_id: str | None = None
    """The id that a new conversation gets (a UUID), or that a fork gets."""
    resume: str | None = None
    """Go on with the conversation of this id."""
    continue_conversation: bool = False
    """Go on with the latest conversation of `cwd`, or start one (`Session.resume_outcome` tells which; Qoder refuses)."""
    fork_session: bool = False
    """With `resume` or `continue_conversation`: go on in a copy; the original stays as it is."""
    resume_session_at: str | None = None
    """With `resume`: only up to and including the message with this uuid."""
    resume_drops_turn: str | None = None
    """With `resume_session_at`: the uuid of the one prompt whose turn that cuts off; anything else is refused."""

    # How far.
    max_turns: int | None = None
    """Round trips with the model that one prompt may take."""
    max_budget_usd: float | None = None
    """US dollars that the agent's process may spend."""
    task_budget: dict[str, Any] | None = None
    """`{"total": tokens}`: what the model is told that it may use in all (Claude Code)."""

    # Who answers, and with what.
    model: str | None = None
    fallback_model: str | None = None
    system_prompt: SystemPrompt = None
    """None: the agent's own. A str replaces it; `{"type": "preset", "append": ...}` adds to it."""
    append_system_prompt: str | None = None
    """Added to the agent's own system prompt (Cortex Code)."""
    effort: str | None = None
    max_thinking_tokens: int | None = None
    thinking: dict[str, Any] | None = None
    betas: list[str] = field(default_factory=list)
    output_format: dict[str, Any] | None = None
    """`{"type": "json_schema", "schema": {...}}`."""
    include_partial_messages: bool = False
    """Also give `StreamEvent`s, the pieces of a reply while it is made."""
    include_hook_events: bool = False
    """Also tell when hooks of the settings files begin and end (Claude Code, Qoder)."""
    forward_subagent_text: bool = False
    """Also give what sub-agents say and think, and not only their tools (Claude Code, built-in)."""
    custom_context: dict[str, str] | None = None
    """Opaque business ids that go with every prompt (Qoder)."""
    verbatim_prompts: bool | None = None
    """Prompts reach the model as written: no slash command, no `@path` expansion. None: where the agent can."""

    # What it may do.
    tools: list[str] | dict[str, Any] | None = None
    """The agent's own tools: names, `[]` for none, None for its default."""
    allowed_tools: list[str] = field(default_factory=list)
    """Permission rules for tools that may run without being asked about."""
    disallowed_tools: list[str] = field(default_factory=list)
    permission_mode: str | None = None
    plan_mode: bool | None = None
    """Begin in plan mode, whatever the permission mode is (Qoder)."""
    allow_dangerously_skip_permissions: bool = False
    """Confirm a permission mode that asks for nothing (Qoder, Cortex Code)."""
    permission_prompt_tool_name: str | None = None
    """The MCP tool that answers permission requests; `stdio`: this host, which `can_use_tool` implies."""
    can_use_tool: CanUseToolCallback | None = None
    """Answers each permission request: `await can_use_tool(tool_name, input, context)`."""
    hooks: dict[str, list[HookMatcher]] | None = None
    """Callbacks by event (`PreToolUse`, `Stop` ...)."""
    mcp_servers: dict[str, Any] | str | Path | None = None
    """By name: a vendor's config dict, a server of `create_sdk_mcp_server` or a list of tools, which live in this
    process; or a path or JSON text for the agent's program."""
    strict_mcp_config: bool = False
    allowed_mcp_server_names: list[str] = field(default_factory=list)
    """Only these MCP servers are shown to the model (Qoder)."""
    no_mcp: bool = False
    """No MCP servers at all (Cortex Code)."""
    agents: dict[str, Any] | None = None
    """Sub-agents by name."""
    agent: str | None = None
    """The one of `agents` that leads the conversation (Qoder)."""
    skills: list[str] | Literal["all"] | None = None
    """The skills that the model is offered (Claude Code, Qoder)."""
    plugins: list[dict[str, Any]] = field(default_factory=list)
    sandbox: dict[str, Any] | None = None
    """Settings of the agent's own sandbox (Claude Code)."""
    snowflake_sandbox: dict[str, Any] | None = None
    """`{"enabled": True}`: run in the server-side sandbox (Cortex Code)."""

    # Where.
    cwd: str | Path | None = None
    add_dirs: list[str | Path] = field(default_factory=list)
    env: Variables = field(default_factory=dict[str, str])
    """Added to the environment that the agent's process gets; None takes a variable away (Qoder)."""
    user: str | int | None = None
    """The OS user that the agent's process runs as, by name or id; for programs that run as root. `HOME` and the
    rest of the environment stay as they are."""
    cli_path: str | Path | None = None
    connection: str | None = None
    """The Snowflake connection by name (Cortex Code)."""
    profile: str | None = None
    """The profile by name (Cortex Code)."""
    proxy: str | None = None
    """The proxy for the agent's own network traffic (Qoder)."""
    vpc_endpoint: str | None = None
    """The private deployment to talk to (Qoder)."""
    settings: str | Path | dict[str, Any] | None = None
    """A settings file, or its content as JSON text or a dict."""
    setting_sources: list[str] | None = None
    extra_args: dict[str, str | None] = field(default_factory=dict)
    """More command-line flags, without their dashes; None for a flag without a value."""
    enable_file_checkpointing: bool = False
    security_scan: dict[str, Any] | None = None
    """Which code security scans run (Qoder)."""
    memory: dict[str, Any] | None = None
    """How memory is written, and who says when (Qoder)."""
    evolution: dict[str, Any] | None = None
    """How skills are reviewed, and who says when (Qoder)."""

    # Who is told.
    stderr: Callable[[str], None] | None = None
    """Called with each line that the agent's process writes to stderr."""
    on_elicitation: OnElicitation | None = None
    """Answers what an MCP server wants from the user."""
    on_mcp_oauth_required: OnMcpOauthRequired | None = None
    """Logs in to an MCP server (Qoder)."""
    on_mcp_status_change: OnMcpStatusChange | None = None
    """Called when an MCP server connects or fails (Qoder)."""
    on_auth_expired: Callable[[], Any] | None = None
    """Called once, when the agent's account is no longer good (Qoder)."""
    resolve_model: ResolveModel | None = None
    """Chooses the model before each call of it (Qoder)."""
    resolve_model_timeout_ms: int = 500
    """What `resolve_model` may take, in milliseconds."""
    client_app: str | None = None
    """What the host calls itself in the agent's user agent (Claude Code)."""
    abort_event: "trio.Event | None" = None
    """When it is set, the running turn is interrupted; the session lives on."""

    def copy(self) -> Self:
        """An independent copy: containers are copied, callables and events are the same."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, value in values.items():
            if isinstance(value, list | dict):
                values[name] = type(value)(value)
        return type(self)(**values)

    def over(self, base: "Options") -> "Options":
        """These options on top of others: a field that is set here wins."""
        merged = base.copy()
        fresh = Options()
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value != getattr(fresh, name):
                setattr(merged, name, value)
        return merged

    def named(self) -> dict[str, Any]:
        """The fields that differ from their default."""
        fresh = type(self)()
        return {
            name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) != getattr(fresh, name)
        }


IDENTITY = (
    "session_id",
    "resume",
    "continue_conversation",
    "fork_session",
    "resume_session_at",
    "resume_drops_turn",
)
"""The options that say which conversation is meant."""


_NO_IDENTITY = {name: getattr(Options(), name) for name in IDENTITY}


def without_identity(options: Options) -> Options:
    """The same, but for naming no conversation. The containers in it are shared: there is one for each live session."""
    return replace(options, **_NO_IDENTITY)
