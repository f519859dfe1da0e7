"""Declaring tools from functions."""

import inspect
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from triologue.errors import InvalidOption
from triologue.tools import ToolDefinition, as_tools, tool_from_function


def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Use it for sums.
    """
    return a + b


class Colour(Enum):
    RED = "red"


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


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (bare, "parameter 'a' of tool 'bare' has no annotation"),
        (many, r"tool 'many' takes '\*numbers: int'"),
        (named, r"tool 'named' takes '\*\*numbers: int'"),
        (odd, "a parameter of tool 'odd' cannot be described to a model"),
        (absent, "the signature of tool 'absent' cannot be read: name 'Nowhere' is not defined"),
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
