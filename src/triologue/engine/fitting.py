"""A value that fits a JSON Schema, the same every time; good for schemas without cross-references of values."""

from typing import Any

MAX_DEPTH = 20

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ada@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fitting(schema: dict[str, Any], said: str) -> Any:
    """A value for a schema.

    Args:
        schema: what it is to fit. Patterns are not looked at.
        said: what texts are made of.
    """
    return _fit(schema, schema, said, 0)


def _fit(schema: Any, root: dict[str, Any], said: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return None
    if not isinstance(schema, dict):
        return said
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("enum", "examples"):
        if schema.get(name):
            return schema[name][0]
    simpler = _simpler(schema, root)
    if simpler is not None:
        return _fit(simpler, root, said, depth + 1)
    return _typed(schema, root, said, depth)


def _simpler(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """The schema without its outermost reference or choice; None when it has none."""
    if isinstance(reference := schema.get("$ref"), str):
        return _resolve(reference, root)
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return {**schema, name: None, **schema[name][0]}
    return _merged(schema, root) if schema.get("allOf") else None


def _typed(schema: dict[str, Any], root: dict[str, Any], said: str, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties: dict[str, Any] = schema.get("properties") or {}
            # Beyond some depth only what must be there, so that a schema which holds itself ends.
            wanted = schema.get("required") or () if depth > 5 else (*properties, *(schema.get("required") or ()))
            return {name: _fit(properties.get(name, {}), root, said, depth + 1) for name in dict.fromkeys(wanted)}
        case "array":
            count = max(schema.get("minItems", 0), min(1, schema.get("maxItems", 1)) if depth <= 5 else 0)
            return [_fit(schema.get("items") or {}, root, said, depth + 1) for _ in range(min(count, 100))]
        case "integer":
            return _number(schema, 1)
        case "number":
            return _number(schema, 0.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema, said)


def _number(schema: dict[str, Any], step: float) -> float:
    """The smallest number that is allowed, or 1."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    number = 1 if low is None else low
    number = number if high is None else min(number, high)
    multiple = schema.get("multipleOf")
    return -(-number // multiple) * multiple if multiple else number


def _text(schema: dict[str, Any], said: str) -> str:
    text = _FORMATS.get(schema.get("format", ""), said)
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A schema and all that it is made of, in one."""
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, dict) and "$ref" in part:
            part = _resolve(part["$ref"], root)
        if not isinstance(part, dict):
            continue
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged |= part
        if properties:
            merged |= {"properties": properties, "required": list(dict.fromkeys(required))}
    return merged
