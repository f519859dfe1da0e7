"""How Options become the command line of Claude Code; pure. A value that it could not make sense of is refused here.

Every value is one word with its flag (`--flag=value`): one that begins with a dash stays a value, and a flag that
takes many values does not swallow what follows. Prompts are never among them.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from triologue.agents import argv
from triologue.agents.settings import given_settings, settings_file
from triologue.agents.skills import check_skills, with_skills
from triologue.errors import InvalidOption, brief
from triologue.hosting import check_callbacks, declared_servers
from triologue.options import Options, check_options

NAME = "claude-code"

HAS = argv.EVERY_AGENT_HAS | {
    "allow_dangerously_skip_permissions",
    "betas",
    "client_app",
    "effort",
    "enable_file_checkpointing",
    "fallback_model",
    "forward_subagent_text",
    "include_hook_events",
    "max_budget_usd",
    "max_thinking_tokens",
    "on_elicitation",
    "output_format",
    "sandbox",
    "settings",
    "skills",
    "strict_mcp_config",
    "task_budget",
    "thinking",
    "tools",
}
"""The options of this agent. Others are refused, unless they are set to nothing."""

_HINTS = {
    "agent": "it has none to lead a conversation; say in system_prompt what it is to be",
    "allowed_mcp_server_names": "name its servers in mcp_servers, and add strict_mcp_config=True",
    "append_system_prompt": 'give system_prompt={"type": "preset", "append": "..."}',
    "no_mcp": "give strict_mcp_config=True, and no mcp_servers",
    "plan_mode": "give permission_mode='plan'",
    "proxy": "give env={'HTTPS_PROXY': ...}",
}

PERMISSION_MODES = ("default", "acceptEdits", "auto", "bypassPermissions", "dontAsk", "manual", "plan")
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def check(options: Options) -> None:
    """Refuse what Claude Code would refuse, ignore, or understand differently.

    Raises:
        InvalidOption: a value that cannot be.
        UnsupportedOption: something that this agent does not have.
    """
    check_options(options)
    argv.refuse_what_lacks(NAME, HAS, options, _HINTS)
    check_skills(options)
    arguments(options)
    check_callbacks(options)
    argv.check_conversation(options)
    argv.check_surroundings(options)


def arguments(options: Options, *, in_file: Mapping[str, Any] | None = None) -> list[str]:
    """The arguments of the program, without the program itself. Raises as `check`, and reads no file.

    Args:
        options: what they say.
        in_file: the content of `file_to_merge`, where that names one.
    """
    words = ["--output-format=stream-json", "--verbose", "--input-format=stream-json"]
    for part in (argv.identity, _limits, _model, _output, _rights, _additions, _surroundings):
        words += part(options)
    words += _settings(options, in_file or {})
    words += (flag if value is None else f"{flag}={value}" for flag, value in argv.extra_arguments(options))
    return argv.refuse_untold(words)


def file_to_merge(options: Options) -> Path | None:
    """The settings file whose content goes onto the command line, because something is added to it."""
    return settings_file(options.settings) if options.sandbox is not None else None


def _limits(options: Options) -> Iterator[str]:
    if options.max_turns is not None:
        yield f"--max-turns={argv.whole_number('max_turns', options.max_turns)}"
    if options.max_budget_usd is not None:
        if not math.isfinite(options.max_budget_usd):
            raise InvalidOption(
                f"max_budget_usd={brief(options.max_budget_usd)} is no amount; leave it out for no limit"
            )
        yield f"--max-budget-usd={options.max_budget_usd}"
    match options.task_budget:
        case None:
            pass
        case {"total": int(total)} if total > 0:
            yield f"--task-budget={total}"
        case other:
            raise InvalidOption(f'task_budget={brief(other)} is not {{"total": tokens}}, with a whole number above 0')


def _model(options: Options) -> Iterator[str]:
    yield from argv.text("model", options.model)
    yield from argv.text("fallback-model", options.fallback_model)
    yield from _system_prompt(options.system_prompt)
    if options.effort is not None:
        yield f"--effort={argv.one_of('effort', options.effort, EFFORTS)}"
    yield from _thinking(options)
    # One flag each: the CLI takes a list in one flag for a single name, and drops it.
    yield from (f"--betas={beta}" for beta in argv.names("betas", options.betas))


def _system_prompt(prompt: object) -> Iterator[str]:
    match prompt:
        case None | {"type": "preset", "append": None}:
            pass
        case str():
            yield f"--system-prompt={prompt}"
        case {"type": "custom", "prompt": str(text)}:
            yield f"--system-prompt={text}"
        case {"type": "file", "path": str() | os.PathLike() as path}:
            yield f"--system-prompt-file={os.fspath(path)}"
        case {"type": "preset", "append": str(text)}:
            yield f"--append-system-prompt={text}"
        case {"type": "preset", "append": _}:
            raise InvalidOption(f"system_prompt['append'] is no text: {brief(prompt)}")
        case {"type": "preset"}:
            pass
        case _:
            raise InvalidOption(
                f"system_prompt={brief(prompt)} is none of: None, a str, "
                '{"type": "preset", "append": str}, {"type": "custom", "prompt": str}, {"type": "file", "path": str}'
            )


def _thinking(options: Options) -> Iterator[str]:
    thinking = options.thinking
    if thinking is not None and options.max_thinking_tokens is not None:
        raise InvalidOption("`thinking` and `max_thinking_tokens` say the same thing twice; give one of them")
    match thinking:
        case None:
            if options.max_thinking_tokens is not None:
                yield f"--max-thinking-tokens={_tokens('max_thinking_tokens', options.max_thinking_tokens)}"
            return
        case {"type": "adaptive" | "disabled" as kind}:
            yield f"--thinking={kind}"
        case {"type": "enabled", "budget_tokens": budget}:
            yield f"--max-thinking-tokens={_tokens('thinking', budget)}"
        case _:
            raise InvalidOption(
                f'thinking={brief(thinking)} is none of: {{"type": "adaptive"}}, {{"type": "disabled"}}, '
                '{"type": "enabled", "budget_tokens": int}'
            )
    yield from argv.text("thinking-display", thinking.get("display"), option="thinking['display']")


def _tokens(option: str, value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise InvalidOption(f"{option}: {brief(value)} is no number of tokens")
    return value


def _output(options: Options) -> Iterator[str]:
    if (schema := argv.json_schema(options.output_format)) is not None:
        yield f"--json-schema={schema}"
    if options.include_partial_messages:
        yield "--include-partial-messages"
    if options.include_hook_events:
        yield "--include-hook-events"


def _rights(options: Options) -> Iterator[str]:
    if (tools := argv.built_in_tools(options.tools)) is not None:
        yield f"--tools={tools}"
    if allowed := with_skills(options):
        yield f"--allowedTools={','.join(argv.names('allowed_tools', allowed))}"
    if options.disallowed_tools:
        yield f"--disallowedTools={','.join(argv.names('disallowed_tools', options.disallowed_tools))}"
    if options.permission_mode is not None:
        yield f"--permission-mode={argv.one_of('permission_mode', options.permission_mode, PERMISSION_MODES)}"
    if options.allow_dangerously_skip_permissions:
        yield "--allow-dangerously-skip-permissions"
    yield from argv.text(
        "permission-prompt-tool", options.permission_prompt_tool_name, option="permission_prompt_tool_name"
    )


def _additions(options: Options) -> Iterator[str]:
    yield from mcp_servers(options.mcp_servers)
    if options.strict_mcp_config:
        yield "--strict-mcp-config"
    yield from (f"--plugin-dir={folder}" for folder in argv.plugin_folders(options))


def mcp_servers(servers: Any) -> Iterator[str]:
    """`--mcp-config`: those of `servers` that live in this process by name only."""
    declared = argv.checked_servers(declared_servers(servers))
    if isinstance(declared, str):
        yield from argv.text("mcp-config", declared, option="mcp_servers")
    elif declared:
        yield f"--mcp-config={argv.as_json('mcp_servers', {'mcpServers': declared})}"


def _surroundings(options: Options) -> Iterator[str]:
    for folder in options.add_dirs:
        yield from argv.text("add-dir", os.fspath(folder), option="add_dirs")
    if options.setting_sources is not None:
        yield f"--setting-sources={argv.sources(options)}"
    elif options.skills is not None:
        # Skills are found in the folders of these; without them there would be nothing to offer.
        yield "--setting-sources=user,project"


def _settings(options: Options, in_file: Mapping[str, Any]) -> Iterator[str]:
    if options.sandbox is not None:
        merged = {**in_file, **given_settings(options.settings), "sandbox": options.sandbox}
        yield f"--settings={argv.as_json('settings', merged)}"
    elif isinstance(options.settings, Mapping):
        yield f"--settings={argv.as_json('settings', options.settings)}"
    elif options.settings is not None:
        yield f"--settings={settings_file(options.settings) or options.settings}"
