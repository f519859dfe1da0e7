"""What the command lines of the vendors' programs have in common: values are checked before they become words."""

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from triologue.engine.histories import is_session_id
from triologue.errors import InvalidOption, UnsupportedOption, brief
from triologue.options import IDENTITY, Options

EVERY_AGENT_HAS = frozenset(IDENTITY) | {
    "abort_event",
    "agents",
    "allowed_tools",
    "add_dirs",
    "can_use_tool",
    "cli_path",
    "cwd",
    "disallowed_tools",
    "env",
    "extra_args",
    "hooks",
    "include_partial_messages",
    "max_turns",
    "mcp_servers",
    "model",
    "permission_mode",
    "permission_prompt_tool_name",
    "plugins",
    "setting_sources",
    "stderr",
    "system_prompt",
    "user",
    "verbatim_prompts",
}
"""The options that all vendors' programs have."""

# Nothing in one of these asks for something all the same: no tools, no settings, another prompt.
EMPTY_SAYS_SOMETHING = ("setting_sources", "skills", "system_prompt", "tools")

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
    "resume-drops-turn": "use Options.resume_drops_turn",
}

SETTING_SOURCES = ("user", "project", "local")

_FLAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


def refuse_what_lacks(agent: str, has: Collection[str], options: Options, hints: Mapping[str, str]) -> None:
    """Refuse what is set to something and is not among the options of this agent. Raises `UnsupportedOption`."""
    for name, value in options.named().items():
        if name not in has and (value or (name in EMPTY_SAYS_SOMETHING and value is not None)):
            raise UnsupportedOption(agent, name, value, hints.get(name, ""))


def refuse_blocking_hooks(agent: str, options: Options) -> None:
    """Refuse hooks that are to stop a tool when they fail: this agent does not read that. Raises `UnsupportedOption`."""
    for matchers in (options.hooks or {}).values():
        for matcher in matchers:
            if matcher.on_failure == "block":
                hint = "it does not know on_failure; have the hook catch what it raises, and deny"
                raise UnsupportedOption(agent, "hooks", matcher, hint)


def check_conversation(options: Options) -> None:
    """Refuse a session id that is no UUID, or not another one for a copy."""
    if options.session_id is not None and not is_session_id(options.session_id):
        raise InvalidOption(f"session_id={brief(options.session_id)} is not a UUID; `str(uuid.uuid4())` makes one")
    check_copy(options)


def check_copy(options: Options) -> None:
    """Refuse a copy under its original's id."""
    if options.session_id is not None and options.session_id == options.resume:
        raise InvalidOption(
            f"session_id={brief(options.session_id)} is the conversation to fork; give the copy another"
        )


def check_surroundings(options: Options, *, takes_away: bool = False) -> None:
    """Refuse a folder, a variable, a user or a sub-agent that cannot be.

    Args:
        options: what is asked for.
        takes_away: a variable that is None is left out of the environment; else it cannot be.
    """
    if options.cwd == "":
        raise InvalidOption("cwd='' is no folder; leave it out for the current one")
    _check_variables(options.env, takes_away=takes_away)
    _check_user(options.user)
    for name, agent in (options.agents or {}).items():
        # The programs drop what they cannot read without a word.
        if not isinstance(agent, Mapping) or not all(
            isinstance(agent.get(key), str) for key in ("description", "prompt")
        ):
            raise InvalidOption(f"agents[{brief(name)}]={brief(agent)} is no dict with a description and a prompt")


def _check_variables(variables: Mapping[str, str | None], *, takes_away: bool) -> None:
    for name, value in variables.items():
        if value is None and not takes_away:
            raise InvalidOption(
                f"env[{brief(name)}]=None cannot be: only the Qoder CLI has variables taken away; "
                "give the agent an `environ` without it"
            )
        text = "" if value is None else value
        if (
            not isinstance(name, str)
            or not isinstance(text, str)
            or not name
            or "=" in name
            or not _can_be_told(name + text)
        ):
            raise InvalidOption(
                f"env[{brief(name)}] cannot be a variable: name and value are str without NUL or half a character "
                "(a lone surrogate)"
            )


def _check_user(user: str | int | None) -> None:
    is_id = isinstance(user, int) and not isinstance(user, bool) and user >= 0
    is_name = isinstance(user, str) and bool(user) and _can_be_told(user)
    if user is not None and not is_id and not is_name:
        raise InvalidOption(f"user={brief(user)} is neither the name nor the id of a user of this machine")


def refuse_untold(words: list[str]) -> list[str]:
    """The words, where all of them can be on a command line."""
    for before, word in zip(["", *words], words, strict=False):
        if not _can_be_told(word):
            flag = word.partition("=")[0] if word.startswith("--") else before
            what = "a NUL" if "\0" in word else "half a character (a lone surrogate)"
            raise InvalidOption(f"{flag} has {what} in it, which no command line can carry")
    return words


def _can_be_told(text: str) -> bool:
    """Can the operating system be told it, as a word or a variable?"""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def described_agents(options: Options) -> dict[str, Any] | None:
    """The sub-agents as `initialize` wants them: what is None is left out."""
    if not options.agents:
        return None
    return {
        name: {key: value for key, value in agent.items() if value is not None}
        for name, agent in options.agents.items()
    }


def identity(options: Options) -> Iterator[str]:
    """Which conversation is meant, for the programs that have each value in one word with its flag."""
    if options.continue_conversation:
        yield "--continue"
    yield from text("resume", options.resume)
    yield from text("session-id", options.session_id)
    if options.fork_session:
        yield "--fork-session"
    yield from text("resume-session-at", options.resume_session_at)
    yield from text("resume-drops-turn", options.resume_drops_turn)


def text(flag: str, value: object, *, option: str = "") -> Iterator[str]:
    """A flag with a text that may be left out but not be empty."""
    if value is not None:
        yield f"--{flag}={checked_text(option or flag.replace('-', '_'), value)}"


def checked_text(option: str, value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidOption(f"{option}={brief(value)} is no text; leave it out for the default")
    return value


def names(option: str, values: Iterable[object]) -> list[str]:
    """Names, none of them blank."""
    found: list[str] = []
    for name in values:
        if not isinstance(name, str) or not name.strip():
            raise InvalidOption(f"{option}: {brief(name)} is no name")
        found.append(name)
    return found


def one_of(option: str, value: object, known: tuple[str, ...]) -> str:
    """One of the values that there are."""
    if not isinstance(value, str) or value not in known:
        raise InvalidOption(f"{option}: {brief(value)} is none of {', '.join(known)}")
    return value


def whole_number(option: str, value: object) -> int:
    """A whole number."""
    if not isinstance(value, int):
        raise InvalidOption(f"{option}={brief(value)} is no whole number")
    return value


def as_json(option: str, value: object) -> str:
    """A value as JSON text."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{option} cannot be written as JSON: {error}") from None


def json_schema(output_format: object) -> str | None:
    """The schema of `Options.output_format` as JSON text; None where there is none."""
    match output_format:
        case None:
            return None
        case {"type": "json_schema", "schema": dict(schema)}:
            return as_json("output_format", schema)
        case other:
            raise InvalidOption(f'output_format={brief(other)} is not {{"type": "json_schema", "schema": {{...}}}}')


def checked_servers(servers: object) -> str | dict[str, Any] | None:
    """MCP servers as the agent's configuration has them, where they are a dict, a path, JSON text or nothing."""
    if servers is None or isinstance(servers, str | dict):
        return servers
    if isinstance(servers, Path):
        return str(servers)
    raise InvalidOption(f"mcp_servers, a {type(servers).__name__}, is neither a dict of servers nor a path nor JSON")


def built_in_tools(tools: object) -> str | None:
    """The value of `--tools`; None where nothing is said."""
    match tools:
        case None:
            return None
        case list():
            return ",".join(names("tools", tools))
        case {"type": "preset"}:
            return "default"
        case other:
            raise InvalidOption(f'tools={brief(other)} is neither a list of names nor {{"type": "preset", ...}}')


def plugin_folders(options: Options) -> Iterator[str]:
    """The folders of `Options.plugins`."""
    for plugin in options.plugins:
        match plugin:
            case {"type": "local", "path": str() | os.PathLike() as path}:
                yield os.fspath(path)
            case _:
                raise InvalidOption(f'plugins: {brief(plugin)} is not {{"type": "local", "path": str}}')


def sources(options: Options) -> str:
    """The value of `--setting-sources`."""
    return ",".join(one_of("setting_sources", source, SETTING_SOURCES) for source in options.setting_sources or [])


def extra_arguments(options: Options, *, reserved: Mapping[str, str] = OWN_FLAGS) -> Iterator[tuple[str, str | None]]:
    """Flag, with its dashes, and value of each of `Options.extra_args`."""
    for name, value in options.extra_args.items():
        if not isinstance(name, str) or not _FLAG_NAME.fullmatch(name):
            raise InvalidOption(f"extra_args: {brief(name)} is no flag's name; leave its dashes out")
        if name in reserved:
            raise InvalidOption(f"extra_args: {name!r} cannot be given here: {reserved[name]}")
        if value is not None and not isinstance(value, str):
            # Without the value, which may be a secret.
            raise InvalidOption(
                f"extra_args[{name!r}], a {type(value).__name__}, is neither a str nor None, for no value"
            )
        yield f"--{name}", value
