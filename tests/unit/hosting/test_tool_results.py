"""What a tool may give, and what MCP makes of it."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pytest
from mcp.types import CallToolResult, EmbeddedResource, ImageContent, TextContent, TextResourceContents
from pydantic import AnyUrl

from triologue.hosting.tool_results import failed_result, tool_result
from triologue.messages import DocumentBlock, ImageBlock, TextBlock, ThinkingBlock

PICTURE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
LINK = {"type": "resource_link", "uri": "file:///x", "name": "x"}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (None, []),
        ("text", [said("text")]),
        ("", [said("")]),
        ("caf\u00e9 \udcff", [said("caf\u00e9 \\udcff")]),
        (3, [said("3")]),
        (True, [said("true")]),
        ([], [said("[]")]),
        ([1, "a"], [said('[1,"a"]')]),
        (["a", "b"], [said('["a","b"]')]),
        ([{"type": "dog"}], [said('[{"type":"dog"}]')]),
        (date(2026, 1, 2), [said('"2026-01-02"')]),
        (TextBlock(text="a"), [said("a")]),
        ([TextBlock(text="a"), PICTURE], [said("a"), PICTURE]),
        ([ImageBlock(source=PNG), {"type": "image", "source": PNG}], [PICTURE, PICTURE]),
        (
            ImageBlock(source={"type": "url", "url": "https://x"}),
            [{"type": "resource_link", "uri": "https://x", "name": "image"}],
        ),
        (
            DocumentBlock(source={"type": "base64", "media_type": "application/pdf", "data": "AAAA"}),
            [
                {
                    "type": "resource",
                    "resource": {"uri": "document:result", "mimeType": "application/pdf", "blob": "AAAA"},
                }
            ],
        ),
        (
            DocumentBlock(source={"type": "text", "media_type": "text/plain", "data": "x"}),
            [{"type": "resource", "resource": {"uri": "document:result", "mimeType": "text/plain", "text": "x"}}],
        ),
        (
            DocumentBlock(source={"type": "url", "url": "https://x"}, title="Report"),
            [{"type": "resource_link", "uri": "https://x", "name": "Report"}],
        ),
        (LINK, [LINK]),
        ([LINK, said("a")], [LINK, said("a")]),
        (TextContent(type="text", text="a"), [said("a")]),
        ([ImageContent(type="image", data="AAAA", mimeType="image/png")], [PICTURE]),
        (
            EmbeddedResource(type="resource", resource=TextResourceContents(uri=AnyUrl("file:///x"), text="a")),
            [{"type": "resource", "resource": {"uri": "file:///x", "text": "a"}}],
        ),
        ({"content": []}, []),
        ({"content": [said("a"), TextBlock(text="b"), PICTURE]}, [said("a"), said("b"), PICTURE]),
    ],
)
def test_content(value: Any, content: Any) -> None:
    result = tool_result(value)
    assert result == {"content": content, "isError": False}
    CallToolResult.model_validate(result)


@dataclass
class Place:
    x: int


class Point(msgspec.Struct):
    x: int


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"x": 1}, {"x": 1}),
        ({}, {}),
        (Place(1), {"x": 1}),
        (Point(1), {"x": 1}),
        ({"content": "of a file"}, {"content": "of a file"}),
        ({"content": ["a"]}, {"content": ["a"]}),
        ({"content": [], "title": "x"}, {"content": [], "title": "x"}),
        ({"type": "text"}, {"type": "text"}),
        ({"x": float("nan")}, {"x": None}),
    ],
)
def test_an_object_is_also_structured_content(value: Any, plain: Any) -> None:
    result = tool_result(value)
    assert result == {
        "content": [said(msgspec.json.encode(plain).decode())],
        "isError": False,
        "structuredContent": plain,
    }
    CallToolResult.model_validate(result)


@pytest.mark.parametrize("key", ["is_error", "isError"])
def test_errors_and_what_comes_with_a_whole_result(key: str) -> None:
    whole = {"content": [said("a")], "structuredContent": {"x": 1}, "_meta": {"m": 1}}
    assert tool_result({**whole, key: True}) == {**whole, "isError": True}
    own = CallToolResult(content=[TextContent(type="text", text="a")], isError=True)
    assert tool_result(own) == {"content": [said("a")], "isError": True} == failed_result("a")


def test_what_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="a tool's result cannot hold a ThinkingBlock; it can hold text, image"):
        tool_result([ThinkingBlock(thinking="hm")])
    with pytest.raises(ValueError, match="a tool's result cannot hold a dog"):
        tool_result({"content": [{"type": "dog"}]})
    with pytest.raises(TypeError, match="unsupported"):
        tool_result(object())
