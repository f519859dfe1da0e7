"""Content blocks: the parts a user or assistant message is made of."""

from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from triologue.messages.loose import read_lazily


class Block(Struct, gc=False, omit_defaults=True, tag_field="type"):
    """One content block, tagged by `type`. Fields that a block does not name are in its message's `line`."""


class TextBlock(Block, tag="text"):
    """Plain text."""

    text: str
    citations: list[Any] | None = None
    cache_control: dict[str, Any] | None = None


class ThinkingBlock(Block, tag="thinking"):
    """What the model thought, where the agent shows it."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Block, tag="redacted_thinking"):
    """Thinking that the provider encrypted."""

    data: str = ""


class _Call(Block):
    """A tool is to be run. What it is called with may be a whole file, so it is decoded when somebody first looks at it.

    Until then msgspec's own functions, such as `msgspec.structs.asdict`, have it as `Raw`; JSON is encoded all the same.
    """

    id: str
    name: str
    if TYPE_CHECKING:
        input: dict[str, Any]
    else:
        input: Raw

    def __eq__(self, other: object) -> bool:
        """Compare what is said, however it was written."""
        if not isinstance(other, _Call) or type(self) is not type(other):
            return NotImplemented
        return (self.id, self.name, self.input) == (other.id, other.name, other.input)

    __hash__ = None  # type: ignore[assignment]  # as for any mutable value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r}, input={self.input!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """For rich, which asks a struct for this before its `repr`."""
        return [("id", self.id), ("name", self.name), ("input", self.input)]


def _look_late(slot: Any) -> property:
    """An input that is read as the JSON object that it holds; the slot has the bytes as they came until then."""

    def look(call: _Call) -> dict[str, Any]:
        given = slot.__get__(call)
        if isinstance(given, Raw):
            read = read_lazily(given)
            given = read if isinstance(read, dict) else {}
            slot.__set__(call, given)
        return given  # type: ignore[no-any-return]

    return property(look, slot.__set__)


_Call.input = _look_late(_Call.__dict__["input"])  # type: ignore[assignment]


class ToolUseBlock(_Call, tag="tool_use"):
    """The model asks for a tool to be run."""


class ToolResultBlock(Block, tag="tool_result"):
    """What a tool gave back; `tool_use_id` names the `ToolUseBlock` it answers."""

    tool_use_id: str
    content_raw: Raw | UnsetType = field(default=UNSET, name="content")
    is_error: bool | None = None
    cache_control: dict[str, Any] | None = None

    @classmethod
    def of(
        cls, tool_use_id: str, content: str | list[Any] | None = None, *, is_error: bool | None = None
    ) -> "ToolResultBlock":
        """Make one."""
        raw = UNSET if content is None else Raw(msgspec.json.encode(content))
        return cls(tool_use_id=tool_use_id, content_raw=raw, is_error=is_error)

    @property
    def content(self) -> str | list[Any] | None:
        """The text, or blocks as plain JSON (decoded at each access, because it is large and seldom read)."""
        content = read_lazily(self.content_raw)
        return content if isinstance(content, str | list) else None

    def __eq__(self, other: object) -> bool:
        """Compare what is said, however it was written."""
        if not isinstance(other, ToolResultBlock):
            return NotImplemented
        return (self.tool_use_id, self.is_error, self.content) == (other.tool_use_id, other.is_error, other.content)

    __hash__ = None  # type: ignore[assignment]  # as for any mutable value


class ServerToolUseBlock(_Call, tag="server_tool_use"):
    """A tool that the provider runs itself (web search, code execution ...)."""


class ServerToolResultBlock(Block, tag="advisor_tool_result"):
    """What a provider's own tool gave back."""

    tool_use_id: str
    content: Any = None


class ImageBlock(Block, tag="image"):
    """A picture. `source`: `{"type": "base64", "media_type": ..., "data": ...}` or `{"type": "url", "url": ...}`."""

    source: dict[str, Any]
    cache_control: dict[str, Any] | None = None


class DocumentBlock(Block, tag="document"):
    """A document, for instance a PDF; `source` as for an image."""

    source: dict[str, Any]
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


class UnknownBlock(Block, tag="#unknown"):
    """A block of a type that triologue does not know, or a known one it could not read: kept whole.

    The tag is one that no agent sends; on the wire the block is its `data`.
    """

    data: Any

    @property
    def kind(self) -> str:
        """The `type` it was sent with, or `""`."""
        kind = self.data.get("type") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else ""


ContentBlock: TypeAlias = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ServerToolUseBlock
    | ServerToolResultBlock
    | ImageBlock
    | DocumentBlock
    | UnknownBlock
)


_KINDS: dict[str, Any] = {str(kind.__struct_config__.tag): kind for kind in get_args(ContentBlock)}
del _KINDS["#unknown"]

# What of a block is left as it came until somebody looks.
_LATE = {"tool_use": "input", "server_tool_use": "input", "tool_result": "content"}


def read_block(value: Any) -> ContentBlock:
    """One content block from plain JSON; an `UnknownBlock` where its type is unknown or a field cannot be read."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        return UnknownBlock(data=value)
    fields = value
    if (late := _LATE.get(kind)) in value:
        fields = {**value, late: Raw(msgspec.json.encode(value[late]))}
    try:
        block: ContentBlock = msgspec.convert(fields, _KINDS[kind], strict=False)
    except msgspec.ValidationError:
        return UnknownBlock(data=value)
    return block
