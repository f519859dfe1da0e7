"""What a caller can set: how an agent works (`Options`), how much there may be (`Limits`), how long (`Deadlines`)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field

from triologue.errors import MAY_HOLD_SECRETS, InvalidOption, brief

if TYPE_CHECKING:  # options are data; only the type of one of them is trio's
    import trio

SystemPrompt: TypeAlias = "str | dict[str, Any] | None"


class Options(Struct, kw_only=True):
    """How an agent works, under the vendors' names. Mutable, and copied at use.

    What an agent does not have raises `UnsupportedOption` before anything starts.
    """

    # Which conversation.
    session_id: str | None = None
    """The id that a new conversation gets (a UUID), or that a fork gets."""
    resume: str | None = None
    """Go on with the conversation of this id."""
    continue_conversation: bool = False
    """Go on with the latest conversation of `cwd`, or start one."""
    fork_session: bool = False
    """With `resume` or `continue_conversation`: go on in a copy; the original stays as it is."""
    resume_session_at: str | None = None
    """With `resume`: only up to and including the message with this uuid."""

    # How far.
    max_turns: int | None = None
    """Round trips with the model that one prompt may take."""
    max_budget_usd: float | None = None
    """US dollars that the agent's process may spend."""

    # Who answers, and with what.
    model: str | None = None
    fallback_model: str | None = None
    system_prompt: SystemPrompt = None
    """None: the agent's own. A str replaces it; `{"type": "preset", "append": ...}` adds to it."""
    effort: str | None = None
    max_thinking_tokens: int | None = None
    thinking: dict[str, Any] | None = None
    betas: list[str] = field(default_factory=list)
    output_format: dict[str, Any] | None = None
    """`{"type": "json_schema", "schema": {...}}`."""
    include_partial_messages: bool = False
    """Also give `StreamEvent`s, the pieces of a reply while it is made."""
    verbatim_prompts: bool | None = None
    """Prompts reach the model as written: no slash command, no `@path` expansion. None: where the agent can."""

    # What it may do.
    tools: list[str] | dict[str, Any] | None = None
    """The agent's own tools: names, `[]` for none, None for its default."""
    allowed_tools: list[str] = field(default_factory=list)
    """Permission rules for tools that may run without being asked about."""
    disallowed_tools: list[str] = field(default_factory=list)
    permission_mode: str | None = None
    permission_prompt_tool_name: str | None = None
    mcp_servers: dict[str, Any] | str | Path | None = None
    strict_mcp_config: bool = False
    agents: dict[str, Any] | None = None
    """Sub-agents by name."""
    plugins: list[dict[str, Any]] = field(default_factory=list)

    # Where.
    cwd: str | Path | None = None
    add_dirs: list[str | Path] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    """Added to the environment that the agent's process gets."""
    cli_path: str | Path | None = None
    settings: str | None = None
    setting_sources: list[str] | None = None
    extra_args: dict[str, str | None] = field(default_factory=dict)
    """More command-line flags, without their dashes; None for a flag without a value."""
    enable_file_checkpointing: bool = False

    # Who is told.
    stderr: Callable[[str], None] | None = None
    """Called with each line that the agent's process writes to stderr."""
    abort_event: "trio.Event | None" = None
    """When it is set, the running turn is interrupted; the session lives on."""

    def copy(self) -> "Options":
        """An independent copy: containers are copied, callables and events are the same."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, value in values.items():
            if isinstance(value, list | dict):
                values[name] = type(value)(value)
        return Options(**values)

    def over(self, base: "Options") -> "Options":
        """These options on top of others: a field that is set here wins."""
        merged = base.copy()
        fresh = Options()
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value != getattr(fresh, name):
                setattr(merged, name, value)
        return merged

    def named(self) -> dict[str, Any]:
        """The fields that differ from their default."""
        fresh = Options()
        return {
            name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) != getattr(fresh, name)
        }


IDENTITY = ("session_id", "resume", "continue_conversation", "fork_session", "resume_session_at")
"""The options that say which conversation is meant."""


def check_options(options: Options) -> None:
    """Refuse what no agent could make sense of.

    Raises:
        InvalidOption: values that contradict each other or cannot be.
    """
    check_kinds(options)
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
    for name in ("max_turns", "max_budget_usd"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise InvalidOption(f"{name}={brief(value)} is not above 0")
    if options.cwd is not None and "\0" in os.fspath(options.cwd):
        raise InvalidOption(f"cwd={brief(options.cwd)} has a NUL in it")


def check_kinds(options: Options) -> None:
    """Refuse values of a wrong type: above all a str where a list is meant, whose letters would count as its items.

    Raises:
        InvalidOption: such a value; or what is no `Options` at all.
    """
    if not isinstance(options, Options):
        raise InvalidOption(f"options are an Options(...), not {brief(options)}")
    for name, value in options.named().items():
        kinds, what = _KINDS.get(name) or _KINDS_BY_DEFAULT[type(getattr(_FRESH, name))]
        if not (callable(value) if name == "stderr" else isinstance(value, kinds)):
            shown = f"={brief(value)}" if name not in MAY_HOLD_SECRETS else ""
            raise InvalidOption(f"{name}{shown} is no {what}")


_FRESH = Options()
_KINDS_BY_DEFAULT: dict[type, tuple[tuple[type, ...], str]] = {
    list: ((list, tuple), "list"),
    dict: ((dict,), "dict"),
    bool: ((bool,), "bool"),
    type(None): ((object,), ""),
}
_TEXT: tuple[tuple[type, ...], str] = ((str,), "text")
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("session_id", "resume", "resume_session_at", "model", "fallback_model", "permission_mode"), _TEXT),
    "max_turns": ((int,), "whole number"),
    "max_budget_usd": ((int, float), "number"),
    "system_prompt": ((str, dict), "text and no dict"),
    "verbatim_prompts": ((bool,), "bool"),
    "agents": ((dict,), "dict"),
    "cwd": ((str, os.PathLike), "path"),
    "cli_path": ((str, os.PathLike), "path"),
    "setting_sources": ((list, tuple), "list"),
    "stderr": ((object,), "function"),
}


def without_identity(options: Options) -> Options:
    """A copy that names no conversation."""
    copied = options.copy()
    fresh = Options()
    for name in IDENTITY:
        setattr(copied, name, getattr(fresh, name))
    return copied


class Limits(Struct, frozen=True, kw_only=True):
    """How much there may be, and what happens beyond it."""

    mailbox: int = 100
    """Turns that may wait in one session; one more raises `MailboxFull`."""
    max_starting: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Agent processes that start at the same time; the others wait their turn. More than cores only slows each."""
    max_message_bytes: int = 64 * 1024 * 1024
    """A longer line of the agent becomes an `OversizeMessage`."""
    log: int = 1_000
    """Records that a session keeps in memory; a reader of older ones sees a `Gap`."""
    log_bytes: int = 24 * 1024
    """What these records may weigh, in bytes of their lines."""
    held_bytes: int = 4 * 1024 * 1024
    """What a `Turn` that somebody holds, or a reader that is behind, keeps beyond that, in bytes of lines."""


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds; None: without end."""

    start: float | None = 60
    """From spawning the agent to its answer to the handshake."""
    interrupt: float = 10
    """From an interrupt to the end of the turn; then the agent is killed."""
    drain: float = 30
    """How long running turns may go on when the manager's block is left."""
    close: float = 10
    """For an agent to leave by itself when its connection is closed; then it is killed."""


def check_limits(limits: Limits, deadlines: Deadlines) -> None:
    """Refuse limits that cannot work.

    Raises:
        InvalidOption: a limit that is no whole number of 1 or more, or a deadline that is no number of seconds.
    """
    if not isinstance(limits, Limits) or not isinstance(deadlines, Deadlines):
        raise InvalidOption(f"limits are Limits(...) and deadlines Deadlines(...), not {brief((limits, deadlines))}")
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if not isinstance(value, int) or value < 1:
            raise InvalidOption(f"Limits({name}={brief(value)}) is no whole number of 1 or more")
    for name in deadlines.__struct_fields__:
        value = getattr(deadlines, name)
        is_endless = value is None and name == "start"
        if not is_endless and (not isinstance(value, int | float) or not value >= 0):
            raise InvalidOption(f"Deadlines({name}={brief(value)}) is no number of seconds, 0 or more")


__all__ = [
    "IDENTITY",
    "Deadlines",
    "Limits",
    "Options",
    "check_kinds",
    "check_limits",
    "check_options",
    "without_identity",
]
