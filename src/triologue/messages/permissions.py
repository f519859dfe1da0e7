"""What a permission request is answered with, under the vendors' names."""

from typing import Any, Literal, Self, TypeAlias

import msgspec
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

    def to_dict(self) -> dict[str, Any]:
        """As it goes on the wire, where nothing may be null and the destination must be said: `session` if it is not."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        if isinstance(rules := plain.get("rules"), list):
            plain["rules"] = [{name: value for name, value in rule.items() if value is not None} for rule in rules]
        return {"destination": "session", **{name: value for name, value in plain.items() if value is not None}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read one from the wire. Raises `msgspec.ValidationError`, a `ValueError`, where it cannot be."""
        return msgspec.convert(data, cls)


class PermissionResultAllow(Struct):
    """The tool may run."""

    behavior: Literal["allow"] = "allow"
    updated_input: dict[str, Any] | None = None
    """What it runs with; None: what was asked for."""
    updated_permissions: list[PermissionUpdate | dict[str, Any]] | None = None
    """Changes of the agent's rules, often the request's own `suggestions`."""
    decision_classification: str | None = None
    """`user_temporary` or `user_permanent` (Qoder)."""
    tool_use_id: str | None = None
    """Need not be given: the answer names the tool call that was asked about."""


class PermissionResultDeny(Struct):
    """The tool may not run."""

    behavior: Literal["deny"] = "deny"
    message: str = ""
    """Why, for the model."""
    interrupt: bool = False
    """Stop the turn too."""
    decision_classification: str | None = None
    """`user_reject` (Qoder)."""
    tool_use_id: str | None = None
    """As for `PermissionResultAllow`."""


PermissionResult: TypeAlias = PermissionResultAllow | PermissionResultDeny
