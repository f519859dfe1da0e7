"""The root of everything said on the wire: a tagged struct that remembers the line it came from."""

from typing import Any

import msgspec
from msgspec import Struct, field

from triologue.messages.loose import as_text, read_json, read_lazily


class Message(Struct, kw_only=True, gc=False, omit_defaults=True, tag_field="type"):
    """One frame. Two messages are equal when they say the same, wherever they came from.

    Messages are facts: nothing in triologue changes one after it was handed on, and neither should you.
    `gc=False` because JSON has no cycles, so the garbage collector need not walk them (but for `TurnEnded`).
    """

    line: bytes = field(default=b"", name="#line")
    """The JSON line as it was received, without its newline; `b""` for a message that was made here.

    Fields that triologue does not know are in it. The odd wire name is one no agent uses."""

    @property
    def data(self) -> dict[str, Any]:
        """The whole frame as plain JSON values, with every field that was received."""
        if self.line:
            return decode_object(self.line)
        return plain(self)

    def __eq__(self, other: object) -> bool:
        """Compare what is said; `line` is provenance."""
        if type(self) is not type(other):
            return NotImplemented
        names = self.__struct_fields__
        return all(_said(self, name) == _said(other, name) for name in names if name != "line")

    __hash__ = None  # type: ignore[assignment]  # as for any mutable value


def _said(message: object, name: str) -> Any:
    """A field as it compares: what is left undecoded counts by its meaning."""
    value = getattr(message, name)
    return read_lazily(value) if isinstance(value, msgspec.Raw) else value


def plain(said: Struct) -> dict[str, Any]:
    """What goes on the wire for a message or a block made here, as plain JSON values."""
    built: dict[str, Any] = _unwrapped(msgspec.to_builtins(said, enc_hook=_as_json))
    return built


def _as_json(value: Any) -> Any:
    if isinstance(value, str):
        return as_text(value)
    # Besides `Raw`, only what triologue tells of itself has such values: the error of an outcome.
    return read_json(value) if isinstance(value, msgspec.Raw) else repr(value)


def _unwrapped(value: Any) -> Any:
    """Put what was kept whole (`UnknownBlock`, `UnknownRequest`, `extra`) in the place of its wrapping."""
    match value:
        case {"type": "#unknown", "data": kept} | {"subtype": "#unknown", "body": kept}:
            return kept
        case {"#extra": dict() as extra, **rest}:
            return {**extra, **_unwrapped(rest)}
        case dict():
            return {name: _unwrapped(item) for name, item in value.items()}
        case list():
            return [_unwrapped(item) for item in value]
        case _:
            return value


def decode_object(data: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode one JSON object; `{}` when there is none."""
    try:
        value = read_json(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
