"""The frames of a conversation: what user, assistant and agent say, and how a turn ended."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from triologue.messages.blocks import ContentBlock, TextBlock, UnknownBlock
from triologue.messages.loose import read_lazily
from triologue.messages.message import Message

_decode = msgspec.json.Decoder().decode


class UserBody(Struct, gc=False, omit_defaults=True):
    """The Messages API message inside a user frame."""

    content: str | list[ContentBlock]
    role: str = field(default_factory=lambda: "user")  # a factory, so that it is always written


class UserMessage(Message, tag="user", kw_only=True):
    """A prompt on its way to the agent; or, from the agent, a tool's result, a replay or a marker."""

    message: UserBody
    parent_tool_use_id: str | None = None
    session_id: str | None = None
    uuid: str | None = None
    priority: str | None = None
    """`now`, `next` or `later`: when an agent that is busy takes the prompt up."""
    client_composed: bool = False
    """The text reaches the model as written: no slash command, no `@path` expansion."""
    should_query: bool | None = field(default=None, name="shouldQuery")
    is_synthetic: bool | None = field(default=None, name="isSynthetic")
    is_replay: bool | None = field(default=None, name="isReplay")
    origin: dict[str, Any] | None = None
    custom_context: dict[str, str] | None = None
    timestamp: str | None = None
    pasted_content: Any = None
    inline_pastes: Any = None
    file_attachments: list[Any] | None = None
    tool_result_meta_raw: Raw | UnsetType = field(default=UNSET, name="tool_result_meta")
    tool_use_result_raw: Raw | UnsetType = field(default=UNSET, name="tool_use_result")
    extra: dict[str, Any] | None = field(default=None, name="#extra")
    """Further fields of a prompt that was given as a dict; they go on the wire with the others."""

    @property
    def content(self) -> str | list[ContentBlock]:
        """The text, or the blocks."""
        return self.message.content

    @property
    def tool_use_result(self) -> Any:
        """The tool's structured output (decoded at each access, because it is large and seldom read), or None."""
        return read_lazily(self.tool_use_result_raw)

    @property
    def tool_result_meta(self) -> list[Any] | None:
        """What the agent tells beside each result, such as who allowed the tool (decoded at each access, as above)."""
        meta = read_lazily(self.tool_result_meta_raw)
        return meta if isinstance(meta, list) else None


class AssistantBody(Struct, gc=False, omit_defaults=True):
    """The Messages API message inside an assistant frame."""

    content: list[ContentBlock]
    model: str
    id: str | None = None
    type: str = field(default_factory=lambda: "message")
    role: str = field(default_factory=lambda: "assistant")
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] | None = None


class AssistantMessage(Message, tag="assistant", kw_only=True):
    """What the model said. Claude Code sends one frame for each content block, all with one `message_id`."""

    message: AssistantBody
    parent_tool_use_id: str | None = None
    """Set on the frames of a sub-agent: the tool use that started it."""
    error: str | None = None
    session_id: str | None = None
    uuid: str | None = None
    aborted: bool = False
    request_id: str | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None
    timestamp: str | None = None
    agent_id: str | None = None
    subagent_type: str | None = None
    is_api_error_message: bool | None = field(default=None, name="isApiErrorMessage")

    @property
    def content(self) -> list[ContentBlock]:
        """The blocks."""
        return self.message.content

    @property
    def model(self) -> str:
        """The model that spoke; `<synthetic>` for a text that the agent made up (an API error)."""
        return self.message.model

    @property
    def message_id(self) -> str | None:
        """The Messages API id, shared by the frames of one model call."""
        return self.message.id

    @property
    def usage(self) -> dict[str, Any] | None:
        """Tokens as of this frame; the totals are on the result."""
        return self.message.usage

    @property
    def stop_reason(self) -> str | None:
        """Why the model stopped, where the agent says so."""
        return self.message.stop_reason


class _About(Struct, gc=False):
    """What a partial carries besides its event; it is looked up when somebody asks."""

    session_id: str | None = None
    uuid: str | None = None
    ttft_ms: float | None = None
    abandoned_blocks: dict[str, Any] | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None


_decode_about = msgspec.json.Decoder(_About).decode


class StreamEvent(Message, tag="stream_event", kw_only=True):
    """A piece of a reply while it is made: one raw event of the Messages API stream (partial messages).

    There are more of these than of all others, so no more of one is decoded than is looked at.
    """

    event_raw: Raw = field(name="event")
    parent_tool_use_id: str | None = None

    @classmethod
    def of(cls, event: dict[str, Any], /, *, parent_tool_use_id: str | None = None, **more: Any) -> "StreamEvent":
        """Make one; `more` are further fields of its frame."""
        raw = Raw(msgspec.json.encode(event))
        frame = {"type": "stream_event", "event": raw, "parent_tool_use_id": parent_tool_use_id, **more}
        return cls(line=msgspec.json.encode(frame), event_raw=raw, parent_tool_use_id=parent_tool_use_id)

    def with_event(self, event: dict[str, Any]) -> "StreamEvent":
        """The same frame with another event."""
        mine = bytes(self.event_raw)
        if self.line.count(mine) != 1:  # it was repaired, or something else in the frame says the same
            more = {name: value for name, value in self.data.items() if name not in ("type", "event")}
            return self.of(event, **{**more, "parent_tool_use_id": self.parent_tool_use_id})
        raw = msgspec.json.encode(event)
        line = self.line.replace(mine, raw)
        return StreamEvent(line=line, event_raw=Raw(raw), parent_tool_use_id=self.parent_tool_use_id)

    @property
    def event(self) -> dict[str, Any]:
        """The event, decoded at each access: most programs want no more of it than `text()` gives."""
        try:
            event = _decode(self.event_raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Half of a surrogate pair, say, which two deltas share.
            event = read_lazily(self.event_raw)
        return event if isinstance(event, dict) else {}

    @property
    def session_id(self) -> str | None:
        """The conversation's id."""
        return self._about().session_id

    @property
    def uuid(self) -> str | None:
        """Its own id."""
        return self._about().uuid

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds to the first token, on the first event of a reply."""
        return self._about().ttft_ms

    @property
    def abandoned_blocks(self) -> dict[str, Any] | None:
        """The blocks of a try that failed: what was shown of them is void, and comes again (Claude Code)."""
        return self._about().abandoned_blocks

    @property
    def user_message_uuid(self) -> str | None:
        """The prompt that it answers, where the agent says so."""
        return self._about().user_message_uuid

    @property
    def user_message_uuids(self) -> list[str] | None:
        """The same for several prompts in one turn."""
        return self._about().user_message_uuids

    def _about(self) -> _About:
        try:
            return _decode_about(self.line or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            try:
                return msgspec.convert(self.data, _About)
            except msgspec.ValidationError:
                return _About()  # `data` has it all the same

    def __eq__(self, other: object) -> bool:
        """Compare what is said, with what is not decoded yet."""
        if not isinstance(other, StreamEvent):
            return NotImplemented
        mine = (self.event, self.parent_tool_use_id, self._about())
        return mine == (other.event, other.parent_tool_use_id, other._about())

    __hash__ = None


class DeferredToolUse(Struct, gc=False, omit_defaults=True):
    """A tool call that was put off to another run (Claude Code)."""

    id: str = ""
    name: str = ""
    input: dict[str, Any] = field(default_factory=dict[str, Any])


class ResultMessage(Message, tag="result", kw_only=True):
    """The end of a turn. Look at `is_error`, not at `subtype`: an API failure is a `success` with `is_error`."""

    subtype: str
    duration_ms: float
    """Milliseconds, wall clock."""
    duration_api_ms: float
    is_error: bool
    num_turns: int
    """Round trips with the model; 0 for a local command."""
    session_id: str
    result: str | None = None
    errors: list[str] | None = None
    stop_reason: str | None = None
    terminal_reason: str | None = None
    total_cost_usd: float | None = None
    """US dollars for the session so far (an agent that resumes goes on counting)."""
    usage: dict[str, Any] | None = None
    """Tokens of this turn."""
    model_usage: dict[str, Any] | None = field(default=None, name="modelUsage")
    model_usage_since_last_result: dict[str, Any] | None = None
    """The same for what was used since the last result of this connection."""
    permission_denials: list[Any] | None = None
    structured_output: Any = None
    api_error_status: int | None = None
    deferred_tool_use: DeferredToolUse | None = None
    origin: dict[str, Any] | None = None
    """Who started the turn; a `kind` other than `human` is a turn that nobody asked for."""
    uuid: str | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None
    """The prompts that this result answers."""
    queued_turn_count: int | None = None
    result_index: int | None = None
    total_credits: float | None = None
    startup_failure_reason: str | None = None
    cost_usd: float | None = field(default=None, name="#cost_usd")
    """US dollars for this turn alone; triologue works it out from the totals, so it is never on the wire."""


# The event that carries visible text, and nothing else of it, so that reading it costs little.
class _Delta(Struct, gc=False):
    text: str = ""
    type: str = ""


class _DeltaEvent(Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None


_decode_delta = msgspec.json.Decoder(_DeltaEvent).decode


def text_delta(event: StreamEvent) -> tuple[int, str] | None:
    """The block index and the text that a partial adds, or None when it adds no text."""
    try:
        said = _decode_delta(event.event_raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            said = msgspec.convert(event.event, _DeltaEvent)
        except msgspec.ValidationError:
            return None
    if said.type != "content_block_delta" or said.delta is None or said.delta.type != "text_delta":
        return None
    return said.index, said.delta.text


def text(item: object) -> str:
    """The text of any message, block or partial; `""` for what has none.

    A result has none here: its text repeats what the assistant's messages said.
    """
    match item:
        case str():
            return item
        case TextBlock(text=found) | UnknownBlock(data={"type": "text", "text": str() as found}):
            return found
        case StreamEvent():
            delta = text_delta(item)
            return delta[1] if delta else ""
        case AssistantMessage() | UserMessage():
            return text(item.content)
        case list():
            return "".join(text(block) for block in item)
        case _:
            return ""
