"""Any bytes, in any chunks: the same messages, one for each line that is not blank, and nothing raised."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from triologue.messages import (
    MalformedMessage,
    Message,
    OversizeMessage,
    StrayText,
    StreamEvent,
    UnknownMessage,
    UserMessage,
    text,
)
from triologue.testing.strategies import broken_lines, cuts, frame_lines, lines, messages
from triologue.wire import Reader, decode_line, encode


def read(chunks: list[bytes], **options: Any) -> list[Message]:
    reader = Reader(**options)
    received = [message for chunk in chunks for message in reader.feed(chunk)]
    return received + reader.close()


def is_blank(line: bytes) -> bool:
    return not line.removeprefix(b"\xef\xbb\xbf").strip()


def told(batch: list[Message]) -> list[tuple[Message, bytes]]:
    return [(message, message.line) for message in batch]


def look_at(message: Message) -> None:
    """Use everything that reads lazily."""
    assert isinstance(message.data, dict)
    assert isinstance(text(message), str)
    if isinstance(message, StreamEvent):
        assert isinstance(message.event, dict)
    if isinstance(message, UserMessage):
        _ = message.tool_use_result
        assert isinstance(message.tool_result_meta, list | None)


def check_stream(data: st.DataObject) -> None:
    sent = data.draw(st.lists(lines(), max_size=6))
    ends_in_newline = data.draw(st.booleans())
    stream = b"\n".join(sent) + (b"\n" if ends_in_newline and sent else b"")
    expected = [line for line in sent if not is_blank(line)]

    whole = read([stream])
    chunked = read(data.draw(cuts(stream)))

    assert [message.line for message in whole] == expected
    assert told(chunked) == told(whole)
    for message in whole:
        look_at(message)
        assert encode(message) == message.line + b"\n"


@given(st.data())
def test_any_stream_in_any_chunks(data: st.DataObject) -> None:
    check_stream(data)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=10_000)
@given(st.data())
def test_ten_thousand_streams(data: st.DataObject) -> None:
    check_stream(data)


@given(st.data(), st.integers(1, 200))
def test_long_lines_are_told_and_skipped_whatever_the_chunks(data: st.DataObject, limit: int) -> None:
    sent = data.draw(st.lists(lines(), max_size=6))
    stream = b"\n".join(sent)

    whole = read([stream], max_message_bytes=limit)
    chunked = read(data.draw(cuts(stream)), max_message_bytes=limit)

    assert told(chunked) == told(whole)
    accounted = [
        (message.size, message.head) if isinstance(message, OversizeMessage) else message.line for message in whole
    ]
    assert accounted == [
        (len(line), line[:limit]) if len(line) > limit else line
        for line in sent
        if len(line) > limit or not is_blank(line)
    ]


@given(messages())
def test_what_is_sent_is_what_is_received(message: Message) -> None:
    said = message.data  # as it is sent: an input that is no object is one once somebody has looked at it
    line = encode(message)
    received = decode_line(line)
    assert received == message
    assert received is not None
    assert received.data == said
    assert encode(received) == line


@given(frame_lines())
def test_a_json_object_is_never_malformed(line: bytes) -> None:
    assert not isinstance(decode_line(line), MalformedMessage | StrayText)


@given(broken_lines(), frame_lines())
def test_the_line_after_a_broken_one_is_read_as_usual(broken: bytes, good: bytes) -> None:
    *_, last = read([broken + b"\n" + good + b"\n"])
    assert told([last]) == told(read([good]))


def test_an_unknown_type_keeps_its_name() -> None:
    assert decode_line(b'{"type":"x_new","a":1}') == UnknownMessage(kind="x_new")
