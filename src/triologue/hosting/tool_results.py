"""What a tool gave, as MCP says it: content for the model, and the value itself where JSON calls it an object."""

from typing import Any

import msgspec

from triologue.messages import Block, DocumentBlock, ImageBlock, TextBlock

# Each kind of MCP's content with what it must have, so that a value with a `type` of its own is not taken for one.
_KINDS = {
    "text": ("text",),
    "image": ("data", "source"),
    "audio": ("data",),
    "resource": ("resource",),
    "resource_link": ("uri",),
}
_OUTCOME = {"content", "is_error", "isError", "structuredContent", "_meta"}


def tool_result(value: Any) -> dict[str, Any]:
    """The result of a call: text, content (blocks, MCP's or the vendors' dicts), or any JSON value.

    Raises:
        TypeError: JSON cannot express it.
        ValueError: content that MCP does not have.
    """
    value = plain_model(value)
    if value is None:
        return _result([])
    if isinstance(value, str):
        return _result([_text(value)])
    if _is_outcome(value):
        is_error = bool(value.get("is_error") or value.get("isError"))
        more = {key: value[key] for key in ("structuredContent", "_meta") if value.get(key) is not None}
        return {**_result([_content(item) for item in value["content"]], is_error=is_error), **more}
    if _is_content(value):
        return _result([_content(value)])
    if isinstance(value, list | tuple) and value and all(_is_content(plain_model(item)) for item in value):
        return _result([_content(item) for item in value])
    encoded = msgspec.json.encode(value)
    result = _result([_text(encoded.decode())])
    if encoded.startswith(b"{"):
        result["structuredContent"] = msgspec.json.decode(encoded)
    return result


def failed_result(reason: str) -> dict[str, Any]:
    """An error that the model is told."""
    return _result([_text(reason)], is_error=True)


def _result(content: list[dict[str, Any]], *, is_error: bool = False) -> dict[str, Any]:
    return {"content": content, "isError": is_error}


def plain_model(value: Any) -> Any:
    """What the MCP library's own objects hold."""
    dump = getattr(value, "model_dump", None)
    return dump(by_alias=True, mode="json", exclude_none=True) if callable(dump) else value


def _is_outcome(value: Any) -> bool:
    """Whether it is a whole result, and not a value that happens to have a `content`."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("content"), list | tuple)
        and value.keys() <= _OUTCOME
        and all(isinstance(item, Block) or hasattr(item, "model_dump") or _has_type(item) for item in value["content"])
    )


def _has_type(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("type"), str)


def _is_content(value: Any) -> bool:
    if isinstance(value, Block):
        return True
    return _has_type(value) and any(key in value for key in _KINDS.get(value["type"], ()))


def _content(item: Any) -> dict[str, Any]:
    item = plain_model(item)
    match item:
        case TextBlock(text=text):
            return _text(text)
        case ImageBlock(source=source) | {"type": "image", "source": dict() as source}:
            return _media("image", source)
        case DocumentBlock(source=source, title=title):
            return _document(source, title or "document")
        case {"type": "text", "text": str() as text}:
            return {**item, "text": _writable(text)}
        case {"type": kind} if kind in _KINDS:
            return dict(item)
        case _:
            pass
    kind = type(item).__name__ if isinstance(item, Block) else item.get("type")
    raise ValueError(f"a tool's result cannot hold a {kind}; it can hold {', '.join(_KINDS)}")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": _writable(text)}


def _writable(text: str) -> str:
    """The text with what UTF-8 cannot write (half a surrogate pair, as in odd file names) escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _media(kind: str, source: dict[str, Any]) -> dict[str, Any]:
    if source.get("type") == "url":
        return {"type": "resource_link", "uri": source.get("url"), "name": kind}
    return {"type": kind, "data": source.get("data"), "mimeType": source.get("media_type")}


def _document(source: dict[str, Any], title: str) -> dict[str, Any]:
    if source.get("type") == "url":
        return {"type": "resource_link", "uri": source.get("url"), "name": title}
    resource = {"uri": "document:result", "mimeType": source.get("media_type")}
    part = "text" if source.get("type") == "text" else "blob"
    return {"type": "resource", "resource": {**resource, part: source.get("data")}}
