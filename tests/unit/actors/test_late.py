"""Partial text added up, whatever an agent sends as such."""

from collections.abc import Callable
from itertools import groupby
from string import ascii_letters
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec import Raw

from triologue.actors.late import Late
from triologue.messages import StreamEvent, text
from triologue.wire import decode_line

T = TypeVar("T")

KINDS = st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "citations_delta", "", 7, None])
NAMES = st.sampled_from(["text", "thinking", "partial_json", "", "index"])
DELTAS: st.SearchStrategy[object] = st.dictionaries(NAMES, st.sampled_from(["x", "", 1, None])) | st.sampled_from(
    ["x", None, []]
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, object]:
    delta = draw(DELTAS)
    if isinstance(delta, dict) and draw(st.booleans()):
        delta = {**delta, "type": draw(KINDS)}
    return {"type": draw(st.sampled_from(["content_block_delta", "message_start"])), "index": 0, "delta": delta}


def added_up(*said: dict[str, object]) -> list[dict[str, object]]:
    late = Late()
    late.add("turn", [StreamEvent.of(event) for event in said])
    return [partial.event for _, partial in late.take()]


@pytest.mark.parametrize(
    "delta", [{"type": "citations_delta", "": "x"}, {"": "x"}, {"type": None, "": "x"}], ids=msgspec.json.encode
)
def test_deltas_of_no_known_kind_stay_apart(delta: dict[str, object]) -> None:
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    assert added_up(event, event) == [event, event]


def test_text_does_not_go_into_an_event_without_a_type_where_nobody_would_read_it() -> None:
    delta = {"index": 0, "delta": {"type": "text_delta", "text": "a"}}
    event = {"type": "content_block_delta", **delta}
    assert added_up(delta, event, delta) == [delta, event, delta]


@pytest.mark.parametrize("kind", ["text_delta", "thinking_delta"])
def test_a_delta_with_pieces_of_two_kinds_stays_apart(kind: str) -> None:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": kind, "thinking": "a", "text": "b"}}
    assert added_up(event, event) == [event, event]


@given(st.lists(events(), max_size=5))
def test_no_piece_is_lost_whatever_an_agent_sends(said: list[dict[str, object]]) -> None:
    def pieces(all_events: list[dict[str, object]]) -> str:
        deltas = [event["delta"] for event in all_events]
        return "".join(str(delta.get("text", "")) for delta in deltas if isinstance(delta, dict))

    assert pieces(added_up(*said)) == pieces(said)


PLACES = st.tuples(
    st.sampled_from(["t", "u", None]),
    st.sampled_from(["p", None]),
    st.sampled_from([0, 1, None]),
    st.sampled_from([("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]),
)


@given(st.lists(PLACES, max_size=12))
def test_only_what_follows_in_the_same_block_is_added_up(places: list[tuple[Any, Any, Any, tuple[str, str]]]) -> None:
    def partial(parent: str | None, index: int | None, kind: tuple[str, str], piece: str) -> StreamEvent:
        delta = {"type": kind[0], kind[1]: piece}
        return StreamEvent.of(
            {"type": "content_block_delta", "index": index, "delta": delta}, parent_tool_use_id=parent
        )

    late, expected = Late(), list[tuple[str | None, StreamEvent]]()
    numbered = zip(places, ascii_letters, strict=False)
    for (turn, parent, index, kind), said in groupby(numbered, lambda each: each[0]):
        pieces = [letter for _, letter in said]
        for piece in pieces:
            late.add(turn, [partial(parent, index, kind, piece)])
        expected.append((turn, partial(parent, index, kind, "".join(pieces))))
    assert late.take() == expected


EVENT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"stream_event","ttft_ms":7,"event":%b,"uuid":"u","cls":[1]}' % EVENT,
        b'{"type":"stream_event","copy":%b,"event":%b,"uuid":"u"}' % (EVENT, EVENT),
        b'{"type":"stream_event","x":"\xff","event":%b,"parent_tool_use_id":"p"}' % EVENT,
        b'{"type":"stream_event","copy":%b,"event":%b,"parent_tool_use_id":7}' % (EVENT, EVENT),
    ],
    ids=["as it comes", "with a copy", "repaired", "of a parent that is no text"],
)
def test_what_is_added_up_says_all_that_the_first_one_says_beside_its_text(line: bytes) -> None:
    partial = decode_line(line)
    assert isinstance(partial, StreamEvent)
    late = Late()
    late.add("turn", [partial, partial])
    [(turn_id, both)] = late.take()
    expected = partial.data
    expected["event"]["delta"]["text"] = "aa"
    assert (turn_id, both.data | {"parent_tool_use_id": both.parent_tool_use_id}) == (
        "turn",
        expected | {"parent_tool_use_id": partial.parent_tool_use_id},
    )
    assert both.parent_tool_use_id == partial.parent_tool_use_id
    assert decode_line(both.line) == both


def test_what_cannot_be_decoded_as_a_whole_is_added_up_all_the_same() -> None:
    deep = b'{"type":"stream_event","x":%b,"event":%b}' % (b"[" * 5000 + b"]" * 5000, EVENT + b" ")
    partial = StreamEvent(line=deep, event_raw=Raw(EVENT + b"\n"))
    late = Late()
    late.add("turn", [partial, partial])
    assert [both.event["delta"]["text"] for _, both in late.take()] == ["aa"]


def deeper(calls: int, act: Callable[[], T]) -> T:
    return deeper(calls - 1, act) if calls else act()


@pytest.mark.parametrize("name", [b"index", b"more"])
def test_text_beside_what_is_nested_nearly_too_deeply_is_not_lost(name: bytes) -> None:
    event = b'{"type":"content_block_delta","%b":%b,"delta":{"type":"text_delta","text":"a"}}'
    partial = decode_line(b'{"type":"stream_event","event":%b}' % (event % (name, b"[" * 900 + b"]" * 900)))
    assert isinstance(partial, StreamEvent)
    whole = partial.event, text(partial)

    def added() -> list[StreamEvent]:
        late = Late()
        late.add("turn", [partial, partial])
        return [each for _, each in late.take()]

    for calls in range(120):
        said = deeper(calls, added)
        assert said == [partial, partial] or [each.event["delta"]["text"] for each in said] == ["aa"]
        assert deeper(calls, lambda: partial.event) in ({}, whole[0])
        assert deeper(calls, lambda: text(partial)) in ("", whole[1])
