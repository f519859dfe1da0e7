"""Declaring tools from functions."""

import inspect
import re
import sys
import typing
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import msgspec
import pytest
import trio
from mcp.types import ToolAnnotations

from triologue.errors import InvalidOption
from triologue.tools import ToolDefinition, ToolInvocationContext, as_tools, tool, tool_from_function


def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Use it for sums.
    """
    return a + b


class Colour(Enum):
    RED = "red"


class Unreadable(TypedDict):
    a: "Missing"  # type: ignore[name-defined]  # noqa: F821 - as if imported for type checkers alone


class Elsewhere(TypedDict):
    a: "msgspec.Missing"  # type: ignore[name-defined]


class Point(msgspec.Struct):
    x: int
    y: int = 0


def test_a_tool_is_what_its_function_says() -> None:
    tool = tool_from_function(add)
    assert (tool.name, tool.description, tool.blocking) == ("add", "Add two numbers.\n\nUse it for sums.", True)
    assert tool.input_schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert tool.call({"a": 1}) == 3
    assert tool.call({"a": 1, "b": 1}) == 2


def test_types_go_into_the_schema_and_arguments_come_out_of_it() -> None:
    def draw(
        point: Point,
        on: date,
        /,
        colour: Colour,
        mode: Literal["a", "b"] = "a",
        *,
        size: Annotated[float, msgspec.Meta(gt=0, description="In cm.")] = 1.0,
        tags: list[str] = ["x"],  # noqa: B006 - the default is what is tried here
        extra: Any = None,
    ) -> tuple[Any, ...]:
        return point, on, colour, mode, size, tags, extra

    tool = tool_from_function(draw)
    assert tool.description == ""
    assert tool.input_schema["required"] == ["point", "on", "colour"]
    assert tool.input_schema["properties"]["size"] == {"type": "number", "description": "In cm.", "exclusiveMinimum": 0}
    assert tool.input_schema["properties"]["point"] == {"$ref": "#/$defs/Point"}
    assert set(tool.input_schema["$defs"]) == {"Point", "Colour"}
    given = {"point": {"x": 1}, "on": "2026-01-02", "colour": "red", "tags": ["y"]}
    assert tool.call(given) == (Point(1), date(2026, 1, 2), Colour.RED, "a", 1.0, ["y"], None)
    assert tool.call({**given, "tags": []})[5] == []


async def test_an_async_function_is_awaited_and_does_not_block() -> None:
    async def greet(name: str) -> str:
        return f"Hi {name}"

    tool = tool_from_function(greet)
    assert not tool.blocking
    result = tool.call({"name": "Ada"})
    assert inspect.isawaitable(result)
    assert await result == "Hi Ada"


@pytest.mark.parametrize("arguments", [{}, {"a": "1"}, {"a": 1, "c": 2}])
def test_arguments_that_do_not_fit_are_an_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        tool_from_function(add).call(arguments)


def bare(a) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    ...


def many(*numbers: int) -> None: ...


def named(**numbers: int) -> None: ...


def odd(thing: object, other: Exception) -> None: ...


def absent(thing: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


def no_type(thing: "not a type") -> None:  # type: ignore[valid-type]  # noqa: F722
    ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (bare, "parameter 'a' of tool 'bare' has no annotation"),
        (many, r"tool 'many' takes '\*numbers: int'"),
        (named, r"tool 'named' takes '\*\*numbers: int'"),
        (odd, "parameter 'thing' of tool 'odd' cannot be described to a model: <class 'object'> is no type that"),
        (absent, "the signature of tool 'absent' cannot be read: name 'Nowhere' is not defined"),
        (no_type, "the signature of tool 'no_type' cannot be read: "),
        (lambda: None, "a tool needs a function with a name"),
        (3, "a tool needs a function with a name of letters, digits, `_` and `-`, not 3"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(function: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        tool_from_function(function)


def test_functions_and_definitions_may_be_mixed_but_names_are_unique() -> None:
    own = ToolDefinition(name="own", description="", input_schema={"type": "object"}, call=lambda given: given)
    assert [tool.name for tool in as_tools([add, own])] == ["add", "own"]
    with pytest.raises(InvalidOption, match="two tools are called 'add'"):
        as_tools([add, add])


def test_the_decorator_is_the_function_as_a_tool() -> None:
    @tool
    def double(a: Annotated[int, "in cm"]) -> int:
        """Double it."""
        return 2 * a

    assert (double.name, double.description, double.blocking, double.annotations) == (
        "double",
        "Double it.",
        True,
        None,
    )
    assert double.input_schema["properties"] == {"a": {"type": "integer", "description": "in cm"}}
    assert double.call({"a": 2}) == 4
    assert double.handler is not None
    assert double.handler(2) == 4


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the `type` statement came with Python 3.12")
def test_a_named_type_brings_its_description() -> None:
    module: dict[str, Any] = {"Annotated": Annotated}
    exec("type City = Annotated[str, 'as on the map']\ntype Lost = Missing", module)
    exec("def go(to: City, via: Annotated[City, 'on the way'], off: Lost = 0) -> None: ...", module)
    with pytest.raises(InvalidOption, match="the signature of tool 'go' cannot be read: name 'Missing' is not defined"):
        tool_from_function(module["go"])
    with pytest.raises(InvalidOption, match="the input_schema of tool 't' cannot be read: name 'Missing' is not"):
        tool("t", "T.", {"off": module["Lost"]})(print)
    module["Missing"] = int
    schema = tool_from_function(module["go"]).input_schema
    assert schema["properties"] == {
        "to": {"type": "string", "description": "as on the map"},
        "via": {"type": "string", "description": "on the way"},
        "off": {"type": "integer"},
    }
    schema = tool("t", "T.", {"to": module["City"]})(print).input_schema
    assert schema["properties"] == {"to": {"type": "string", "description": "as on the map"}}


def test_the_decorator_says_what_the_signature_does_not() -> None:
    @tool(name="sum-up", description="Better words.", annotations=ToolAnnotations(readOnlyHint=True, title="Sum"))
    async def add_up(a: int) -> int:
        """Words."""
        return a

    assert (add_up.name, add_up.description, add_up.blocking) == ("sum-up", "Better words.", False)
    assert add_up.annotations == {"readOnlyHint": True, "title": "Sum"}


class Person(TypedDict):
    name: Annotated[str, "as in the passport"]
    age: NotRequired[int]


class Guest(TypedDict):
    name: Required[Annotated[str, "as told"]]
    age: Annotated[NotRequired[int], "in years"]


# `ReadOnly` came with Python 3.13.
Fixed: Any = TypedDict("Fixed", {"id": getattr(typing, "ReadOnly", Required)[int]})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("schema", "properties", "required"),
    [
        ({"a": float, "b": float}, {"a": {"type": "number"}, "b": {"type": "number"}}, ["a", "b"]),
        (
            {"x": Annotated[list[int], "many"], "y": str | None},
            {
                "x": {"type": "array", "items": {"type": "integer"}, "description": "many"},
                "y": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            ["x", "y"],
        ),
        (
            Person,
            {"name": {"type": "string", "description": "as in the passport"}, "age": {"type": "integer"}},
            ["name"],
        ),
        (
            Guest,
            {
                "name": {"type": "string", "description": "as told"},
                "age": {"type": "integer", "description": "in years"},
            },
            ["name"],
        ),
        (Fixed, {"id": {"type": "integer"}}, ["id"]),
        ({}, {}, []),
    ],
)
def test_the_vendors_form_takes_types(schema: Any, properties: Any, required: list[str]) -> None:
    made = tool("t", "T.", schema)(lambda arguments: arguments)
    assert (made.name, made.description) == ("t", "T.")
    assert made.input_schema == {"type": "object", "properties": properties, "required": required}


def test_a_handler_gets_its_dict_as_it_was_written() -> None:
    seen = tool("seen", "Give back.", Person)(lambda arguments: arguments)
    given = {"name": "Ada", "more": 1}
    assert seen.call(given) is given
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$\.age`"):
        seen.call({"name": "Ada", "age": "old"})


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "object", "properties": {"n": {"minimum": 3}}}},
    "required": ["a"],
}


def test_json_schema_is_taken_as_it_is_and_kept() -> None:
    made = tool(name="t", description="T.", input_schema=SCHEMA)(lambda arguments: arguments["a"])
    assert made.input_schema == SCHEMA
    assert made.call({"a": {"n": 3}}) == {"n": 3}
    with pytest.raises(ValueError, match="'a' is a required property"):
        made.call({})
    with pytest.raises(ValueError, match=r"2 is less than the minimum of 3 - at `a\.n`"):
        made.call({"a": {"n": 2}})


def test_without_its_library_json_schema_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert tool("t", "T.", SCHEMA)(lambda arguments: arguments).call({"b": 1}) == {"b": 1}


async def test_a_second_parameter_is_the_context() -> None:
    contexts: list[ToolInvocationContext] = []

    @tool("watch", "Watch.", {})
    async def watch(arguments: dict[str, Any], extra: ToolInvocationContext) -> str:
        contexts.append(extra)
        await trio.sleep(3600)
        return ""

    with trio.move_on_after(0):
        await watch.call({})
    plain = tool("plain", "P.", {})(lambda arguments, extra: extra.signal.is_set())
    assert (watch.blocking, contexts[0].signal.is_set(), plain.call({})) == (False, True, False)


def test_a_context_may_be_annotated_with_what_only_type_checkers_import() -> None:
    module: dict[str, Any] = {}
    put_off = "from __future__ import annotations\n" if sys.version_info < (3, 14) else ""
    exec(f"{put_off}def handler(arguments: dict, extra: Context) -> bool: return extra.signal.is_set()", module)
    assert tool("t", "T.", {})(module["handler"]).call({}) is False


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: tool(name="no spaces")(add),
            "a tool's name is 1 to 128 letters, digits, `_` and `-`, not 'no spaces'",
        ),
        (lambda: tool(name="")(add), "a tool's name is 1 to 128"),
        *(
            (
                lambda hint=hint: tool("t", "T.", {"b": int, "a": hint})(print),
                f"parameter 'a' of tool 't' cannot be described to a model: {re.escape(repr(hint))} is no type",
            )
            for hint in (object, "string", "int |", ("x",), {"type": "string"})
        ),
        (lambda: tool("t", "T.", {1: int})(print), "has keys that are no text"),  # type: ignore[dict-item]
        (
            lambda: tool("t", "T.", Unreadable)(print),
            "the input_schema of tool 't' cannot be read: name 'Missing' is not defined",
        ),
        (
            lambda: tool("t", "T.", Elsewhere)(print),
            "the input_schema of tool 't' cannot be read: module 'msgspec' has",
        ),
        (lambda: tool("t", "T.", int)(print), "is no dict of types, TypedDict or JSON Schema"),
        (lambda: tool("t", "T.", {})(3), "tool 't' has no function but 3"),  # type: ignore[arg-type]
        (lambda: tool("t", 3, {})(print), "the description of tool 't' is no text: 3"),  # type: ignore[call-overload]
        (lambda: tool(annotations=3)(add), "annotations of tool 'add' are a dict of MCP's hints, not 3"),
    ],
)
def test_what_the_decorator_refuses(make: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        make()
