"""How Options become the command line of Claude Code; pure. A value that it could not make sense of is refused here.

Every value is one word with its flag (`--flag=value`): one that begins with a dash stays a value, and a flag that
takes many values does not swallow what follows. Prompts are never among them.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from triologue.errors import InvalidOption, UnsupportedOption, brief
from triologue.options import Options, check_options

NAME = "claude-code"

PERMISSION_MODES = ("default", "acceptEdits", "auto", "bypassPermissions", "dontAsk", "manual", "plan")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
SETTING_SOURCES = ("user", "project", "local")

# What `extra_args` may not say: the protocol rests on the first two, and the others are options of their own, which
# have to be known here because they tell which conversation is meant.
OWN_FLAGS = {
    "input-format": "it is how triologue talks to the agent",
    "output-format": "it is how triologue talks to the agent",
    "resume": "use Options.resume",
    "continue": "use Options.continue_conversation",
    "session-id": "use Options.session_id",
    "fork-session": "use Options.fork_session",
    "resume-session-at": "use Options.resume_session_at",
}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FLAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def check(options: Options) -> None:
    """Refuse what Claude Code would refuse, ignore, or understand differently.

    Raises:
        InvalidOption: a value that cannot be.
        UnsupportedOption: something that this agent does not have.
    """
    check_options(options)
    arguments(options)
    if options.session_id is not None and not _UUID.fullmatch(options.session_id):
        raise InvalidOption(f"session_id={brief(options.session_id)} is not a UUID; `str(uuid.uuid4())` makes one")
    if options.session_id is not None and options.session_id == options.resume:
        raise InvalidOption(
            f"session_id={brief(options.session_id)} is the conversation to fork; give the copy another"
        )
    if options.cwd == "":
        raise InvalidOption("cwd='' is no folder; leave it out for the current one")
    for name, value in options.env.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise InvalidOption(f"env[{brief(name)}] cannot be a variable: name and value are str without NUL")
    for name, agent in (options.agents or {}).items():
        # The CLI drops what it cannot read without a word.
        if not isinstance(agent, Mapping) or not all(
            isinstance(agent.get(key), str) for key in ("description", "prompt")
        ):
            raise InvalidOption(f"agents[{brief(name)}]={brief(agent)} is no dict with a description and a prompt")


def arguments(options: Options) -> list[str]:
    """The arguments of the program, without the program itself. Raises as `check`, and reads no file."""
    words = ["--output-format=stream-json", "--verbose", "--input-format=stream-json"]
    for part in (_identity, _limits, _model, _output, _rights, _additions, _surroundings, _extra):
        words += part(options)
    if any("\0" in word for word in words):
        raise InvalidOption("an option has a NUL in it, which no command line can carry")
    return words


def _identity(options: Options) -> Iterator[str]:
    if options.continue_conversation:
        yield "--continue"
    yield from _text("resume", options.resume)
    yield from _text("session-id", options.session_id)
    if options.fork_session:
        yield "--fork-session"
    yield from _text("resume-session-at", options.resume_session_at)


def _limits(options: Options) -> Iterator[str]:
    if options.max_turns is not None:
        if not isinstance(options.max_turns, int):
            raise InvalidOption(f"max_turns={brief(options.max_turns)} is no whole number")
        yield f"--max-turns={options.max_turns}"
    if options.max_budget_usd is not None:
        if not math.isfinite(options.max_budget_usd):
            raise InvalidOption(
                f"max_budget_usd={brief(options.max_budget_usd)} is no amount; leave it out for no limit"
            )
        yield f"--max-budget-usd={options.max_budget_usd}"


def _model(options: Options) -> Iterator[str]:
    yield from _text("model", options.model)
    yield from _text("fallback-model", options.fallback_model)
    yield from _system_prompt(options.system_prompt)
    if options.effort is not None:
        yield f"--effort={_one_of('effort', options.effort, EFFORTS)}"
    yield from _thinking(options)
    # One flag each: the CLI takes a list in one flag for a single name, and drops it.
    yield from (f"--betas={beta}" for beta in _names("betas", options.betas))


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
    yield from _text("thinking-display", thinking.get("display"), option="thinking['display']")


def _output(options: Options) -> Iterator[str]:
    match options.output_format:
        case None:
            pass
        case {"type": "json_schema", "schema": dict(schema)}:
            yield f"--json-schema={_json('output_format', schema)}"
        case other:
            raise InvalidOption(f'output_format={brief(other)} is not {{"type": "json_schema", "schema": {{...}}}}')
    if options.include_partial_messages:
        yield "--include-partial-messages"


def _rights(options: Options) -> Iterator[str]:
    match options.tools:
        case None:
            pass
        case list():
            yield f"--tools={','.join(_names('tools', options.tools))}"
        case {"type": "preset"}:
            yield "--tools=default"
        case other:
            raise InvalidOption(f'tools={brief(other)} is neither a list of names nor {{"type": "preset", ...}}')
    if options.allowed_tools:
        yield f"--allowedTools={','.join(_names('allowed_tools', options.allowed_tools))}"
    if options.disallowed_tools:
        yield f"--disallowedTools={','.join(_names('disallowed_tools', options.disallowed_tools))}"
    if options.permission_mode is not None:
        yield f"--permission-mode={_one_of('permission_mode', options.permission_mode, PERMISSION_MODES)}"
    yield from _text(
        "permission-prompt-tool", options.permission_prompt_tool_name, option="permission_prompt_tool_name"
    )


def _additions(options: Options) -> Iterator[str]:
    yield from _mcp_servers(options.mcp_servers)
    if options.strict_mcp_config:
        yield "--strict-mcp-config"
    for plugin in options.plugins:
        match plugin:
            case {"type": "local", "path": str() | os.PathLike() as path}:
                yield f"--plugin-dir={os.fspath(path)}"
            case _:
                raise InvalidOption(f'plugins: {brief(plugin)} is not {{"type": "local", "path": str}}')


def _mcp_servers(servers: object) -> Iterator[str]:
    match servers:
        case None:
            return
        case str() | os.PathLike():
            yield from _text("mcp-config", os.fspath(servers), option="mcp_servers")
            return
        case dict():
            pass
        case other:
            raise InvalidOption(f"mcp_servers={brief(other)} is neither a dict of servers nor a path nor JSON")
    for name, server in servers.items():
        if not isinstance(server, Mapping):
            raise InvalidOption(f"mcp_servers[{brief(name)}] is no dict with a command, or a type and a url")
        if server.get("type") == "sdk":
            hint = "a server in this process cannot be offered; run it as a program (stdio) or behind a URL"
            raise UnsupportedOption(NAME, "mcp_servers", {name: {"type": "sdk"}}, hint)
    if servers:
        yield f"--mcp-config={_json('mcp_servers', {'mcpServers': servers})}"


def _surroundings(options: Options) -> Iterator[str]:
    for folder in options.add_dirs:
        yield from _text("add-dir", os.fspath(folder), option="add_dirs")
    yield from _text("settings", options.settings)
    if options.setting_sources is not None:
        sources = [_one_of("setting_sources", source, SETTING_SOURCES) for source in options.setting_sources]
        yield f"--setting-sources={','.join(sources)}"


def _extra(options: Options) -> Iterator[str]:
    for name, value in options.extra_args.items():
        if not isinstance(name, str) or not _FLAG_NAME.fullmatch(name):
            raise InvalidOption(f"extra_args: {brief(name)} is no flag's name; leave its dashes out")
        if name in OWN_FLAGS:
            raise InvalidOption(f"extra_args: {name!r} cannot be given here: {OWN_FLAGS[name]}")
        if value is not None and not isinstance(value, str):
            raise InvalidOption(f"extra_args[{name!r}]={brief(value)} is neither a str nor None, for no value")
        yield f"--{name}" if value is None else f"--{name}={value}"


def _text(flag: str, value: object, *, option: str = "") -> Iterator[str]:
    """A flag with a text that may be left out but not be empty."""
    if value is None:
        return
    if not isinstance(value, str) or not value:
        raise InvalidOption(
            f"{option or flag.replace('-', '_')}={brief(value)} is no text; leave it out for the default"
        )
    yield f"--{flag}={value}"


def _names(option: str, names: Iterable[object]) -> list[str]:
    found: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InvalidOption(f"{option}: {brief(name)} is no name")
        found.append(name)
    return found


def _one_of(option: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidOption(f"{option}: {brief(value)} is none of {', '.join(known)}")
    return value


def _tokens(option: str, value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise InvalidOption(f"{option}: {brief(value)} is no number of tokens")
    return value


def _json(option: str, value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{option} cannot be written as JSON: {error}") from None


def described_agents(options: Options) -> dict[str, Any] | None:
    """The sub-agents as `initialize` wants them: what is None is left out."""
    if not options.agents:
        return None
    return {
        name: {key: value for key, value in agent.items() if value is not None}
        for name, agent in options.agents.items()
    }
