"""The options of Qoder's SDK, and what they are to the Qoder CLI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from triologue.agents import Qoder
from triologue.options import Options
from triologue.sdk.qoder.auth import settled_auth
from triologue.sdk.vendor.missing import STORES
from triologue.sdk.vendor.options import check_face, plain_options, refuse_what_is_set

MAX_SKILL_EVOLUTION_REVIEW_THRESHOLD = 10


class AgentDefinition(Struct):
    """A sub-agent."""

    description: str
    prompt: str
    tools: list[str] | None = None
    disallowedTools: list[str] | None = None  # noqa: N815 - the names of the wire
    model: str | None = None
    skills: list[str] | None = None
    mcpServers: list[Any] | None = None  # noqa: N815
    initialPrompt: str | None = None  # noqa: N815
    maxTurns: int | None = None  # noqa: N815
    effort: str | int | None = None
    permissionMode: str | None = None  # noqa: N815
    background: bool | None = None


class SkillEvolutionTurnCompleteOptions(Struct):
    """Whether skills are reviewed after a turn."""

    enabled: bool | None = None
    review_threshold: int | None = None
    should_review: Callable[..., Any] | None = None
    timeout_ms: int | None = None
    on_gate_error: str | None = None


class SkillEvolutionGenerationOptions(Struct):
    """How suggestions are made, and who is told what came of it."""

    enabled: bool | None = None
    prompt: str | None = None
    max_suggestions: int | None = None
    turn_complete: SkillEvolutionTurnCompleteOptions | dict[str, Any] | None = None
    on_result: Callable[..., Any] | None = None


class SkillEvolutionOptions(Struct):
    """How skills are reviewed."""

    mode: str | None = None
    generation: SkillEvolutionGenerationOptions | dict[str, Any] | None = None


class EvolutionOptions(Struct):
    """What is improved by itself."""

    skill: SkillEvolutionOptions | dict[str, Any] | None = None


class QoderAgentOptions(Options, kw_only=True):
    """`Options` with the defaults of Qoder's SDK, and its own fields."""

    auth: Any = None
    """How to log in; it must be given."""
    mcp_servers: dict[str, Any] | str | Path | None = field(default_factory=dict[str, Any])
    verbatim_prompts: bool | None = False
    env: dict[str, Any] = field(default_factory=dict[str, Any])
    evolution: Any = None
    """`EvolutionOptions` or a dict."""
    enable_file_checkpointing: Any = None
    max_buffer_size: int | None = None
    """Without effect: no line of any length ends the conversation here."""
    debug_stderr: Any = None
    """Without effect; `stderr` gets every line."""
    control_request_timeout_ms: int = 60_000
    """Only this value: what takes shorter is bounded by `trio.fail_after`, and nothing takes longer."""
    experimental_cloud_agent: Any = None
    """Refused: this face talks to the CLI."""
    session_store: Any = None
    """Refused: there is no session store of the vendor's kind."""
    session_store_flush: str = "batched"
    load_timeout_ms: int = 60_000


_REFUSED = {
    "control_request_timeout_ms": "leave it out; put `with trio.fail_after(seconds):` around a call that is to be shorter",
    "experimental_cloud_agent": "leave it out: the conversation goes through the `qodercli` program",
    "load_timeout_ms": STORES,
    "session_store": STORES,
    "session_store_flush": STORES,
}


def settled(options: QoderAgentOptions) -> tuple[Options, Qoder]:
    """The options as ours, and the agent.

    Raises:
        AuthNotConfiguredError, AuthAccessTokenEnvVarError, AuthServiceAccountEnvVarError: how to log in.
        InvalidOption: they are no `QoderAgentOptions`, or a value cannot be.
        UnsupportedOption: something that has no counterpart.
    """
    check_face(options, QoderAgentOptions)
    refuse_what_is_set("qoder", options, _REFUSED)
    auth = settled_auth(options.auth, options.env)
    agent = Qoder(auth=auth)
    on_status = options.on_mcp_status_change
    plain = plain_options(
        options,
        # None is no prompt at all at this vendor, and not the CLI's own.
        system_prompt="" if options.system_prompt is None else options.system_prompt,
        evolution=_without_none(options.evolution),
        enable_file_checkpointing=bool(options.enable_file_checkpointing),
        on_mcp_status_change=None if on_status is None else lambda change: on_status(change.data),
    )
    agent.check(plain)
    return plain, agent


def _without_none(value: Any) -> Any:
    """Nested objects as dicts, without what is None."""
    fields = msgspec.structs.asdict(value) if isinstance(value, Struct) else value
    if not isinstance(fields, dict):
        return fields
    return {name: _without_none(field) for name, field in fields.items() if field is not None}
