"""The first request of a connection: what the host offers and wants."""

from typing import Any

from msgspec import UnsetType, field

from triologue.messages.requests.request import Request


class Initialize(Request, tag="initialize"):
    """Host to agent, first: what this host offers and wants."""

    type: str | None = None
    """`initialize` once more, for an agent that looks for the subtype here (Qoder)."""
    # A factory, so that `null` is written, as SDKs do; UNSET leaves it out, as Qoder's does.
    hooks: dict[str, Any] | UnsetType | None = field(default_factory=lambda: None)
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
