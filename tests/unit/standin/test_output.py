"""Lines as the vendors' SDKs can read them, however a stream is cut."""

import json
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from triologue.messages import AssistantBody, AssistantMessage, Message, TextBlock, UserBody, UserMessage
from triologue.standin.output import HIGH_WATER, SDK_LINE, Writer, encode_ascii, encode_raw, encode_unspaced
from triologue.wire import decode_line


def said(text: str) -> Message:
    return AssistantMessage(message=AssistantBody(content=[TextBlock(text=text)], model="m"))


def read_by_bytes(stream: bytes, size: int) -> list[Any]:
    """As Cortex Code's SDK reads: each piece is decoded and stripped by itself."""
    pieces = (stream[start : start + size].decode().strip() for start in range(0, len(stream), size))
    return [json.loads(line) for line in "".join(pieces).replace("}{", "}\n{").split("\n")]


def read_by_characters(stream: bytes, size: int) -> list[Any]:
    """As Qoder's SDK reads: pieces of decoded text are stripped."""
    text = stream.decode()
    pieces = (text[start : start + size].strip() for start in range(0, len(text), size))
    return [json.loads(line) for line in "".join(pieces).replace("}{", "}\n{").split("\n")]


texts = st.lists(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \u00a0\u3000\u0085")), max_size=40),
                 min_size=1, max_size=4)  # fmt: skip


@given(texts.filter(lambda all: not any("}{" in each for each in all)), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_lines_survive_pieces_of_any_size(texts: list[str], size: int) -> None:
    for encode_line, read in ((encode_ascii, read_by_bytes), (encode_unspaced, read_by_characters)):
        stream = b"".join(encode_line(said(text)) for text in texts)
        assert b" " not in stream
        assert [frame["message"]["content"][0]["text"] for frame in read(stream, size)] == texts


@given(st.text())
def test_raw_lines_are_lines_for_everyone(text: str) -> None:
    line = encode_raw(said(text))
    assert line.decode().splitlines(keepends=True) == [line.decode()]
    assert json.loads(line)["message"]["content"][0]["text"] == text


def test_what_an_encoded_line_looks_like() -> None:
    prompt = UserMessage(message=UserBody(content="a b\u00e9\U0001f600\x7f"))
    assert encode_ascii(prompt) == (
        rb'{"type":"user","message":{"content":"a\u0020b\u00e9\ud83d\ude00\u007f","role":"user"}}' + b"\n"
    )
    assert encode_unspaced(prompt) == (
        '{"type":"user","message":{"content":"a\\u0020b\u00e9\U0001f600\x7f","role":"user"}}\n'.encode()
    )
    assert (
        encode_raw(prompt) == '{"type":"user","message":{"content":"a b\u00e9\U0001f600\x7f","role":"user"}}\n'.encode()
    )


def test_spaces_between_tokens_stay_out_of_strings() -> None:
    received = decode_line(b'{"type": "user", "message": {"role": "user", "content": "a b"}}')
    assert received is not None
    assert encode_unspaced(received) == rb'{"type":"user","message":{"role":"user","content":"a\u0020b"}}' + b"\n"


def test_a_line_is_not_pushed_over_the_limit() -> None:
    text = "a " * (SDK_LINE // 3)
    line = encode_ascii(said(text))
    assert len(line) < SDK_LINE
    assert json.loads(line)["message"]["content"][0]["text"] == text


async def test_the_engine_waits_for_a_slow_host() -> None:
    here, there = trio.testing.lockstep_stream_pair()
    writer = Writer(here, encode_raw)
    settled: list[float] = []

    async def settle() -> None:
        await writer.settle()
        settled.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.put([said("x" * HIGH_WATER)])
        nursery.start_soon(settle)
        await trio.testing.wait_all_tasks_blocked()
        assert settled == []
        read = bytearray()
        while len(read) < HIGH_WATER:
            read += await there.receive_some()
        await writer.finish()
        await settle()
        assert len(settled) == 2
        assert json.loads(read)["message"]["content"][0]["text"] == "x" * HIGH_WATER
        nursery.cancel_scope.cancel()


async def test_a_host_that_is_gone_holds_up_nobody() -> None:
    here, there = trio.testing.memory_stream_pair()
    writer = Writer(here, encode_raw)
    await there.aclose()
    writer.put([said("x" * 2 * HIGH_WATER)])
    await writer.run()
    assert writer.is_broken
    writer.put([said("more")])
    await writer.settle()
    await writer.finish()


@pytest.mark.parametrize("encode_line", [encode_raw, encode_ascii])
async def test_lines_keep_their_order(encode_line: Any) -> None:
    here, there = trio.testing.memory_stream_pair()
    writer = Writer(here, encode_line)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for number in range(100):
            writer.put([said(str(number)), said(f"{number} too")])
            if number % 10 == 0:
                await trio.testing.wait_all_tasks_blocked()
        await writer.finish()
        nursery.cancel_scope.cancel()
    await here.aclose()
    read = b"".join([piece async for piece in there])
    texts = [json.loads(line)["message"]["content"][0]["text"] for line in read.splitlines()]
    assert texts == [text for number in range(100) for text in (str(number), f"{number} too")]
