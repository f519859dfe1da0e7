"""Lines that are no frames, and frames on their way out."""

import pytest

from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    Initialize,
    Interrupt,
    KeepAlive,
    MalformedMessage,
    Message,
    OversizeMessage,
    SetModel,
    StrayText,
    TextBlock,
    UnknownBlock,
    UnknownMessage,
    UnknownRequest,
    UserBody,
    UserMessage,
)
from triologue.wire import Reader, decode_line, encode


def test_the_next_line_is_read_as_usual() -> None:
    reader = Reader(max_message_bytes=60)
    good = b'{"type":"keep_alive"}'
    batch = reader.feed(b"\n".join([b"warning", good, b"{oops", good, b"x" * 61, b"", good, b'{"type":"new"}', good]))
    assert [*batch, *reader.close()] == [
        StrayText(text="warning"),
        KeepAlive(),
        MalformedMessage(
            error="JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
        ),
        KeepAlive(),
        OversizeMessage(size=61, head=b"x" * 60),
        KeepAlive(),
        UnknownMessage(kind="new"),
        KeepAlive(),
    ]


@pytest.mark.parametrize("line", [b"", b"  ", b"\t\r", b"\xef\xbb\xbf", b"\n"])
def test_a_blank_line_says_nothing(line: bytes) -> None:
    assert decode_line(line) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"  a warning \r", "a warning"),
        (b"[1]", "[1]"),
        (b"null", "null"),
        (b'"text"', '"text"'),
        ("\u2028".encode(), "\u2028"),
        (b"\xef\xbb\xbfbom", "bom"),
        (b"caf\xe9 \x00", "caf\ufffd \0"),
    ],
)
def test_what_is_no_object_is_stray_text(line: bytes, text: str) -> None:
    message = decode_line(line)
    assert message == StrayText(text=text)
    assert message is not None
    assert (message.line, message.data) == (line, {})


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"type":"keep_alive"',
        b'{"type":"keep_alive"}{"type":"keep_alive"}',
        b'{"type":"keep_alive"} x',
        b'{"type":"x","y":' + b"[" * 100_000,
        b'{"type":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["open", "cut", "two", "more", "deep and cut", "deep"],
)
def test_a_broken_object_is_malformed_and_its_line_is_kept(line: bytes) -> None:
    message = decode_line(line)
    assert isinstance(message, MalformedMessage)
    assert message.line == line


@pytest.mark.parametrize(
    "line", [b'\xef\xbb\xbf{"type":"keep_alive"}', b' {"type" : "keep_alive"}\t\r', b'{"type":"keep_alive"}\n']
)
def test_space_and_a_byte_order_mark_around_a_frame_do_not_matter(line: bytes) -> None:
    message = decode_line(line)
    assert message == KeepAlive()
    assert message is not None
    assert encode(message) == line.removesuffix(b"\n") + b"\n"
    assert message.data == {"type": "keep_alive"}


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    line = b'{"type":"user","uuid":"a","message":{"content":"x"},"uuid":"b"}'
    assert decode_line(line) == UserMessage(message=UserBody(content="x"), uuid="b")


def test_an_integer_without_end_is_read_as_none() -> None:
    message = decode_line(b'{"type":"new","n":' + b"9" * 5000 + b',"m":' + b"9" * 30 + b"}")
    assert message is not None
    assert message.data == {"type": "new", "n": None, "m": int("9" * 30)}


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (KeepAlive(), b'{"type":"keep_alive"}'),
        (
            UserMessage(message=UserBody(content="héllo\u2028\n"), uuid="u", client_composed=True),
            '{"type":"user","message":{"content":"héllo\u2028\\n","role":"user"},"uuid":"u","client_composed":true}'.encode(),
        ),
        (
            ControlRequest(request_id="r", request=Initialize()),
            b'{"type":"control_request","request_id":"r","request":{"subtype":"initialize","hooks":null}}',
        ),
        (
            ControlRequest(request_id="r", request=Interrupt()),
            b'{"type":"control_request","request_id":"r","request":{"subtype":"interrupt"}}',
        ),
        (
            ControlRequest(request_id="r", request=SetModel()),
            b'{"type":"control_request","request_id":"r","request":{"subtype":"set_model","model":null}}',
        ),
        (
            ControlRequest(request_id="r", request=UnknownRequest(body={"subtype": "get_settings"})),
            b'{"type":"control_request","request_id":"r","request":{"subtype":"get_settings"}}',
        ),
        (
            AssistantMessage(
                message=AssistantBody(
                    content=[TextBlock(text="a"), UnknownBlock(data={"type": "new", "n": [1]})], model="m"
                )
            ),
            (
                b'{"type":"assistant","message":{"content":[{"type":"text","text":"a"},{"type":"new","n":[1]}],"model":"m",'
                b'"type":"message","role":"assistant"}}'
            ),
        ),
        (
            UserMessage(message=UserBody(content="x"), extra={"new": 1}),
            b'{"new":1,"type":"user","message":{"content":"x","role":"user"}}',
        ),
        (
            ControlResponse(response=ControlSuccess(request_id="r", response={"file": "caf\udce9", "n": 2**70})),
            '{"type":"control_response","response":{"subtype":"success","request_id":"r","response":'
            '{"file":"caf\ufffd","n":1180591620717411303424}}}'.encode(),
        ),
    ],
    ids=lambda case: case.decode()[:80] if isinstance(case, bytes) else "",
)
def test_what_is_made_here_is_one_compact_line(message: Message, line: bytes) -> None:
    assert encode(message) == line + b"\n"
    received = decode_line(line)
    assert received is not None
    assert encode(received) == line + b"\n"
