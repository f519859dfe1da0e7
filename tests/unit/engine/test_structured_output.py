"""Structured output: an answer that fits a schema, or a result that says that there is none."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.unit.engine.stage import Scripted, open_engine, said
from triologue.engine.fitting import fitting
from triologue.engine.structured import schema_of, structured_output_tool, validator
from triologue.errors import InvalidOption
from triologue.messages import Initialize, ToolUseBlock

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


def output(**given: Any) -> ToolUseBlock:
    return ToolUseBlock(id="t1", name="StructuredOutput", input=given)


async def test_the_answer_is_in_the_result() -> None:
    async with open_engine(output_format=FORMAT) as host:
        host.send(host.prompt("Say Ada"))
    assert host.story[1:] == [
        "assistant: Ada",
        "assistant: StructuredOutput{'name': 'Ada', 'age': 0}",
        "user: gives The output was taken.",
        "result: success completed Ada",
    ]
    assert host.results[0].structured_output == {"name": "Ada", "age": 0}


async def test_what_does_not_fit_is_tried_again() -> None:
    wrong = "$: 'name' is a required property; $.age: -1 is less than the minimum of 0"
    model = Scripted(said(output(age=-1)), said("Here it is."), said(output(name="Ada")))
    async with open_engine(model=model) as host:
        host.send(host.request(Initialize(json_schema=SCHEMA)), host.prompt("Go"))
    assert host.story[3:] == [
        f"user: error The output does not fit the schema: {wrong}",
        "assistant: Here it is.",
        "user: Give your answer by calling the tool StructuredOutput.",
        "assistant: StructuredOutput{'name': 'Ada'}",
        "user: gives The output was taken.",
        'result: success completed {"name":"Ada"}',
    ]
    assert model.requests[0].tools[0].input_schema == SCHEMA


async def test_too_many_misses_end_the_turn() -> None:
    model = Scripted(*(said(output()) for _ in range(4)), said("no"))
    async with open_engine(model=model, output_format=FORMAT) as host:
        host.send(host.prompt("Go"))
    (result,) = host.results
    assert (result.subtype, result.is_error, result.errors, result.terminal_reason) == (
        "error_max_structured_output_retries",
        True,
        ["No valid structured output after 5 attempts"],
        "structured_output_retry_exhausted",
    )


@pytest.mark.parametrize("wrong", [{"type": "text"}, {"type": "json_schema"}, {"type": "json_schema", "schema": 3}])
def test_odd_formats(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="output_format="):
        schema_of(wrong)


def test_odd_schemas() -> None:
    with pytest.raises(InvalidOption, match="is no JSON Schema"):
        structured_output_tool({"type": "objekt"})


async def test_an_odd_schema_is_refused_before_anything_starts() -> None:
    async with open_engine() as host:
        host.send(host.request(Initialize(json_schema={"type": "objekt"})), host.prompt("Say hi"))
    assert "is no JSON Schema" in host.story[0]
    assert host.results[0].result == "hi"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 30, "maxLength": 40},
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 10, "multipleOf": 7},
        {"type": "number", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"type": "integer", "exclusiveMinimum": 3},
        {"type": "integer", "maximum": -5},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3},
        {"type": "array", "maxItems": 0},
        {"type": ["null", "string"]},
        {"enum": ["a", "b"]},
        {"const": 3},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}}], "$defs": {"a": SCHEMA}},
        {
            "type": "object",
            "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}},
            "required": ["n"],
        },
    ],
)
def test_the_offline_model_finds_a_value_that_fits(schema: dict[str, Any]) -> None:
    assert validator(schema)(fitting(schema, "hello")) is None


SIMPLE = st.recursive(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)},
            st.dictionaries(st.sampled_from("abc"), inner),
        ),
    ),
)


@given(schema=SIMPLE)
def test_simple_schemas_are_always_met(schema: dict[str, Any]) -> None:
    assert validator(schema)(fitting(schema, "hello")) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}},
        {"$ref": "#"},
    ],
    ids=["none", "web", "self"],
)
async def test_a_schema_that_refers_to_nothing_ends_the_turn_and_no_more(schema: dict[str, Any]) -> None:
    model = Scripted(*(said(output(a=1)) for _ in range(5)))
    async with open_engine(model=model, output_format={"type": "json_schema", "schema": schema}) as host:
        host.send(host.prompt("Go"), host.prompt("/cost", verbatim=False))
    assert [result.subtype for result in host.results] == ["error_max_structured_output_retries", "success"]


def test_what_a_model_is_told_stays_short() -> None:
    wrong = validator({"items": {"maxLength": 1}})(["x" * 10_000] * 100)
    assert wrong is not None
    assert (wrong.count("is too long"), len(wrong) < 3000) == (5, True)


async def test_a_large_answer_is_checked_beside_the_loop() -> None:
    tool = structured_output_tool({"type": "object", "required": ["a"]})
    fits, misses = await tool.run({"a": "x" * 100_000}, "t"), await tool.run({"b": "x" * 100_000}, "t")
    assert (fits.is_error, misses.is_error) == (False, True)
