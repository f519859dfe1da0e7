"""Structured output: a tool that takes the answer, and holds it against a JSON Schema."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Raw

from triologue.engine.toolbox import STRUCTURED_OUTPUT, EngineTool, ToolOutcome, failed
from triologue.errors import InvalidOption, brief

MAX_ATTEMPTS = 5
NUDGE = f"Give your answer by calling the tool {STRUCTURED_OUTPUT}."
NEEDS_LIBRARY = "checking it needs the library jsonschema; install triologue[mcp]"


def schema_of(output_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema in an `output_format`.

    Raises:
        InvalidOption: it has none.
    """
    if not output_format:
        return None
    schema = output_format.get("schema")
    if output_format.get("type") != "json_schema" or not isinstance(schema, dict):
        raise InvalidOption(f'output_format={brief(output_format)} is not {{"type": "json_schema", "schema": {{...}}}}')
    return schema


def structured_output_tool(schema: dict[str, Any]) -> EngineTool:
    """The tool for a schema.

    Raises:
        InvalidOption: the schema is none, or the library that checks against it is missing.
    """
    check = validator(schema)

    async def run(given: dict[str, Any], use_id: str) -> ToolOutcome:
        wrong = check(given)
        if wrong is not None:
            return failed(f"The output does not fit the schema: {wrong}")
        return ToolOutcome(content="The output was taken.", value=Raw(msgspec.json.encode(given)), answer=given)

    return EngineTool(
        name=STRUCTURED_OUTPUT,
        description="Takes your final answer, as an object that fits this schema. Call it once, at the end.",
        input_schema=schema,
        run=run,
        is_free=True,
    )


def validator(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """What is wrong with a value, as text; None when nothing is.

    Raises:
        InvalidOption: as above.
    """
    try:
        validators, exceptions = import_module("jsonschema.validators"), import_module("jsonschema.exceptions")
    except ImportError:
        raise InvalidOption(f"output_format={brief(schema)} cannot be used: {NEEDS_LIBRARY}") from None
    kind: Any = validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise InvalidOption(f"output_format={brief(schema)} is no JSON Schema: {error}") from error
    checker = kind(schema)

    def check(value: Any) -> str | None:
        errors = sorted(checker.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
        return "; ".join(f"{error.json_path}: {error.message}" for error in errors[:5]) or None

    return check
