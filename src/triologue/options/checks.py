"""What no agent could make sense of is refused before anything starts."""

import os

from triologue.errors import MAY_HOLD_SECRETS, InvalidOption, brief
from triologue.messages.loose import is_text
from triologue.options.options import Options


def check_options(options: Options) -> None:
    """Refuse what no agent could make sense of.

    Raises:
        InvalidOption: values that contradict each other or cannot be.
    """
    check_kinds(options)
    _check_ids(options)
    _check_identity(options)
    if options.can_use_tool is not None and options.permission_prompt_tool_name not in (None, "stdio"):
        raise InvalidOption(
            f"can_use_tool and permission_prompt_tool_name={brief(options.permission_prompt_tool_name)} "
            "would both answer; give one of them"
        )
    for name in ("max_turns", "max_budget_usd"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise InvalidOption(f"{name}={brief(value)} is not above 0")
    if options.cwd is not None and "\0" in os.fspath(options.cwd):
        raise InvalidOption(f"cwd={brief(options.cwd)} has a NUL in it")


def _check_ids(options: Options) -> None:
    for name in ("resume", "session_id", "resume_session_at", "resume_drops_turn"):
        value = getattr(options, name)
        if value is not None and not is_text(value):
            raise InvalidOption(f"{name}={brief(value)} has half a character in it (a lone surrogate), as no id has")


def _check_identity(options: Options) -> None:
    if options.resume == "":
        raise InvalidOption("resume='' is no text; leave it out to begin a conversation")
    if options.resume and options.continue_conversation:
        raise InvalidOption(
            f"resume={brief(options.resume)} and continue_conversation=True name two conversations; give one of them"
        )
    follows = bool(options.resume) or options.continue_conversation
    if options.fork_session and not follows:
        raise InvalidOption("fork_session=True needs a conversation to fork: give `resume` or `continue_conversation`")
    if options.session_id and follows and not options.fork_session:
        raise InvalidOption(
            f"session_id={brief(options.session_id)} would rename a conversation that goes on; "
            "add fork_session=True, or leave it out"
        )
    if options.resume_session_at and not options.resume:
        raise InvalidOption(f"resume_session_at={brief(options.resume_session_at)} needs `resume`")
    if options.resume_drops_turn and not options.resume_session_at:
        raise InvalidOption(f"resume_drops_turn={brief(options.resume_drops_turn)} needs `resume_session_at`")


def check_kinds(options: Options) -> None:
    """Refuse values of a wrong type: above all a str where a list is meant, whose letters would count as its items.

    Raises:
        InvalidOption: such a value; or what is no `Options` at all.
    """
    if not isinstance(options, Options):
        raise InvalidOption(f"options are an Options(...), not {_shown(options)}")
    if options.__struct_fields__ != _FRESH.__struct_fields__:
        kind = type(options)
        raise InvalidOption(
            f"options are an Options(...), not {kind.__name__}(...), whose fields mean something else; "
            f"give that one to the query or the client of {kind.__module__.removesuffix('.options')}"
        )
    for name, value in options.named().items():
        kinds, what = _KINDS.get(name) or _KINDS_BY_DEFAULT[type(getattr(_FRESH, name))]
        if not (callable(value) if name in _FUNCTIONS else isinstance(value, kinds)):
            shown = f"={brief(value)}" if name not in MAY_HOLD_SECRETS else ""
            raise InvalidOption(f"{name}{shown} is no {what}")
    for folder in options.add_dirs:
        if not isinstance(folder, str | os.PathLike):
            raise InvalidOption(f"add_dirs: {brief(folder)} is no path")


def _shown(value: object) -> str:
    """What is no `Options`; of a dict, which may well hold secrets, only that it is one."""
    return "a dict" if isinstance(value, dict) else brief(value)


_FRESH = Options()
_KINDS_BY_DEFAULT: dict[type, tuple[tuple[type, ...], str]] = {
    list: ((list, tuple), "list"),
    dict: ((dict,), "dict"),
    bool: ((bool,), "bool"),
    type(None): ((object,), ""),
}
_TEXT: tuple[tuple[type, ...], str] = ((str,), "text")
_TEXTS = (
    "session_id",
    "resume",
    "resume_session_at",
    "resume_drops_turn",
    "model",
    "fallback_model",
    "permission_mode",
    "permission_prompt_tool_name",
    "append_system_prompt",
    "agent",
    "connection",
    "profile",
    "proxy",
    "vpc_endpoint",
    "client_app",
)
_DICTS = (
    "agents",
    "hooks",
    "custom_context",
    "task_budget",
    "sandbox",
    "snowflake_sandbox",
    "security_scan",
    "memory",
    "evolution",
    "output_format",
)
_FUNCTIONS = (
    "can_use_tool",
    "on_auth_expired",
    "on_elicitation",
    "on_mcp_oauth_required",
    "on_mcp_status_change",
    "resolve_model",
    "stderr",
)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(_TEXTS, _TEXT),
    **dict.fromkeys(_DICTS, ((dict,), "dict")),
    "max_turns": ((int,), "whole number"),
    "max_budget_usd": ((int, float), "number"),
    "system_prompt": ((str, dict), "text and no dict"),
    "settings": ((str, os.PathLike, dict), "path, text or dict"),
    "skills": ((list, tuple, str), "list"),
    "plan_mode": ((bool,), "bool"),
    "verbatim_prompts": ((bool,), "bool"),
    "user": ((str, int), "name or id of a user"),
    "cwd": ((str, os.PathLike), "path"),
    "cli_path": ((str, os.PathLike), "path"),
    "setting_sources": ((list, tuple), "list"),
    **dict.fromkeys(_FUNCTIONS, ((object,), "function")),
    "resolve_model_timeout_ms": ((int,), "whole number"),
}
