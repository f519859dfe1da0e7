"""How Options become the command line of the Cortex Code CLI; pure. What it could not make sense of is refused here.

A value is a word of its own after its flag, as the vendor's SDK gives it, so none may look like a flag itself.
"""

import os
from collections.abc import Iterator

from triologue.agents import argv
from triologue.errors import InvalidOption, UnsupportedOption, brief
from triologue.hosting import check_callbacks, declared_servers
from triologue.options import Options, check_options

NAME = "cortex-code"

HAS = (argv.EVERY_AGENT_HAS - {"resume_drops_turn", "verbatim_prompts"}) | {
    "allow_dangerously_skip_permissions",
    "append_system_prompt",
    "connection",
    "effort",
    "no_mcp",
    "output_format",
    "profile",
    "snowflake_sandbox",
}
"""The options of this agent. Others are refused, unless they are set to nothing."""

_HINTS = {
    "allowed_mcp_server_names": "name its servers in mcp_servers",
    "max_budget_usd": "bound what a prompt may do with max_turns",
    "plan_mode": "give permission_mode='plan'",
    "proxy": "give env={'HTTPS_PROXY': ...}",
    "resume_drops_turn": "give resume_session_at without it",
    "sandbox": "give snowflake_sandbox={'enabled': True}",
    "tools": "take tools away by disallowed_tools",
    "verbatim_prompts": "it reads slash commands in a prompt, and cannot be told not to",
}

MODE_FLAGS = {
    "default": None,
    "plan": "--plan",
    "autoAcceptPlans": "--auto-accept-plans",
    "bypassPermissions": "--dangerously-allow-all-tool-calls",
}
EFFORTS = ("minimal", "low", "medium", "high", "max")


def check(options: Options) -> None:
    """Refuse what the Cortex Code CLI would refuse, ignore, or understand differently.

    Raises:
        InvalidOption: a value that cannot be.
        UnsupportedOption: something that this agent does not have.
    """
    check_options(options)
    argv.refuse_what_lacks(NAME, HAS, options, _HINTS)
    arguments(options, cwd=None)
    prompts(options)
    check_callbacks(options)
    argv.refuse_blocking_hooks(NAME, options)
    argv.check_surroundings(options)
    argv.check_copy(options)


def arguments(options: Options, *, cwd: str | None) -> list[str]:
    """The arguments of the program, without the program itself. Raises as `check`.

    Args:
        options: what they say.
        cwd: the folder to work in, for `--workdir`.
    """
    words = ["--output-format", "stream-json", "--input-format", "stream-json"]
    if cwd is not None:
        words += _pair("workdir", cwd, "cwd")
    for part in (_identity, _who_answers, _rights, _servers, _surroundings):
        words += part(options)
    for flag, value in argv.extra_arguments(options):
        words += [flag] if value is None else [flag, value]
    return argv.refuse_untold(words)


def prompts(options: Options) -> tuple[str | None, str | None]:
    """What replaces the system prompt, and what is added to it: both go into the handshake."""
    added = [] if options.append_system_prompt is None else [options.append_system_prompt]
    match options.system_prompt:
        case None:
            whole = None
        case str() as whole:
            pass
        case {"type": "preset", "append": str(more)}:
            whole, added = None, [more, *added]
        case {"type": "preset"} as preset if preset.get("append") is None:
            whole = None
        case {"type": "file"} as other:
            raise UnsupportedOption(NAME, "system_prompt", other, "read the file, and give its text")
        case other:
            raise InvalidOption(
                f'system_prompt={brief(other)} is none of: None, a str, {{"type": "preset", "append": str}}'
            )
    return whole, "\n".join(added) if added else None


def _identity(options: Options) -> Iterator[str]:
    if options.continue_conversation:
        yield "--continue"
    yield from _pair("resume", options.resume)
    yield from _pair("session-id", options.session_id)
    if options.fork_session:
        yield "--fork-session"
    yield from _pair("resume-session-at", options.resume_session_at)
    if options.max_turns is not None:
        yield from ("--max-turns", str(argv.whole_number("max_turns", options.max_turns)))


def _who_answers(options: Options) -> Iterator[str]:
    yield from _pair("model", options.model)
    if options.effort is not None:
        yield from ("--effort", argv.one_of("effort", options.effort, EFFORTS))
    if (schema := argv.json_schema(options.output_format)) is not None:
        yield from ("--json-schema", schema)
    if options.include_partial_messages:
        yield "--include-partial-messages"


def _rights(options: Options) -> Iterator[str]:
    for rule in argv.names("allowed_tools", options.allowed_tools):
        yield from _pair("allowed-tools", rule, "allowed_tools")
    for rule in argv.names("disallowed_tools", options.disallowed_tools):
        yield from _pair("disallowed-tools", rule, "disallowed_tools")
    mode = options.permission_mode
    if mode == "bypassPermissions" and not options.allow_dangerously_skip_permissions:
        raise InvalidOption(
            "permission_mode='bypassPermissions' lets every tool run; say that it is meant by "
            "allow_dangerously_skip_permissions=True"
        )
    if mode is not None and (flag := MODE_FLAGS[argv.one_of("permission_mode", mode, tuple(MODE_FLAGS))]) is not None:
        yield flag
    yield from _pair("permission-prompt-tool", options.permission_prompt_tool_name, "permission_prompt_tool_name")


def _servers(options: Options) -> Iterator[str]:
    servers = argv.checked_servers(declared_servers(options.mcp_servers))
    if isinstance(servers, str):
        # Its SDK drops them without a word.
        raise UnsupportedOption(NAME, "mcp_servers", servers, "give a dict of servers, as the file has it")
    if servers:
        yield from ("--mcp-config", argv.as_json("mcp_servers", {"mcpServers": servers}))
    if options.no_mcp:
        if servers:
            raise InvalidOption("no_mcp=True and mcp_servers contradict each other; give one of them")
        yield "--no-mcp"
    for folder in argv.plugin_folders(options):
        yield from _pair("plugin-dir", folder, "plugins")


def _surroundings(options: Options) -> Iterator[str]:
    for folder in options.add_dirs:
        yield from _pair("add-dir", os.fspath(folder), "add_dirs")
    yield from _pair("connection", options.connection)
    yield from _pair("profile", options.profile)
    if options.setting_sources is not None:
        yield from ("--setting-sources", argv.sources(options))
    if sandbox_is_asked_for(options):
        yield "--snowflake-sandbox"


def sandbox_is_asked_for(options: Options) -> bool:
    """Whether the server-side sandbox is to be used."""
    match options.snowflake_sandbox:
        case None:
            return False
        case {"enabled": bool(enabled)} as sandbox if len(sandbox) == 1:
            return enabled
        case other:
            raise InvalidOption(f'snowflake_sandbox={brief(other)} is not {{"enabled": bool}}')


def _pair(flag: str, value: object, option: str = "") -> Iterator[str]:
    """A flag and its value, which may be left out but neither be empty nor look like another flag."""
    if value is None:
        return
    option = option or flag.replace("-", "_")
    if argv.checked_text(option, value).startswith("-"):
        raise InvalidOption(f"{option}: {brief(value)} begins with a dash, so the CLI would take it for a flag")
    yield f"--{flag}"
    yield str(value)
