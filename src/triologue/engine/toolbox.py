"""Running tools: whatever they do, the model gets an answer."""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
import trio
from msgspec import UNSET, Raw, Struct, UnsetType

from triologue.messages import Block, ToolUseBlock
from triologue.tools import ToolDefinition


class ToolOutcome(Struct, frozen=True):
    """What a tool call gave."""

    content: str | list[Any]
    """For the model: text, or content blocks as plain values."""
    is_error: bool = False
    value: Raw | UnsetType = UNSET
    """For the host: the value itself, where JSON can express it."""


async def run_tool(tools: Mapping[str, ToolDefinition], use: ToolUseBlock) -> ToolOutcome:
    """Run one call. An unknown tool, odd arguments and an exception are an answer too."""
    tool = tools.get(use.name)
    if tool is None:
        return _failed(f"No such tool available: {use.name}")
    try:
        if tool.blocking:
            # Abandoned, because an interrupt must not wait for a function that nobody can stop.
            value = await trio.to_thread.run_sync(tool.call, use.input, abandon_on_cancel=True)
        else:
            value = tool.call(use.input)
        if inspect.isawaitable(value):
            value = await value
        return _told(value)
    except Exception as error:  # noqa: BLE001 - a tool is foreign code, and the model can often do better next time
        return _failed(str(error) or type(error).__name__)


def _failed(text: str) -> ToolOutcome:
    return ToolOutcome(text, is_error=True, value=Raw(msgspec.json.encode(f"Error: {text}")))


def _told(value: Any) -> ToolOutcome:
    match value:
        case None:
            return ToolOutcome("")
        case str():
            return ToolOutcome(value, value=Raw(msgspec.json.encode(value)))
        case [Block(), *_] if all(isinstance(block, Block) for block in value):
            return ToolOutcome(msgspec.to_builtins(value))
        case _:
            encoded = msgspec.json.encode(value)
            return ToolOutcome(encoded.decode(), value=Raw(encoded))
