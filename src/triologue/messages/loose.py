"""JSON as the wire really carries it: what a strict decoder refuses, but a person would still read."""

import json
import math
from typing import Any

import msgspec

BOM = b"\xef\xbb\xbf"

# Python refuses to parse longer integers; no frame means one.
_MAX_DIGITS = 4300


def read_json(data: bytes | msgspec.Raw) -> Any:
    """Decode one JSON value.

    Invalid UTF-8 and lone surrogates become U+FFFD, raw control characters are taken as they are, and numbers that
    JSON has not (NaN, infinities, integers of thousands of digits) become None.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = bytes(data).removeprefix(BOM).decode("utf-8", "replace")
        return encodable(json.loads(text, strict=False, parse_int=_int, parse_float=_float, parse_constant=_nothing))


def read_lazily(raw: msgspec.Raw | msgspec.UnsetType) -> Any:
    """Decode a part of a frame that was left as it came, because it is large and seldom looked at; None for none."""
    if isinstance(raw, msgspec.UnsetType):
        return None
    try:
        return read_json(raw)
    except (ValueError, RecursionError):
        return None


def encodable(value: Any) -> Any:
    """The same JSON value with U+FFFD for each lone surrogate, which no encoder takes."""
    match value:
        case str():
            return encodable_text(value)
        case list() | tuple():
            return [encodable(item) for item in value]
        case dict():
            return {encodable(key): encodable(item) for key, item in value.items()}
        case _:
            return value


def encodable_text(text: str) -> str:
    """The same text, as a plain `str`, with U+FFFD for each lone surrogate."""
    return str.__str__(text) if is_text(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_text(value: Any) -> str:
    """For encoders: a text of a class of its own, such as one of numpy's, as the `str` that it is.

    Raises:
        TypeError: it is no text.
    """
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def is_text(value: str) -> bool:
    """Can it be written as UTF-8? Half a character (a lone surrogate) cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _nothing(_constant: str) -> None:
    return None
