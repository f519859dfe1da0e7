"""Top-level frames that are neither talk, control nor `system`."""

from collections.abc import Iterable
from typing import Any, TypeAlias, final

import msgspec
from msgspec import Raw, field

from triologue.messages.loose import read_lazily
from triologue.messages.message import Message

_split = msgspec.json.Decoder(list[Raw]).decode


class _Key:
    """An attribute that reads a key of its dict; None where it is missing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, owner: dict[str, Any] | None, kind: type | None = None) -> Any:
        return self if owner is None else owner.get(self._name)


@final
class RateLimitInfo(dict[str, Any]):
    """How much of an allowance is left, as the agent said it; with the attributes of the vendor's class."""

    status = _Key("status")
    """`allowed`, `allowed_warning` or `rejected`."""
    resets_at = _Key("resetsAt")
    """Seconds since 1970."""
    rate_limit_type = _Key("rateLimitType")
    """`five_hour`, `seven_day` ..."""
    utilization = _Key("utilization")
    """0 to 1."""
    overage_status = _Key("overageStatus")
    overage_resets_at = _Key("overageResetsAt")
    overage_disabled_reason = _Key("overageDisabledReason")

    @property
    def raw(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return dict(self)


class RateLimitEvent(Message, tag="rate_limit_event", kw_only=True):
    """How much of the account's allowance is left (Claude Code)."""

    limits: dict[str, Any] = field(name="rate_limit_info")
    uuid: str | None = None
    session_id: str | None = None

    @property
    def rate_limit_info(self) -> RateLimitInfo:
        """What is said, with attributes: `status`, `resets_at`, `utilization` ..."""
        return RateLimitInfo(self.limits)


class ConversationReset(Message, tag="conversation_reset", kw_only=True):
    """The conversation was cleared: `session_id` is the old one, the next `init` carries a new one (Claude Code)."""

    new_conversation_id: str
    session_id: str | None = None
    uuid: str | None = None
    trigger: str | None = None
    user_message_uuid: str | None = None
    timestamp: str | None = None


class CommandLifecycle(Message, tag="command_lifecycle", kw_only=True):
    """What became of the prompt `command_uuid`: `queued started completed cancelled discarded`."""

    command_uuid: str
    state: str
    uuid: str | None = None
    session_id: str | None = None


class SystemText(Message, tag="system_message", kw_only=True):
    """Text of the agent itself (Cortex)."""

    content: str
    session_id: str | None = None
    uuid: str | None = None

    @property
    def subtype(self) -> str:
        """`system_message`, as for a system message."""
        return "system_message"


class McpStatusChange(Message, tag="mcp_status_change", kw_only=True):
    """An MCP server's state changed (Qoder)."""

    server_name: str
    status: str
    error: str | None = None
    server_info: dict[str, Any] | None = None
    session_id: str | None = None
    uuid: str | None = None


class AuthStatus(Message, tag="auth_status", kw_only=True):
    """The agent logs in, or fails to."""

    error: str | None = None
    session_id: str | None = None
    uuid: str | None = None


class ToolProgress(Message, tag="tool_progress", kw_only=True):
    """A tool is still at work."""

    tool_use_id: str | None = None
    tool_name: str | None = None
    parent_tool_use_id: str | None = None
    elapsed_time_seconds: float | None = None
    heartbeat: bool | None = None
    session_id: str | None = None
    uuid: str | None = None


class ToolUseSummary(Message, tag="tool_use_summary", kw_only=True):
    """A summary of tools that were used."""

    summary: str | None = None
    session_id: str | None = None
    uuid: str | None = None


class PromptSuggestion(Message, tag="prompt_suggestion", kw_only=True):
    """What the user might ask next."""

    suggestion: str | None = None
    session_id: str | None = None
    uuid: str | None = None


class ActiveGoal(Message, tag="active_goal", kw_only=True):
    """The goal that the agent works on."""

    goal: Any = None
    session_id: str | None = None
    uuid: str | None = None


class TranscriptMirror(Message, tag="transcript_mirror", kw_only=True):
    """Lines that the agent wrote to its own history, as it was asked to tell."""

    file_path: str = field(name="filePath")
    """The file that they went to."""
    entries_raw: Raw = field(name="entries")
    session_id: str | None = None

    @classmethod
    def of(cls, file_path: str, lines: Iterable[bytes], *, session_id: str | None = None) -> "TranscriptMirror":
        """Make one of lines, each of them JSON."""
        return cls(file_path=file_path, entries_raw=Raw(b"[%s]" % b",".join(lines)), session_id=session_id)

    @property
    def lines(self) -> list[bytes]:
        """Each line as it was told, as JSON."""
        try:
            return [bytes(line) for line in _split(self.entries_raw)]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [msgspec.json.encode(entry) for entry in self.entries]

    @property
    def entries(self) -> list[Any]:
        """The lines, decoded at each access: they are large, and whoever keeps them wants them as they are."""
        entries = read_lazily(self.entries_raw)
        return entries if isinstance(entries, list) else []


Notice: TypeAlias = (
    RateLimitEvent
    | ConversationReset
    | CommandLifecycle
    | SystemText
    | McpStatusChange
    | AuthStatus
    | ToolProgress
    | ToolUseSummary
    | PromptSuggestion
    | ActiveGoal
    | TranscriptMirror
)
"""Top-level frames that are neither talk, control nor `system`."""
