"""What the vendors' options have in common on their way to ours."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from triologue.errors import InvalidOption, UnsupportedOption
from triologue.options import Options


def plain_options(options: Options, **changes: Any) -> Options:
    """The same as our own `Options`: containers are copied, sub-agents are dicts, and what is empty is nothing.

    Args:
        options: a face's own, with more fields.
        changes: fields that say something else for this vendor.
    """
    values = {name: getattr(options, name) for name in Options.__struct_fields__}
    values["mcp_servers"] = values["mcp_servers"] or None
    values["resume"] = values["resume"] or None
    values |= changes
    if isinstance(values["agents"], Mapping):
        values["agents"] = {name: described(agent) for name, agent in values["agents"].items()}
    return Options(**values).copy()


def described(agent: Any) -> Any:
    """A sub-agent as a dict, without what is None."""
    plain = msgspec.structs.asdict(agent) if isinstance(agent, msgspec.Struct) else agent
    return {key: value for key, value in plain.items() if value is not None} if isinstance(plain, Mapping) else plain


def check_face(options: Any, kind: type[Options]) -> None:
    """Refuse another vendor's options, or none at all. Raises `InvalidOption`."""
    if not isinstance(options, kind):
        # Only of what type, because what is in them may well be a secret.
        raise InvalidOption(f"options are {kind.__name__}(...), not of the type {type(options).__name__}")


def refuse_what_is_set(agent: str, options: Options, hints: Mapping[str, str]) -> None:
    """Refuse fields of a face that have no counterpart, where they are not at their default.

    Raises:
        UnsupportedOption: the first of them, with its hint.
    """
    fresh = type(options)()
    for name, hint in hints.items():
        value = getattr(options, name)
        if value != getattr(fresh, name):
            raise UnsupportedOption(agent, name, value, hint)


class CanUseToolShadowedWarning(UserWarning):
    """`can_use_tool` is there, and some tools run without it being asked."""


def warn_if_shadowed(options: Options) -> None:
    """Warn where the options let tools run that `can_use_tool` was perhaps meant to decide on."""
    if options.can_use_tool is None:
        return
    if options.permission_mode == "bypassPermissions":
        found = "permission_mode='bypassPermissions' lets every tool run"
    elif names := _allowed_outright(options):
        found = f"allowed_tools lets {', '.join(names)} run whatever the input is"
    else:
        return
    warnings.warn(
        f"can_use_tool is not asked where {found}; leave that out, or decide in a PreToolUse hook, which is always asked",
        CanUseToolShadowedWarning,
        stacklevel=5,
    )


def _allowed_outright(options: Options) -> list[str]:
    rules: Sequence[Any] = [*options.allowed_tools, *(["Skill"] if options.skills == "all" else [])]
    found: dict[str, None] = {}
    for rule in rules:
        tool, bracket, rest = str(rule).partition("(")
        if tool.strip() and (not bracket or rest in (")", "*)")):
            found[tool] = None
    return list(found)
