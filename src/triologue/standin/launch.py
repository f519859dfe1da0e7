"""What a command line asks for: how the agent works, and how it is started."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from triologue.options import Options
from triologue.standin.flags import GRAMMARS, find_dialect
from triologue.standin.grammar import Grammar, Said, UsageError
from triologue.standin.identities import check_identity

_ANY_MODE = {
    "accept_edits": "acceptEdits",
    "bypass_permissions": "bypassPermissions",
    "dont_ask": "dontAsk",
    "manual": "default",
    "yolo": "bypassPermissions",
}
_MODES = {
    "claude": ("acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"),
    "qoder": (
        *("default", "plan", "auto", "bypass_permissions", "accept_edits", "dont_ask"),
        *("acceptEdits", "bypassPermissions", "dontAsk", "yolo"),
    ),
}


class Launch(Struct, frozen=True, kw_only=True):
    """A command line that was understood."""

    dialect: str
    options: Options
    shows: str | None = None
    """`help` or `version`: nothing else is done."""
    script: str | None = None
    """The file that a `ScriptedModel` plays."""
    keeps_history: bool = True
    replays_prompts: bool = False
    """Prompts are echoed, with `isReplay`."""
    mirrors_history: bool = False
    """What is written to the history is told to the host too."""
    config_folder: str | None = None
    """Where histories are, in place of the vendor's usual folder."""


def read_launch(words: Sequence[str], environment: Mapping[str, str]) -> Launch:
    """Understand a command line.

    Raises:
        UsageError: something in it cannot be; its text is worded as the vendor does.
    """
    dialect = find_dialect(words, environment)
    grammar = GRAMMARS[dialect]
    said = grammar.read(words)
    if shown := next((name for name in ("help", "version") if said.has(name)), None):
        return Launch(dialect=dialect, options=Options(), shows=shown)
    _check_use(dialect, said)
    options = Options()
    for name, value in _options(dialect, grammar, said):
        setattr(options, name, value)
    check_identity(dialect, options)
    return Launch(
        dialect=dialect,
        options=options,
        script=said.one("script"),
        keeps_history=not said.has("no-session-persistence"),
        replays_prompts=said.has("replay-user-messages"),
        mirrors_history=said.has("session-mirror"),
        config_folder=said.one("config-dir"),
    )


def _check_use(dialect: str, said: Said) -> None:
    if said.words:
        raise UsageError(f"error: prompts come as frames on stdin, not as words: {said.words[0]!r}")
    for name in ("input-format", "output-format"):
        if (said.one(name) or "stream-json") != "stream-json":
            raise UsageError(f"error: this agent knows no other --{name} than stream-json, not {said.one(name)!r}")
    if said.has("resume") and not said.one("resume"):
        raise UsageError("Error: --resume requires a valid session ID when used with --print")
    if dialect == "claude" and said.has("output-format") and not said.has("verbose"):
        raise UsageError("Error: When using --print, --output-format=stream-json requires --verbose")


def _options(dialect: str, grammar: Grammar, said: Said) -> Iterator[tuple[str, Any]]:
    """The fields of the options that the command line sets."""
    for flag, field, read in _FIELDS:
        if (value := said.one(flag)) is not None:
            yield field, read(value, partial(grammar[flag].wrong, value))
    yield from ((field, True) for flag, field in _SWITCHES.items() if said.has(flag))
    yield from ((field, _names(said, flag)) for flag, field in _LISTS.items() if said.has(flag))
    if said.has("tools") and (tools := _names(said, "tools")) != ["default"]:
        yield "tools", tools
    if said.has("mcp-config"):
        yield "mcp_servers", _servers(said.all("mcp-config"))
    yield from _prompt(said)
    yield from _mode(dialect, grammar, said)
    yield from _thinking(said)
    yield from _surroundings(said)


def _surroundings(said: Said) -> Iterator[tuple[str, Any]]:
    if said.has("add-dir"):
        yield "add_dirs", said.all("add-dir")
    if said.has("plugin-dir"):
        yield "plugins", [{"type": "local", "path": path} for path in said.all("plugin-dir")]
    if said.has("snowflake-sandbox"):
        yield "snowflake_sandbox", {"enabled": True}


Wrong = Callable[[str], UsageError]


def _text(value: str, wrong: Wrong) -> str:
    return value


def _turns(value: str, wrong: Wrong) -> int | None:
    try:
        number = int(value)
    except ValueError:
        raise wrong("must be a number") from None
    if number < 0:
        raise wrong("must not be negative")
    return number or None  # 0 is no limit


def _dollars(value: str, wrong: Wrong) -> float:
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if not amount > 0:
        raise wrong("--max-budget-usd must be a number greater than 0")
    return amount


def _tokens(value: str, wrong: Wrong) -> int:
    if not value.isdecimal():
        raise wrong("must be a number of tokens")
    return int(value)


def _json(value: str, wrong: Wrong) -> dict[str, Any]:
    try:
        read = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise wrong(f"is not valid JSON: {error}") from None
    if not isinstance(read, dict):
        raise wrong("is no JSON object")
    return read


# Flag, field of the options, and how its value is read.
_FIELDS: tuple[tuple[str, str, Callable[[str, Wrong], Any]], ...] = (
    ("agent", "agent", _text),
    ("agents", "agents", _json),
    ("connection", "connection", _text),
    ("cwd", "cwd", _text),
    ("effort", "effort", _text),
    ("fallback-model", "fallback_model", _text),
    ("json-schema", "output_format", lambda value, wrong: {"type": "json_schema", "schema": _json(value, wrong)}),
    ("max-budget-usd", "max_budget_usd", _dollars),
    ("max-turns", "max_turns", _turns),
    ("model", "model", _text),
    ("permission-prompt-tool", "permission_prompt_tool_name", _text),
    ("profile", "profile", _text),
    ("proxy", "proxy", _text),
    ("reasoning-effort", "effort", _text),
    ("resume", "resume", _text),
    ("resume-drops-turn", "resume_drops_turn", _text),
    ("resume-session-at", "resume_session_at", _text),
    ("session-id", "session_id", _text),
    ("settings", "settings", _text),
    ("task-budget", "task_budget", lambda value, wrong: {"total": _tokens(value, wrong)}),
    ("workdir", "cwd", _text),
)
_SWITCHES = {
    "allow-dangerously-skip-permissions": "allow_dangerously_skip_permissions",
    "continue": "continue_conversation",
    "fork-session": "fork_session",
    "forward-subagent-text": "forward_subagent_text",
    "include-hook-events": "include_hook_events",
    "include-partial-messages": "include_partial_messages",
    "no-mcp": "no_mcp",
    "strict-mcp-config": "strict_mcp_config",
}
_LISTS = {
    "allowed-mcp-server-names": "allowed_mcp_server_names",
    "allowed-tools": "allowed_tools",
    "allowedTools": "allowed_tools",
    "betas": "betas",
    "disallowed-tools": "disallowed_tools",
    "disallowedTools": "disallowed_tools",
    "setting-sources": "setting_sources",
}


def _names(said: Said, flag: str) -> list[str]:
    return [name for value in said.all(flag) for name in split_names(value)]


def split_names(text: str) -> list[str]:
    """The names of a list that is separated by commas or spaces; those inside of brackets belong to a rule."""
    names, name, depth = [], "", 0
    for character in f"{text},":
        depth += (character == "(") - (character == ")")
        if character in ", " and depth <= 0:
            names += [name] if name else []
            name = ""
        else:
            name += character
    return names if not name else [*names, name[:-1]]


def _prompt(said: Said) -> Iterator[tuple[str, Any]]:
    whole = said.one("system-prompt")
    if (file := said.one("system-prompt-file")) is not None:
        whole = _file(file, "system prompt")
    added = said.one("append-system-prompt")
    if (file := said.one("append-system-prompt-file")) is not None:
        added = _file(file, "system prompt")
    if whole is not None:
        yield "system_prompt", f"{whole}\n\n{added}" if added else whole
    elif added is not None:
        yield "system_prompt", {"type": "preset", "append": added}


def _mode(dialect: str, grammar: Grammar, said: Said) -> Iterator[tuple[str, Any]]:
    """The permission mode, which Cortex Code says by flags of their own."""
    mode = said.one("permission-mode")
    if mode is not None:
        if mode not in _MODES[dialect]:
            choices = ", ".join(_MODES[dialect])
            raise grammar["permission-mode"].wrong(mode, f"Allowed choices are {choices}.")
        mode = _ANY_MODE.get(mode, mode)
    if said.has("dangerously-skip-permissions"):
        yield "allow_dangerously_skip_permissions", True
        # Qoder's SDK passes it as a confirmation beside a mode; without one it is the mode.
        mode = mode or "bypassPermissions"
    for flag, named in (
        ("yolo", "bypassPermissions"),
        ("dangerously-allow-all-tool-calls", "bypassPermissions"),
        ("plan", "plan"),
        ("auto-accept-plans", "autoAcceptPlans"),
    ):
        if said.has(flag):
            mode = named
    if mode is not None:
        yield "permission_mode", mode


def _thinking(said: Said) -> Iterator[tuple[str, Any]]:
    budget = said.one("max-thinking-tokens") or said.one("thinking-budget")
    if budget is not None and budget.isdecimal():
        yield "max_thinking_tokens", int(budget)
    if (kind := said.one("thinking")) is not None:
        shown = said.one("thinking-display")
        yield "thinking", {"type": kind} if shown is None else {"type": kind, "display": shown}


def _servers(configs: list[str]) -> dict[str, Any]:
    """The MCP servers of every config: JSON, or a file of it."""
    servers: dict[str, Any] = {}
    for config in configs:
        text = config if config.lstrip().startswith("{") else _file(config, "MCP config")
        try:
            read = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"Error: Invalid MCP configuration:\n{error}") from None
        found = read.get("mcpServers", read) if isinstance(read, dict) else None
        if not isinstance(found, dict):
            raise UsageError("Error: Invalid MCP configuration:\nmcpServers: is no object")
        if odd := next((name for name, server in found.items() if not isinstance(server, dict)), None):
            raise UsageError(f"Error: Invalid MCP configuration:\nmcpServers.{odd}: is no object")
        servers |= found
    return servers


def _file(path: str, what: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"Error: {what} file {path!r} cannot be read: {error}") from None
