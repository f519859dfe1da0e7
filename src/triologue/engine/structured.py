"""Structured output: a tool that takes the answer, and holds it against a JSON Schema."""

from collections.abc import Callable
from importlib import import_module
from itertools import islice
from typing import Any

import msgspec
import trio
from msgspec import Raw

from triologue.engine.toolbox import STRUCTURED_OUTPUT, EngineTool, ToolOutcome, failed
from triologue.errors import InvalidOption, brief

MAX_ATTEMPTS = 5
LARGE = 64 * 1024
"""Bytes from which on an answer is checked in a thread, so that other conversations go on meanwhile."""
MAX_PROBLEMS, MAX_PROBLEM = 5, 400
"""What a model is told about an answer that does not fit: so many problems, of so many characters each."""
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
        encoded = msgspec.json.encode(given)
        if len(encoded) < LARGE:
            wrong = check(given)
        else:
            wrong = await trio.to_thread.run_sync(check, given, abandon_on_cancel=True)
        if wrong is not None:
            return failed(f"The output does not fit the schema: {wrong}")
        return ToolOutcome(content="The output was taken.", value=Raw(encoded), answer=given)

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
        # The library's own registry would fetch what a schema refers to from wherever it is.
        known, unresolvable = (
            import_module("jsonschema_specifications").REGISTRY,
            import_module("referencing.exceptions"),
        )
    except ImportError:
        raise InvalidOption(f"output_format={brief(schema)} cannot be used: {NEEDS_LIBRARY}") from None
    kind: Any = validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise InvalidOption(
            f"output_format={brief(schema)} is no JSON Schema: {error.json_path}: {error.message}"
        ) from error
    checker = kind(schema, registry=known)

    def check(value: Any) -> str | None:
        try:
            # The first ones, and cut: a message quotes what is wrong, and the model may answer with what it is told.
            errors = list(islice(checker.iter_errors(value), MAX_PROBLEMS))
        except (unresolvable.Unresolvable, RecursionError) as error:
            return f"it refers to what cannot be followed: {brief(str(error))}"
        errors.sort(key=lambda error: list(map(str, error.absolute_path)))
        return "; ".join(f"{error.json_path}: {_cut(error.message)}" for error in errors) or None

    return check


def _cut(text: str) -> str:
    return text if len(text) <= MAX_PROBLEM else f"{text[: MAX_PROBLEM // 2]} ... {text[-MAX_PROBLEM // 2 :]}"
