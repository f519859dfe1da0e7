"""What goes into the settings of the Qoder CLI beside those that are given; pure."""

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triologue.agents.argv import as_json
from triologue.agents.settings import given_settings, settings_file
from triologue.errors import InvalidOption, brief
from triologue.options import Options

# How the permission modes are called in settings files.
MODES = {
    "acceptEdits": "accept_edits",
    "bypassPermissions": "bypass_permissions",
    "yolo": "bypass_permissions",
    "dontAsk": "dont_ask",
}
MODES_AS_THEY_ARE = ("default", "accept_edits", "bypass_permissions", "dont_ask", "plan", "auto")
POLICIES = {"always_allow": "allow", "always_ask": "ask", "always_deny": "deny"}
SCANS = {"l1_static_check": "l1StaticCheck", "l2_lightweight_scan": "l2LightweightScan", "l3_deep_scan": "l3DeepScan"}


def file_to_merge(options: Options) -> Path | None:
    """The settings file whose content goes onto the command line, because something is added to it."""
    return settings_file(options.settings) if _adds_something(options) else None


def settings_value(options: Options, in_file: Mapping[str, Any]) -> str | None:
    """The value of `--settings`: a path, or JSON; None where there is nothing to say.

    Raises:
        InvalidOption: something cannot be.
    """
    path = settings_file(options.settings)
    if path is not None and not _adds_something(options):
        return os.fspath(path)
    settings = copy.deepcopy({**in_file, **given_settings(options.settings)})
    _tell_general(settings)
    if options.add_dirs:
        _extend(
            _section(settings, "permissions"),
            "additionalDirectories",
            [os.fspath(folder) for folder in options.add_dirs],
        )
    for rule, tools in tool_rules(options.mcp_servers).items():
        _extend(_section(settings, "permissions"), rule, tools)
    if options.security_scan is not None:
        settings["securityScan"] = _scans(options.security_scan)
    if options.enable_file_checkpointing:
        _section(_section(settings, "general"), "fileCheckpointing")["enabled"] = True
    return as_json("settings", settings) if settings else None


def tool_rules(servers: object) -> dict[str, list[str]]:
    """The permission rules that the `tools` of MCP servers mean: by `allow`, `ask` or `deny`, those that there are."""
    rules: dict[str, list[str]] = {}
    for server, config in servers.items() if isinstance(servers, Mapping) else ():
        policies = config.get("tools") if isinstance(config, Mapping) else None
        for policy in policies if isinstance(policies, list | tuple) else ():
            match policy:
                case {"name": str(tool), "permission_policy": str(kind)} if kind in POLICIES:
                    rules.setdefault(POLICIES[kind], []).append(_rule(server, tool))
                case {"permission_policy": kind}:
                    raise InvalidOption(
                        f"mcp_servers[{brief(server)}]['tools']: permission_policy={brief(kind)} is none of "
                        f"{', '.join(POLICIES)}, or the tool has no name"
                    )
                case _:
                    pass
    return rules


def _rule(server: str, tool: str) -> str:
    if tool.startswith("mcp__"):
        return tool
    names = [_in_a_rule(server), tool if tool == "*" else _in_a_rule(tool)]
    if not all(names):
        raise InvalidOption(f"mcp_servers[{brief(server)}]['tools']: {brief(tool)} leaves nothing to name in a rule")
    return "__".join(["mcp", *names])


def _in_a_rule(name: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_-]", "_", name)).strip("_")


def _adds_something(options: Options) -> bool:
    return bool(
        options.add_dirs
        or options.enable_file_checkpointing
        or options.security_scan is not None
        or tool_rules(options.mcp_servers)
    )


def _tell_general(settings: dict[str, Any]) -> None:
    """What `permissions` says under the names that other CLIs have, said where this one looks for it."""
    permissions = settings.get("permissions")
    if not isinstance(permissions, dict):
        return
    mode = permissions.get("defaultMode")
    if isinstance(mode, str) and (mode in MODES or mode in MODES_AS_THEY_ARE):
        _section(settings, "general").setdefault("defaultPermissionMode", MODES.get(mode, mode))
    if permissions.get("disableBypassPermissionsMode") == "disable":
        _section(settings, "security")["disableYoloMode"] = True


def _section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(settings.get(name), dict):
        settings[name] = {}
    section: dict[str, Any] = settings[name]
    return section


def _extend(section: dict[str, Any], name: str, values: list[str]) -> None:
    there = section.get(name)
    section[name] = list(dict.fromkeys([*(there if isinstance(there, list) else []), *values]))


def _scans(scans: Mapping[str, Any]) -> dict[str, bool]:
    for name, value in scans.items():
        if name not in SCANS or not isinstance(value, bool):
            raise InvalidOption(f"security_scan[{brief(name)}]={brief(value)}: each of {', '.join(SCANS)} is a bool")
    return {wire: scans.get(name, False) for name, wire in SCANS.items()}
