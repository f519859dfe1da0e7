"""How a built-in tool is declared: a struct for its arguments, a function, and what permission rules must know."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from triologue.engine.toolbox import Guard, ToolOutcome
from triologue.messages.loose import encodable
from triologue.tools import ToolDefinition

Arguments = TypeVar("Arguments", bound=Struct)


class ToolFailed(Exception):
    """The call did not work; the text is for the model."""


class BuiltinTool(Struct, frozen=True, kw_only=True):
    """A tool of the agent program."""

    definition: ToolDefinition
    guard: Guard


def define(
    name: str,
    description: str,
    arguments: type[Arguments],
    run: Callable[[Arguments], Awaitable[ToolOutcome]],
    guard: Guard,
) -> BuiltinTool:
    """Put a tool together. What it does not know among its arguments is passed over."""
    (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components[reference["$ref"].rpartition("/")[2]]
    schema.pop("title", None)

    async def call(given: dict[str, Any]) -> ToolOutcome:
        try:
            read = msgspec.convert(given, arguments, strict=False)
        except msgspec.ValidationError as error:
            raise ToolFailed(f"{name} cannot be called like this: {error}") from None
        return await run(read)

    definition = ToolDefinition(
        name=name,
        description=description,
        input_schema=schema,
        call=call,
        annotations={"readOnlyHint": guard.kind == "read", "destructiveHint": guard.kind != "read"},
    )
    return BuiltinTool(definition=definition, guard=guard)


def outcome(content: str | list[Any], value: dict[str, Any]) -> ToolOutcome:
    """What a call gave: for the model, and for the host. File names may hold what no JSON can carry."""
    return ToolOutcome(content=encodable(content), value=Raw(msgspec.json.encode(encodable(value))))


def resolve(cwd: Path, path: str) -> Path:
    """The file or folder that a call names: the one whose real path the permission rules looked at."""
    named = cwd / os.path.expanduser(path)  # noqa: PTH111 - as the rules do it, also where there is no such user
    return Path(os.path.realpath(named)) if ".." in named.parts else named
