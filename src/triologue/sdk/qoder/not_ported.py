"""The names of Qoder's SDK that have no counterpart here."""

from triologue.sdk.vendor.missing import STORE_NAMES, STORES, TRANSPORT

_CLOUD = "the cloud runtime is no program on this machine; this face talks to the `qodercli` program"
_PLUGINS = "run `qodercli plugin`; a conversation takes plugins by their folders, in QoderAgentOptions(plugins=[...])"
_SETTINGS = "read the settings file, and take `permissions.defaultMode` out of it"

NOT_PORTED = {
    "Transport": TRANSPORT,
    **dict.fromkeys(STORE_NAMES, STORES),
    **dict.fromkeys(
        (
            "CloudAgentEventMessage",
            "AgentCreateParams",
            "BetaManagedAgentsAgentToolName",
            "BetaManagedAgentsAgentToolset20260401Params",
            "BetaManagedAgentsCustomSkillParams",
            "BetaManagedAgentsFileResourceParams",
            "BetaManagedAgentsModel",
            "BetaManagedAgentsSkillParams",
            "BetaManagedAgentsURLMCPServerParams",
            "CloudAgentOptions",
            "CloudAgentReference",
            "CloudAgentStreamOptions",
            "CloudSessionCreateParams",
            "CloudSessionCreateReference",
            "CloudSessionExistingReference",
            "CloudSessionReference",
            "CloudSessionResource",
            "SessionCreateParams",
            "CloudAgentApiError",
            "CloudAgentUnsupportedAuthError",
        ),
        _CLOUD,
    ),
    **dict.fromkeys(
        (
            "InstallPluginResult",
            "UninstallPluginResult",
            "PluginValidationSeverity",
            "PluginValidationPhase",
            "PluginValidationPosition",
            "PluginValidationRange",
            "PluginValidationLocation",
            "PluginValidationDiagnostic",
            "PluginValidationValidator",
            "PluginValidationTarget",
            "PluginValidationPlugin",
            "PluginValidationSummary",
            "PluginValidationReport",
            "list_plugins",
            "enable_plugin",
            "disable_plugin",
            "install_plugin",
            "uninstall_plugin",
            "validate_plugin",
            "PluginError",
        ),
        _PLUGINS,
    ),
    **dict.fromkeys(("ResolvedSettings", "ResolvedSettingsSource", "filter_escalating_default_mode"), _SETTINGS),
}
"""Names without a counterpart here: why, and what to do instead."""
