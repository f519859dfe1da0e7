"""What the agent asks of its host while it works."""

from typing import Any

from msgspec import field

from triologue.messages.requests.request import Request


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
    classifier_approvable: bool | None = None
    suppress_always_allow_rule: bool | None = None
    default_to_no: bool | None = None
    matched_ask_rule: Any = None
    requires_user_interaction: bool | None = None
    title: str | None = None
    agent_id: str | None = None
    mcp_server: Any = None
    permission_kind: str | None = None
    options: Any = None
    details: Any = None
    """What is asked about (Qoder); of a plan: `{"type", "planPath", "planContent"}`."""
    plan_path: str | None = None
    plan_content: str | None = None


class HookCallback(Request, tag="hook_callback"):
    """Agent to host: a hook that `initialize` registered fires."""

    callback_id: str
    input: dict[str, Any]
    tool_use_id: str | None = None
    hook_event: str | None = None


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
    agent_id: str | None = field(default=None, name="agentId")
    agent_type: str | None = field(default=None, name="agentType")
    resolved_model: str | None = field(default=None, name="resolvedModel")
    models: list[Any] | None = None
    """What there is to choose from."""
    context_usage: Any = field(default=None, name="contextUsage")
    estimated_input_tokens: float | None = field(default=None, name="estimatedInputTokens")
    estimated_output_tokens: float | None = field(default=None, name="estimatedOutputTokens")
    retry: Any = None
    """After a failure: `{"attempt", "lastError", "lastModelId"}`."""


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
