"""The options of Cortex Code's SDK, and what they are to the Cortex Code CLI."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from triologue.agents import CortexCode
from triologue.errors import brief
from triologue.options import Options, check_kinds
from triologue.sdk.vendor.errors import SDKError
from triologue.sdk.vendor.options import check_face, plain_options, refuse_what_is_set


class InvalidOptionValueError(SDKError):
    """An option is empty, or would be taken for a flag."""

    def __init__(self, option_name: str, value: object) -> None:
        self.option_name, self.value = option_name, value
        super().__init__(f"{option_name}={brief(value)} is empty or begins with a dash; the CLI would misread it")


class SnowflakeSandboxOptions(Struct):
    """The server-side sandbox."""

    enabled: bool = False


class AgentDefinition(Struct):
    """A sub-agent."""

    description: str
    prompt: str
    tools: list[str] | None = None
    model: str | None = None


class CortexCodeAgentOptions(Options, kw_only=True):
    """`Options` with the defaults of Cortex Code's SDK, and its own fields."""

    mcp_servers: dict[str, Any] | str | Path | None = field(default_factory=dict[str, Any])
    snowflake_sandbox: Any = None
    """`SnowflakeSandboxOptions` or a dict."""
    max_buffer_size: int | None = None
    """Without effect: no line of any length ends the conversation here."""
    mode: str | None = None
    """`cli` or None; `api` is refused."""
    api: Any = None
    """Refused: this face talks to the CLI."""


_API = "leave it out: the conversation goes through the `cortex` CLI, which needs a connection by name"
_REFUSED = {"api": _API}


def settled(options: CortexCodeAgentOptions) -> tuple[Options, CortexCode]:
    """The options as ours, and the agent.

    Raises:
        InvalidOptionValueError: a value that the CLI would take for a flag.
        InvalidOption: they are no `CortexCodeAgentOptions`, or a value cannot be.
        UnsupportedOption: something that has no counterpart.
    """
    agent = CortexCode()
    check_face(options, CortexCodeAgentOptions)
    refuse_what_is_set(agent.name, options, _REFUSED if options.mode == "cli" else {**_REFUSED, "mode": _API})
    sandbox: Any = options.snowflake_sandbox
    if isinstance(sandbox, SnowflakeSandboxOptions):
        sandbox = msgspec.structs.asdict(sandbox)
    plain = plain_options(options, snowflake_sandbox=sandbox)
    check_kinds(plain)
    for name, value in _words(options):
        if isinstance(value, str) and (not value or value.startswith("-")):
            raise InvalidOptionValueError(name, value)
    agent.check(plain)
    return plain, agent


def _words(options: CortexCodeAgentOptions) -> Iterator[tuple[str, Any]]:
    """What becomes a word of its own on the command line."""
    for name in ("model", "resume", "resume_session_at", "connection", "profile", "session_id"):
        yield name, getattr(options, name)
    if options.cwd is not None:
        yield "cwd", os.fspath(options.cwd)
    for name in ("allowed_tools", "disallowed_tools", "add_dirs"):
        for value in getattr(options, name):
            yield name, os.fspath(value) if isinstance(value, os.PathLike) else value
