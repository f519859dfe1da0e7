"""The tools of an agent: what the model is told about each, and how one is run."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

import msgspec
import trio
from msgspec import UNSET, Raw, Struct, UnsetType

from triologue.errors import reason_of
from triologue.exits import no_exit
from triologue.messages import Block
from triologue.messages.loose import encodable
from triologue.ports import ToolSpec
from triologue.tools import ToolDefinition

logger = logging.getLogger(__name__)

STRUCTURED_OUTPUT = "StructuredOutput"
"""The tool that takes an answer which is to fit a schema."""


class Guard(Struct, frozen=True, kw_only=True):
    """What permission rules and modes need to know of a tool that touches the machine."""

    kind: Literal["read", "edit", "run"]
    """`read` runs in the working directories without asking; `edit` does in the mode `acceptEdits`."""
    path: str | None = None
    """The field of the input that names a file or a folder; rules are about it: `Edit(src/**)`."""
    command: str | None = None
    """The field of the input that is a shell command; rules are about it: `Bash(git status:*)`."""
    description: str | None = None
    """The field of the input that says what the call is for."""


class ToolOutcome(Struct, frozen=True, kw_only=True):
    """What a tool call gave."""

    content: str | list[Any]
    """For the model: text, or content blocks as plain values."""
    is_error: bool = False
    value: Raw | UnsetType = UNSET
    """For the host: the value itself, where JSON can express it."""
    answer: Any = UNSET
    """Set: this is the turn's structured output, and its end."""


Run: TypeAlias = Callable[[dict[str, Any], str], Awaitable[ToolOutcome]]
"""Takes the input and the id of the call. It never raises because of what it was given."""


class EngineTool(Struct, frozen=True, kw_only=True):
    """A tool at hand, wherever it lives."""

    name: str
    description: str
    input_schema: dict[str, Any]
    run: Run
    guard: Guard | None = None
    server: str | None = None
    """The MCP server of the host that has it."""
    title: str | None = None
    """Its name for people."""
    is_free: bool = False
    """Part of the agent itself, so nobody is asked."""
    is_concurrent: bool = False
    """Calls of such tools that follow each other in one reply run at once."""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(name=self.name, description=self.description, input_schema=self.input_schema)


def function_tool(tool: ToolDefinition, guard: Guard | None = None) -> EngineTool:
    """A Python function as a tool at hand."""

    async def run(given: dict[str, Any], use_id: str) -> ToolOutcome:
        return await run_function(tool, given)

    hints = tool.annotations or {}
    return EngineTool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        run=run,
        guard=guard,
        title=hints.get("title"),
        is_concurrent=bool(hints.get("readOnlyHint")),
    )


async def run_function(tool: ToolDefinition, given: dict[str, Any]) -> ToolOutcome:
    """Run one call. Odd arguments and an exception are an answer too."""
    try:
        with no_exit():
            if tool.blocking:
                # Abandoned, because an interrupt must not wait for a function that nobody can stop.
                value = await trio.to_thread.run_sync(tool.call, given, abandon_on_cancel=True)
            else:
                value = tool.call(given)
            if inspect.isawaitable(value):
                value = await value
        return _told(value)
    except Exception as error:  # noqa: BLE001 - a tool is foreign code, and the model can often do better next time
        return failed(reason_of(error))
    except BaseExceptionGroup as group:
        # A tool with a nursery of its own, interrupted, whose children failed while they were being stopped: the
        # interrupt goes on its way, and what came with it must not end the conversation.
        stopped, rest = group.split(trio.Cancelled)
        if stopped is None or not isinstance(rest, ExceptionGroup):
            raise
        logger.warning("tool %r failed while it was being stopped", tool.name, exc_info=rest)
        raise stopped from None


def failed(text: str) -> ToolOutcome:
    """A call that did not work, for the model and for the host. Errors may quote names that no JSON can carry."""
    text = encodable(text)
    return ToolOutcome(content=text, is_error=True, value=Raw(msgspec.json.encode(f"Error: {text}")))


def _told(value: Any) -> ToolOutcome:
    match value:
        case None:
            return ToolOutcome(content="")
        case ToolOutcome():
            return value
        case str():
            return ToolOutcome(content=value, value=Raw(msgspec.json.encode(value)))
        case [Block(), *_] if all(isinstance(block, Block) for block in value):
            return ToolOutcome(content=msgspec.to_builtins(value))
        case {"content": [*blocks]} if blocks and all(isinstance(each, dict) and "type" in each for each in blocks):
            return mcp_outcome(value)  # what the vendors' handlers give
        case _:
            encoded = msgspec.json.encode(value)
            return ToolOutcome(content=encoded.decode(), value=Raw(encoded))


def mcp_outcome(result: dict[str, Any]) -> ToolOutcome:
    """The result of an MCP tool as the Messages API takes it."""
    content = [_block(block) for block in as_list(result.get("content")) if isinstance(block, dict)]
    is_error = bool(result.get("isError") or result.get("is_error"))
    texts = [block["text"] for block in content if block["type"] == "text"]
    if is_error and len(texts) == len(content):
        return failed("\n".join(texts))
    value = Raw(msgspec.json.encode(result["structuredContent"] if result.get("structuredContent") else content))
    return ToolOutcome(content=content, is_error=is_error, value=value)


def as_list(value: Any) -> list[Any]:
    """A list that came from elsewhere; what is none counts as empty."""
    return value if isinstance(value, list) else []


def _block(block: dict[str, Any]) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "data": str(data), "mimeType": str(kind)}:
            return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
        case {"type": "resource_link", "uri": uri}:
            return {"type": "text", "text": f"[Resource {block.get('name', '')!s}: {uri!s}]"}
        case {"type": "resource", "resource": {"text": str(text)}}:
            return {"type": "text", "text": text}
        case _:
            return {"type": "text", "text": f"[{block.get('type')!s} that cannot be shown]"}
