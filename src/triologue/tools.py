"""Declaring tools: a plain typed Python function becomes what a model is told about, and what it calls."""

import copy
import functools
import importlib
import inspect
import re
import sys
import threading
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NotRequired, Required, TypedDict, get_args, get_origin, overload

import msgspec
from msgspec import Struct, field

from triologue.errors import InvalidOption, brief

if sys.version_info >= (3, 14):  # where annotations may name what only type checkers import
    from annotationlib import Format

    _lazy_signature = functools.partial(inspect.signature, annotation_format=Format.FORWARDREF)
else:
    _lazy_signature = inspect.signature

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STRAY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ALIAS: Any = getattr(typing, "TypeAliasType", ())  # what `type X = ...` makes, from Python 3.12 on
_OF_KEYS = (Required, NotRequired, getattr(typing, "ReadOnly", Required))  # the last from Python 3.13 on


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
    annotations: dict[str, Any] | None = None
    """MCP's hints: `readOnlyHint`, `destructiveHint`, `title` ..."""
    handler: Callable[..., Any] | None = None
    """The function that it was made of."""


class ToolInvocationContext(Struct, kw_only=True):
    """What a handler with a second parameter gets beside the arguments."""

    signal: threading.Event = field(default_factory=threading.Event)
    """Set when the call of an `async def` was cancelled."""


@overload
def tool(function: Callable[..., Any], /) -> ToolDefinition: ...
@overload
def tool(
    name: str, description: str, input_schema: type | Mapping[str, Any], annotations: Any = None
) -> Callable[[Callable[..., Any]], ToolDefinition]: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, annotations: Any = None
) -> Callable[[Callable[..., Any]], ToolDefinition]: ...
def tool(name: Any = None, description: str | None = None, input_schema: Any = None, annotations: Any = None) -> Any:
    """Make a tool of a function, as a decorator.

    Bare, or with what its signature does not say: as `tool_from_function`. With a schema (a dict of types, a
    TypedDict or JSON Schema) it is the vendors' form, as `tool_from_handler`.

    Args:
        name: what the model calls it by; the function's name if it is not given. Bare, it is the function.
        description: for the model; the function's docstring if it is not given.
        input_schema: what the handler's one dict holds.
        annotations: MCP's hints, as a dict or as the MCP library's object.

    Raises:
        InvalidOption: as for `tool_from_function`.
    """
    if callable(name):
        return tool_from_function(name)
    if input_schema is None:
        return functools.partial(tool_from_function, name=name, description=description, annotations=annotations)
    return functools.partial(
        tool_from_handler, name=name, description=description, input_schema=input_schema, annotations=annotations
    )


def tool_from_function(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    annotations: Any = None,
) -> ToolDefinition:
    """Make a tool of a typed function: its name, its docstring, its signature.

    Every parameter needs an annotation that JSON Schema can express; `Annotated[int, "in cm"]` describes one, and
    `Annotated[int, msgspec.Meta(...)]` says more. Arguments are converted to the annotated types, so a parameter may
    also be a `datetime`, an `Enum` or a `Struct`. An `async def` is awaited; any other function runs in a worker
    thread, because it may block.

    Raises:
        InvalidOption: a parameter is not annotated, cannot be described, or is `*args` or `**kwargs`.
    """
    if name is None:
        name = getattr(function, "__name__", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidOption(
                f"a tool needs a function with a name of letters, digits, `_` and `-`, not {brief(function)}"
            )
    _check_name(name)
    parameters = _parameters(function, name)
    arguments = _arguments(name, parameters)
    is_async = inspect.iscoroutinefunction(function)
    positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]

    def call(given: dict[str, Any]) -> Any:
        values = msgspec.structs.asdict(msgspec.convert(given, arguments))
        return function(*[values.pop(each) for each in positional], **values)

    return ToolDefinition(
        name=name,
        description=_text(name, description, inspect.getdoc(function) or ""),
        input_schema=_schema(name, arguments, {p.name: p.annotation for p in parameters}),
        call=call,
        blocking=not is_async,
        annotations=_annotations(name, annotations),
        handler=function,
    )


def tool_from_handler(
    handler: Callable[..., Any],
    *,
    name: str,
    description: str | None,
    input_schema: Any,
    annotations: Any = None,
) -> ToolDefinition:
    """Make a tool of a function that takes its arguments as one dict, as the model wrote them.

    They are checked first: against the types, or against JSON Schema where the `jsonschema` library is installed, as
    it is with `triologue[mcp]`. A handler with a second parameter gets a `ToolInvocationContext` too.

    Raises:
        InvalidOption: no such schema, or not a handler.
    """
    _check_name(name)
    if not callable(handler):
        raise InvalidOption(f"tool {name!r} has no function but {brief(handler)}")
    schema, check = _declared(name, input_schema)
    is_async = inspect.iscoroutinefunction(handler)
    run = _with_context(handler, is_async=is_async) if _takes_context(handler) else handler

    def call(given: dict[str, Any]) -> Any:
        check(given)
        return run(given)

    return ToolDefinition(
        name=name,
        description=_text(name, description, inspect.getdoc(handler) or ""),
        input_schema=schema,
        call=call,
        blocking=not is_async,
        annotations=_annotations(name, annotations),
        handler=handler,
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


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidOption(f"a tool's name is 1 to 128 letters, digits, `_` and `-`, not {brief(name)}")


def _text(name: str, given: Any, otherwise: str) -> str:
    if given is not None and not isinstance(given, str):
        raise InvalidOption(f"the description of tool {name!r} is no text: {brief(given)}")
    return otherwise if given is None else given


def _annotations(name: str, given: Any) -> dict[str, Any] | None:
    dump = getattr(given, "model_dump", None)
    plain = dump(by_alias=True, exclude_none=True) if callable(dump) else given
    if plain is not None and not isinstance(plain, dict):
        raise InvalidOption(f"annotations of tool {name!r} are a dict of MCP's hints, not {brief(given)}")
    return plain


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters, each with its annotation resolved."""
    try:
        hints = _hints(function)
        signature = inspect.signature(function)
    except Exception as error:  # annotations are code
        raise InvalidOption(f"the signature of tool {name!r} cannot be read: {error}") from error
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        if parameter.kind in _STRAY:
            raise InvalidOption(f"tool {name!r} takes {str(parameter)!r}; a model needs every parameter by its name")
        if parameter.name not in hints:
            raise InvalidOption(f"parameter {parameter.name!r} of tool {name!r} has no annotation; say what it is")
    return [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]


def _hints(source: Any) -> dict[str, Any]:
    """The annotations of a function or a class, or in a dict, as msgspec reads them. They are code: this may raise."""
    hints = source if isinstance(source, Mapping) else typing.get_type_hints(source, include_extras=True)
    return {key: _described(hint) for key, hint in hints.items()}


def _described(annotation: Any) -> Any:
    """The type with a str in `Annotated` as its description, which is how the vendors write it.

    What a TypedDict says of the key, and not of what is under it, is left out: it may stand inside `Annotated` too.
    """
    if isinstance(annotation, _ALIAS):
        return _described(annotation.__value__)
    if get_origin(annotation) in _OF_KEYS:
        return _described(get_args(annotation)[0])
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, *extras = get_args(annotation)
    described = (msgspec.Meta(description=extra) if isinstance(extra, str) else extra for extra in extras)
    return Annotated[(_described(kind), *described)]


def _declared(name: str, input_schema: Any) -> tuple[dict[str, Any], Callable[[dict[str, Any]], None]]:
    """JSON Schema of a handler's dict, and what refuses arguments that do not fit."""
    if isinstance(input_schema, Mapping):
        if isinstance(input_schema.get("type"), str):
            schema = dict(input_schema)
            return schema, functools.partial(_check_json_schema, schema)
        required = frozenset(input_schema)
    elif typing.is_typeddict(input_schema):
        required = input_schema.__required_keys__
    else:
        raise InvalidOption(
            f"input_schema={brief(input_schema)} of tool {name!r} is no dict of types, TypedDict or JSON Schema"
        )
    if not all(isinstance(key, str) for key in required):
        raise InvalidOption(f"input_schema={brief(input_schema)} of tool {name!r} has keys that are no text")
    try:
        fields = _hints(input_schema)
    except Exception as error:  # annotations are code
        raise InvalidOption(f"the input_schema of tool {name!r} cannot be read: {error}") from error
    make: Any = TypedDict  # at run time; type checkers know it only as a statement
    try:
        kind = make(name, {key: hint if key in required else NotRequired[hint] for key, hint in fields.items()})
    except (TypeError, SyntaxError) as error:
        raise _no_type(name, fields, error) from error

    def check(given: dict[str, Any]) -> None:
        msgspec.convert(given, kind)

    return _schema(name, kind, fields), check


def _check_json_schema(schema: dict[str, Any], given: dict[str, Any]) -> None:
    try:
        library = importlib.import_module("jsonschema")
    except ImportError:
        return
    error = next(library.validators.validator_for(schema)(schema).iter_errors(given), None)
    if error is not None:
        where = ".".join(str(step) for step in error.absolute_path)
        raise ValueError(f"{error.message} - at `{where}`" if where else error.message)


def _takes_context(handler: Callable[..., Any]) -> bool:
    try:
        parameters = _lazy_signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(parameter.kind in _POSITIONAL for parameter in parameters) > 1


def _with_context(handler: Callable[..., Any], *, is_async: bool) -> Callable[[dict[str, Any]], Any]:
    if not is_async:
        return lambda given: handler(given, ToolInvocationContext())

    async def call(given: dict[str, Any]) -> Any:
        context = ToolInvocationContext()
        try:
            return await handler(given, context)
        except BaseException:
            context.signal.set()  # for what the handler started and left behind
            raise

    return call


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


def _schema(name: str, arguments: type, hints: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of the arguments: an object at the top, with the types that it refers to under `$defs`."""
    try:
        (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except Exception as error:  # a type may be said in a text, which is code
        raise _no_type(name, hints, error) from error
    schema: dict[str, Any] = components.pop(reference["$ref"].rpartition("/")[2])
    schema.pop("title", None)
    schema.setdefault("required", [])
    if components:
        schema["$defs"] = components
    return schema


def _no_type(name: str, hints: dict[str, Any], error: Exception) -> InvalidOption:
    """Which parameter cannot be described, as far as that can be told of one alone."""
    for parameter, hint in hints.items():
        try:
            msgspec.json.schema_components([hint])
        except Exception:  # noqa: BLE001  # as above
            return InvalidOption(
                f"parameter {parameter!r} of tool {name!r} cannot be described to a model: {brief(hint)} is no type "
                "that JSON Schema can express, as str, list[int] or a dataclass is; or give the whole JSON Schema, "
                "as in {'type': 'object', 'properties': ...}"
            )
    return InvalidOption(f"a parameter of tool {name!r} cannot be described to a model: {error}")
