"""The slow road of decoding: whatever can be read of an odd frame is read, and nothing raises.

The fast road (`codec`) decodes a line straight into its struct and fails on the first field of a wrong type. Then this
module goes field by field: what fits is taken, what does not gets its default, and the line keeps the rest.
"""

from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from triologue.messages import (
    SYSTEM_TYPES,
    AnyRequest,
    AssistantMessage,
    ContentBlock,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    KeepAlive,
    MalformedMessage,
    Message,
    Notice,
    ResultMessage,
    StrayText,
    StreamEvent,
    SystemMessage,
    TextBlock,
    UnknownMessage,
    UnknownRequest,
    UserMessage,
)
from triologue.messages.blocks import read_block
from triologue.messages.loose import BOM, read_json

S = TypeVar("S", bound=Struct)


def _by_tag(types: tuple[Any, ...]) -> dict[str, Any]:
    return {str(kind.__struct_config__.tag): kind for kind in types}


FRAMES: dict[str, type[Message]] = _by_tag(
    (AssistantMessage, UserMessage, ResultMessage, StreamEvent, ControlCancel, KeepAlive, *get_args(Notice))
)
REQUESTS: dict[str, Any] = _by_tag(get_args(AnyRequest))
del REQUESTS[str(UnknownRequest.__struct_config__.tag)]

# Qoder's other names: of a frame, of a request, and of fields in a request.
FRAMES["control_cancel"] = ControlCancel
REQUESTS["elicitation_response"] = REQUESTS["elicitation"]
FIELD_ALIASES: dict[str, dict[str, str]] = {
    "can_use_tool": {"tool_input": "input", "suggestions": "permission_suggestions"},
    "elicitation_response": {"prompt": "message"},
    "hook_callback": {"hook_id": "callback_id"},
}

# What a required field is when its frame lacks it or has something unreadable there.
_ZEROES: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False}


def decode_odd(line: bytes) -> Message | None:
    """Read a line that the fast road refused. None for a blank line."""
    content = line.removeprefix(BOM).strip()
    if not content:
        return None
    if not content.startswith(b"{"):
        return StrayText(line=line, text=content.decode("utf-8", "replace"))
    try:
        message = _read(read_json(content))
    except (ValueError, RecursionError) as error:
        return MalformedMessage(line=line, error=f"{type(error).__name__}: {error}")
    message.line = line
    return message


def _read(frame: dict[str, Any]) -> Message:
    kind = frame.get("type")
    match kind:
        case "system":
            return fill(SYSTEM_TYPES.get(_string(frame.get("subtype")), SystemMessage), frame)
        case "result":
            # Without this, an error that does not say so would count as an answer.
            is_error = _string(frame.get("subtype")).startswith("error")
            return fill(ResultMessage, frame, is_error=is_error)
        case "control_request":
            return ControlRequest(
                request_id=_string(frame.get("request_id")), request=read_request(frame.get("request"))
            )
        case "control_response":
            return ControlResponse(response=_response(frame.get("response")))
        case str() if kind in FRAMES:
            return fill(FRAMES[kind], frame)
        case _:
            return UnknownMessage(kind=_string(kind))


def read_request(value: Any) -> AnyRequest:
    """The body of a control request as its class, under whichever of its names its subtype and its fields come."""
    body: dict[str, Any] = value if isinstance(value, dict) else {}
    subtype = UnknownRequest(body=body).subtype
    if subtype not in REQUESTS:
        return UnknownRequest(body=body)
    aliases = FIELD_ALIASES.get(subtype, {})
    # The field's own name wins, so it comes last.
    named = {aliases[name]: item for name, item in body.items() if name in aliases} | body
    request: AnyRequest = fill(REQUESTS[subtype], named)
    return request


def _response(value: Any) -> ControlSuccess | ControlError:
    body: dict[str, Any] = value if isinstance(value, dict) else {}
    if body.get("subtype") == "success":
        return fill(ControlSuccess, body)
    return fill(ControlError, body, error=f"an answer without a reason: {value!r:.200}")


def fill(kind: type[S], given: dict[str, Any], **otherwise: Any) -> S:
    """Make a struct of what can be read in `given`.

    Args:
        kind: the struct.
        given: its fields by their wire names, with values of any type.
        otherwise: what required fields are if they cannot be read; else they are empty or zero.
    """
    values: dict[str, Any] = {}
    for info in msgspec.structs.fields(kind):
        if info.encode_name in given:
            try:
                values[info.name] = _fitted(given[info.encode_name], info.type)
                continue
            except (ValueError, RecursionError):
                pass
        if info.required:
            values[info.name] = otherwise[info.name] if info.name in otherwise else _zero(info.type)
    return kind(**values)


def _fitted(value: Any, wanted: Any) -> Any:
    """The value as the type that a field wants; raises ValueError when it does not fit."""
    members = _members(wanted)
    if Raw in members:
        return Raw(msgspec.json.encode(value))
    if list[ContentBlock] in members:
        return _content(value, or_text=str in members)
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return fill(wanted, value if isinstance(value, dict) else {})
    if str in members and type(value) in (int, float):
        return str(value)
    return msgspec.convert(value, wanted, strict=False)


def _content(value: Any, *, or_text: bool) -> str | list[ContentBlock]:
    match value:
        case list():
            return [read_block(item) for item in value]
        case str():
            return value if or_text else [TextBlock(text=value)]
        case None:
            raise ValueError("no content")
        case _:
            return [read_block(value)]


def _zero(wanted: Any) -> Any:
    """The emptiest value of a type; of a union, of its first member."""
    first = _members(wanted)[0]
    container = get_origin(first)
    if container is not None:
        return container()
    if first is Raw:
        return Raw(b"null")
    if isinstance(first, type) and issubclass(first, Struct):
        return fill(first, {})
    return _ZEROES.get(first)


def _members(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _string(value: Any) -> str:
    match value:
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return ""
