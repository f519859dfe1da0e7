"""What messages tell of themselves: their text, their data, and whether two say the same."""

import copy

import msgspec
import pytest
from msgspec import Raw
from rich.pretty import pretty_repr

from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    ImageBlock,
    KeepAlive,
    Outcome,
    ServerToolUseBlock,
    StrayText,
    StreamEvent,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    TranscriptMirror,
    TurnEnded,
    UnknownBlock,
    UserBody,
    UserMessage,
    text,
    text_delta,
)
from triologue.messages.message import plain


def delta(text: str, kind: str = "text_delta") -> StreamEvent:
    return StreamEvent.of({"type": "content_block_delta", "index": 2, "delta": {"type": kind, "text": text}})


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("x", "x"),
        (TextBlock(text="x"), "x"),
        (UnknownBlock(data={"type": "text", "text": "x", "new": 1}), "x"),
        (UnknownBlock(data={"type": "new", "text": "x"}), ""),
        (ThinkingBlock(thinking="x"), ""),
        ([TextBlock(text="a"), ImageBlock(source={}), TextBlock(text="b")], "ab"),
        (UserMessage(message=UserBody(content="x")), "x"),
        (AssistantMessage(message=AssistantBody(content=[TextBlock(text="x")], model="m")), "x"),
        (delta("x"), "x"),
        (delta("x", "thinking_delta"), ""),
        (StreamEvent.of({"type": "message_stop"}), ""),
        (StreamEvent.of({"type": 5}), ""),
        (StreamEvent.of({}), ""),
        (StrayText(text="x"), ""),
        (None, ""),
    ],
)
def test_text(item: object, expected: str) -> None:
    assert text(item) == expected


def test_a_text_delta_tells_its_block() -> None:
    assert text_delta(delta("x")) == (2, "x")


def test_a_tool_result_is_decoded_when_asked_for() -> None:
    body = UserBody(content="x")
    assert UserMessage(message=body).tool_use_result is None
    assert UserMessage(message=body, tool_use_result_raw=Raw(b'{"a":"\\ud83d"}')).tool_use_result == {"a": "\ufffd"}
    assert UserMessage(message=body, tool_use_result_raw=Raw(b"{")).tool_use_result is None


def test_so_is_what_is_told_beside_it() -> None:
    body = UserBody(content="x")
    assert UserMessage(message=body).tool_result_meta is None
    assert UserMessage(message=body, tool_result_meta_raw=Raw(b'[{"id":"t"}]')).tool_result_meta == [{"id": "t"}]
    assert UserMessage(message=body, tool_result_meta_raw=Raw(b'{"id":"t"}')).tool_result_meta is None


@pytest.mark.parametrize("kind", [ToolUseBlock, ServerToolUseBlock])
def test_what_a_tool_is_called_with_reads_as_the_object_that_it_is(
    kind: type[ToolUseBlock | ServerToolUseBlock],
) -> None:
    def received(given: bytes) -> ToolUseBlock | ServerToolUseBlock:
        line = b'{"type":"%b","id":"t","name":"add","input":%b}' % (str(kind.__struct_config__.tag).encode(), given)
        return msgspec.json.decode(line, type=kind)

    made = kind(id="t", name="add", input={"a": 1})
    assert received(b'{"a":1}').input == {"a": 1}
    assert received(b'{ "a": 1 }') == made
    assert repr(received(b'{"a":1}')) == repr(made) == f"{kind.__name__}(id='t', name='add', input={{'a': 1}})"
    assert pretty_repr(received(b'{"a":1}')) == repr(made)
    assert received(b'{"a":2}') != made
    assert plain(received(b'{"a":1}')) == plain(made)
    assert msgspec.json.encode(received(b'{"a":1}')) == msgspec.json.encode(made)
    assert copy.deepcopy(received(b'{"a":1}')) == msgspec.structs.replace(received(b'{"a":2}'), input={"a": 1}) == made
    assert [received(odd).input for odd in (b'"x"', b"[1]", b"null")] == [{}, {}, {}]
    given = received(b'{"a":1}')
    assert given.input is given.input
    match given:
        case ToolUseBlock(input={"a": number}) | ServerToolUseBlock(input={"a": number}):
            assert number == 1
        case _:
            pytest.fail("it matches no pattern of what it holds")


def test_calls_of_different_kinds_differ() -> None:
    assert ToolUseBlock(id="t", name="add", input={}) != ServerToolUseBlock(id="t", name="add", input={})


def test_the_lines_of_a_mirror_are_as_they_were_told() -> None:
    mirror = TranscriptMirror.of("/c/x.jsonl", [b'{"a": 1.0}', b"[]"], session_id="s")
    assert (mirror.lines, mirror.entries) == ([b'{"a": 1.0}', b"[]"], [{"a": 1.0}, []])
    assert mirror.data == {
        "type": "transcript_mirror",
        "filePath": "/c/x.jsonl",
        "entries": [{"a": 1.0}, []],
        "session_id": "s",
    }
    assert TranscriptMirror.of("", [b'"\\ud83d"']).lines == ['"\ufffd"'.encode()]
    odd = TranscriptMirror(file_path="", entries_raw=Raw(b"3"))
    assert (odd.lines, odd.entries) == ([], [])


def test_messages_are_equal_when_they_say_the_same() -> None:
    assert KeepAlive(line=b" {} ") == KeepAlive()
    assert UserMessage(message=UserBody(content="a")) != UserMessage(message=UserBody(content="b"))
    assert KeepAlive() != StrayText(text="")


def test_data_of_a_message_made_here_is_what_goes_on_the_wire() -> None:
    message = UserMessage(
        message=UserBody(content=[UnknownBlock(data={"type": "new"})]), tool_use_result_raw=Raw(b"[1]")
    )
    assert message.data == {
        "type": "user",
        "message": {"role": "user", "content": [{"type": "new"}]},
        "tool_use_result": [1],
    }


def test_data_of_an_outcome_shows_its_error() -> None:
    outcome = Outcome(kind="failed", error=ValueError("why"))
    assert TurnEnded(outcome=outcome).data == {
        "type": "#turn_ended",
        "outcome": {
            "kind": "failed",
            "result": None,
            "error": "ValueError('why')",
            "reason": None,
            "into": None,
            "cost_usd": None,
        },
    }
