"""The options of Claude's SDK, and what they are to Claude Code."""

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from triologue.agents import ClaudeCode
from triologue.errors import UnsupportedOption
from triologue.options import Options
from triologue.sdk.vendor.missing import STORES
from triologue.sdk.vendor.options import check_face, plain_options, refuse_what_is_set, warn_if_shadowed


class ClaudeAgentOptions(Options, kw_only=True):
    """`Options` with the defaults of Claude's SDK, and its own fields."""

    mcp_servers: dict[str, Any] | str | Path | None = field(default_factory=dict[str, Any])
    verbatim_prompts: bool | None = False
    """As in the vendor's SDK, prompts may hold slash commands and `@path` unless this is True."""
    max_buffer_size: int | None = None
    """Without effect: no line of any length ends the conversation here."""
    debug_stderr: Any = None
    """Without effect, as in the vendor's SDK."""
    session_store: Any = None
    """Refused: there is no session store of the vendor's kind."""
    session_store_flush: str = "batched"
    load_timeout_ms: int = 60_000


class AgentDefinition(Struct):
    """A sub-agent."""

    description: str
    prompt: str
    tools: list[str] | None = None
    disallowedTools: list[str] | None = None  # noqa: N815 - the names of the wire
    model: str | None = None
    skills: list[str] | None = None
    memory: str | None = None
    mcpServers: list[Any] | None = None  # noqa: N815
    initialPrompt: str | None = None  # noqa: N815
    maxTurns: int | None = None  # noqa: N815
    background: bool | None = None
    effort: str | int | None = None
    permissionMode: str | None = None  # noqa: N815


_REFUSED = {"session_store": STORES, "session_store_flush": STORES, "load_timeout_ms": STORES}


def settled(options: ClaudeAgentOptions) -> tuple[Options, ClaudeCode]:
    """The options as ours, and the agent.

    Raises:
        InvalidOption: they are no `ClaudeAgentOptions`.
        UnsupportedOption: something that has no counterpart.
    """
    agent = ClaudeCode()
    check_face(options, ClaudeAgentOptions)
    refuse_what_is_set(agent.name, options, _REFUSED)
    prompt: Any = options.system_prompt
    if isinstance(prompt, dict) and prompt.get("exclude_dynamic_sections"):
        hint = "leave exclude_dynamic_sections out; the CLI adds these sections"
        raise UnsupportedOption(agent.name, "system_prompt", prompt, hint)
    plain = plain_options(
        options,
        # None is no prompt at all at this vendor, and not the CLI's own.
        system_prompt="" if prompt is None else prompt,
        max_turns=options.max_turns or None,
        max_thinking_tokens=None if options.thinking is not None else options.max_thinking_tokens,
    )
    agent.check(plain)
    warn_if_shadowed(plain)
    return plain, agent
