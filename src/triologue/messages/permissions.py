"""What a permission request is answered with, under the vendors' names."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field


class PermissionRuleValue(Struct, kw_only=False):
    """One rule: a tool, and what of it (`"Bash"`, `"git status:*"`)."""

    tool_name: str = field(name="toolName")
    rule_content: str | None = field(default=None, name="ruleContent")


class PermissionUpdate(Struct, omit_defaults=True):
    """A change of the agent's permission rules, folders or mode."""

    type: Literal["addRules", "replaceRules", "removeRules", "setMode", "addDirectories", "removeDirectories"]
    rules: list[PermissionRuleValue] | None = None
    behavior: Literal["allow", "deny", "ask"] | None = None
    mode: str | None = None
    directories: list[str] | None = None
    destination: Literal["userSettings", "projectSettings", "localSettings", "session", "cliArg"] | None = None


class PermissionResultAllow(Struct):
    """The tool may run."""

    behavior: Literal["allow"] = "allow"
    updated_input: dict[str, Any] | None = None
    """What it runs with; None: what was asked for."""
    updated_permissions: list[PermissionUpdate | dict[str, Any]] | None = None
    """Changes of the agent's rules, often the request's own `suggestions`."""


class PermissionResultDeny(Struct):
    """The tool may not run."""

    behavior: Literal["deny"] = "deny"
    message: str = ""
    """Why, for the model."""
    interrupt: bool = False
    """Stop the turn too."""


PermissionResult: TypeAlias = PermissionResultAllow | PermissionResultDeny
