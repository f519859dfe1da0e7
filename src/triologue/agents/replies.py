"""What agents are answered, where the vendors agree."""

from typing import Any

import msgspec

from triologue.messages import CanUseTool, PermissionResult, PermissionResultAllow, PermissionUpdate


def permission_reply(request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
    """The answer to a permission request, as Claude Code reads it.

    Every update has a destination and no null: one that is malformed makes the CLI drop all of them.
    """
    if isinstance(result, PermissionResultAllow):
        reply: dict[str, Any] = {
            "behavior": "allow",
            "updatedInput": request.input if result.updated_input is None else result.updated_input,
        }
        if result.updated_permissions is not None:
            reply["updatedPermissions"] = [_update(update) for update in result.updated_permissions]
        return reply
    reply = {"behavior": "deny", "message": result.message}
    if result.interrupt:
        reply["interrupt"] = True
    return reply


def _update(update: PermissionUpdate | dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(update)
    rules = plain.get("rules")
    if rules is not None:
        plain["rules"] = [{name: value for name, value in rule.items() if value is not None} for rule in rules]
    return {"destination": "session", **{name: value for name, value in plain.items() if value is not None}}
