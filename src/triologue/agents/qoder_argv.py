"""How Options become the command line of the Qoder CLI; pure. A value that it could not make sense of is refused here.

Every value is one word with its flag (`--flag=value`), as for Claude Code; a list is a flag that is repeated.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from triologue.agents import argv
from triologue.agents.qoder_memory import evolution_config, memory_config
from triologue.agents.qoder_settings import settings_value
from triologue.agents.skills import check_skills, with_skills
from triologue.errors import InvalidOption, brief
from triologue.hosting import check_callbacks, declared_servers
from triologue.options import Options, check_options

NAME = "qoder"

HAS = argv.EVERY_AGENT_HAS | {
    "agent",
    "allow_dangerously_skip_permissions",
    "allowed_mcp_server_names",
    "custom_context",
    "enable_file_checkpointing",
    "evolution",
    "include_hook_events",
    "memory",
    "on_auth_expired",
    "on_elicitation",
    "on_mcp_oauth_required",
    "on_mcp_status_change",
    "plan_mode",
    "proxy",
    "resolve_model",
    "resolve_model_timeout_ms",
    "security_scan",
    "settings",
    "skills",
    "strict_mcp_config",
    "tools",
    "vpc_endpoint",
}
"""The options of this agent. Others are refused, unless they are set to nothing."""

_HINTS = {
    "append_system_prompt": 'give system_prompt={"type": "preset", "append": "..."}',
    "max_budget_usd": "bound what a prompt may do with max_turns",
    "no_mcp": "give strict_mcp_config=True, and no mcp_servers",
    "sandbox": "give settings={...}",
}

PERMISSION_MODES = ("default", "acceptEdits", "auto", "bypassPermissions", "dontAsk", "plan", "yolo")
OWN_FLAGS = {
    **argv.OWN_FLAGS,
    "proxy": "use Options.proxy",
    "print": "every conversation is one without a terminal",
}


def check(options: Options) -> None:
    """Refuse what the Qoder CLI would refuse, ignore, or understand differently.

    Raises:
        InvalidOption: a value that cannot be.
        UnsupportedOption: something that this agent does not have.
    """
    check_options(options)
    argv.refuse_what_lacks(NAME, HAS, options, _HINTS)
    check_skills(options)
    arguments(options)
    check_callbacks(options)
    argv.refuse_blocking_hooks(NAME, options)
    memory_config(options.memory)
    evolution_config(options.evolution)
    argv.check_conversation(options)
    argv.check_surroundings(options, takes_away=True)
    _check_what_goes_elsewhere(options)


def arguments(options: Options, *, in_file: Mapping[str, Any] | None = None) -> list[str]:
    """The arguments of the program, without the program itself. Raises as `check`, and reads no file.

    Args:
        options: what they say.
        in_file: the content of `qoder_settings.file_to_merge`, where that names one.
    """
    words = ["--print", "--output-format=stream-json", "--input-format=stream-json", "--disable-builtin-skills"]
    for part in (argv.identity, _who_answers, _rights, _servers, _surroundings):
        words += part(options)
    if (settings := settings_value(options, in_file or {})) is not None:
        words.append(f"--settings={settings}")
    extra = argv.extra_arguments(options, reserved=OWN_FLAGS)
    words += (flag if value is None else f"{flag}={value}" for flag, value in extra)
    return argv.refuse_untold(words)


def declared(options: Options) -> str | dict[str, Any] | None:
    """`Options.mcp_servers` for the CLI: without their permission rules, and those of this process by name only."""
    servers = argv.checked_servers(declared_servers(options.mcp_servers))
    if not isinstance(servers, dict):
        return servers
    return {name: {key: value for key, value in server.items() if key != "tools"} for name, server in servers.items()}


def _who_answers(options: Options) -> Iterator[str]:
    if options.max_turns is not None:
        yield f"--max-turns={argv.whole_number('max_turns', options.max_turns)}"
    yield from argv.text("model", options.model)
    match options.system_prompt:
        case None:
            pass
        case str() as prompt:
            yield f"--system-prompt={prompt}"
        case {"type": "file", "path": str() | os.PathLike() as path}:
            yield f"--system-prompt-file={os.fspath(path)}"
        case {"type": "preset"} as preset if preset.get("preset", "qodercli") == "qodercli":
            yield from argv.text("append-system-prompt", preset.get("append"), option="system_prompt['append']")
        case other:
            raise InvalidOption(
                f"system_prompt={brief(other)} is none of: None, a str, "
                '{"type": "preset", "preset": "qodercli", "append": str}, {"type": "file", "path": str}'
            )
    yield from argv.text("agent", options.agent)
    if options.include_partial_messages:
        yield "--include-partial-messages"
    if options.include_hook_events:
        yield "--include-hook-events"


def _rights(options: Options) -> Iterator[str]:
    if (tools := argv.built_in_tools(options.tools)) is not None:
        yield f"--tools={tools}"
    yield from (f"--allowed-tools={rule}" for rule in argv.names("allowed_tools", with_skills(options)))
    yield from (f"--disallowed-tools={rule}" for rule in argv.names("disallowed_tools", options.disallowed_tools))
    mode = options.permission_mode
    if mode is not None:
        argv.one_of("permission_mode", mode, PERMISSION_MODES)
        yield "--yolo" if mode == "yolo" else f"--permission-mode={mode}"
    if options.allow_dangerously_skip_permissions and mode != "yolo":
        yield "--dangerously-skip-permissions"
    yield from argv.text(
        "permission-prompt-tool", options.permission_prompt_tool_name, option="permission_prompt_tool_name"
    )


def _servers(options: Options) -> Iterator[str]:
    servers = declared(options)
    if isinstance(servers, str):
        yield from argv.text("mcp-config", servers, option="mcp_servers")
    elif servers:
        yield f"--mcp-config={argv.as_json('mcp_servers', {'mcpServers': servers})}"
    for name in argv.names("allowed_mcp_server_names", options.allowed_mcp_server_names):
        yield f"--allowed-mcp-server-names={name}"
    if options.strict_mcp_config:
        yield "--strict-mcp-config"
    yield from (f"--plugin-dir={folder}" for folder in argv.plugin_folders(options))


def _surroundings(options: Options) -> Iterator[str]:
    for folder in options.add_dirs:
        yield from argv.text("add-dir", os.fspath(folder), option="add_dirs")
    if options.setting_sources is not None:
        yield f"--setting-sources={argv.sources(options)}"
    if options.proxy is not None:
        # Its value may hold a password: no text shows it.
        if "://" not in options.proxy:
            raise InvalidOption("proxy: a URL is meant, as in http://127.0.0.1:3128; leave it out for the default")
        yield f"--proxy={options.proxy}"


def _check_what_goes_elsewhere(options: Options) -> None:
    for name, value in (options.custom_context or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidOption(f"custom_context[{brief(name)}]={brief(value)}: names and values are texts")
    if options.vpc_endpoint is not None and "\0" in options.vpc_endpoint:
        raise InvalidOption("vpc_endpoint has a NUL in it")
