"""Declaring tools: a plain typed Python function becomes what a model is told about, and what it calls."""

import copy
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from triologue.errors import InvalidOption, brief

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STRAY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ToolDefinition(Struct, frozen=True, kw_only=True):
    """A tool that an agent in this process can call."""

    name: str
    """1 to 128 letters, digits, `_` and `-`."""
    description: str
    """What it does and when to use it, for the model."""
    input_schema: dict[str, Any]
    """JSON Schema of its arguments, an object."""
    call: Callable[[dict[str, Any]], Any]
    """Takes the arguments as plain JSON values; gives the result, or an awaitable of it. What it raises is told
    to the model."""
    blocking: bool = False
    """`call` may block: it runs in a worker thread. When the turn is interrupted the thread is left to finish by
    itself, and its result is dropped."""


def tool_from_function(function: Callable[..., Any]) -> ToolDefinition:
    """Make a tool of a typed function: its name, its docstring, its signature.

    Every parameter needs an annotation that JSON Schema can express; `Annotated[int, msgspec.Meta(description=...)]`
    describes one. Arguments are converted to the annotated types, so a parameter may also be a `datetime`, an `Enum`
    or a `Struct`. An `async def` is awaited; any other function runs in a worker thread, because it may block.

    Raises:
        InvalidOption: a parameter is not annotated, cannot be described, or is `*args` or `**kwargs`.
    """
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidOption(
            f"a tool needs a function with a name of letters, digits, `_` and `-`, not {brief(function)}"
        )
    parameters = _parameters(function, name)
    arguments = _arguments(name, parameters)
    is_async = inspect.iscoroutinefunction(function)
    positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]

    def call(given: dict[str, Any]) -> Any:
        values = msgspec.structs.asdict(msgspec.convert(given, arguments))
        return function(*[values.pop(each) for each in positional], **values)

    return ToolDefinition(
        name=name,
        description=inspect.getdoc(function) or "",
        input_schema=_schema(name, arguments),
        call=call,
        blocking=not is_async,
    )


def as_tools(tools: Iterable[Callable[..., Any] | ToolDefinition]) -> tuple[ToolDefinition, ...]:
    """Functions and definitions, all as definitions.

    Raises:
        InvalidOption: as for `tool_from_function`, or two tools have one name.
    """
    if not isinstance(tools, Iterable):
        raise InvalidOption(f"tools={brief(tools)} is no list of functions")
    definitions: dict[str, ToolDefinition] = {}
    for tool in tools:
        definition = tool if isinstance(tool, ToolDefinition) else tool_from_function(tool)
        if definition.name in definitions:
            raise InvalidOption(f"two tools are called {definition.name!r}; rename one of them")
        definitions[definition.name] = definition
    return tuple(definitions.values())


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters, each with its annotation resolved."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise InvalidOption(f"the signature of tool {name!r} cannot be read: {error}") from error
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        if parameter.kind in _STRAY:
            raise InvalidOption(f"tool {name!r} takes {str(parameter)!r}; a model needs every parameter by its name")
        if parameter.name not in hints:
            raise InvalidOption(f"parameter {parameter.name!r} of tool {name!r} has no annotation; say what it is")
    return [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]


def _arguments(name: str, parameters: list[inspect.Parameter]) -> type[Struct]:
    """A struct with one field a parameter."""
    fields: list[Any] = []
    for parameter in parameters:
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, parameter.annotation))
        else:
            # A factory, because msgspec refuses mutable defaults.
            default: Callable[[], Any] = functools.partial(copy.copy, parameter.default)
            fields.append((parameter.name, parameter.annotation, msgspec.field(default_factory=default)))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


def _schema(name: str, arguments: type[Struct]) -> dict[str, Any]:
    """JSON Schema of the struct: an object at the top, with the types that it refers to under `$defs`."""
    try:
        (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except (TypeError, RecursionError) as error:
        raise InvalidOption(f"a parameter of tool {name!r} cannot be described to a model: {error}") from error
    schema: dict[str, Any] = components.pop(reference["$ref"].rpartition("/")[2])
    schema.pop("title", None)
    schema.setdefault("required", [])
    if components:
        schema["$defs"] = components
    return schema
