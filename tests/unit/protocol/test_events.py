"""Events over the wire: an agent's lines go through as they are, and come out as the same messages."""

import json

import msgspec
import pytest
from hypothesis import given, strategies as st

from triologue.messages import (
    Event,
    Gap,
    MalformedMessage,
    Outcome,
    OversizeMessage,
    ResultMessage,
    StateChanged,
    StrayText,
    TurnAccepted,
    TurnEnded,
    UnknownMessage,
    user_message,
)
from triologue.protocol.events import Labels, event_of, frame
from triologue.protocol.told import Events, Told
from triologue.wire import decode_line

read = msgspec.json.Decoder(Told).decode


def over_the_wire(*events: Event) -> list[Event]:
    labels = Labels("a key")
    told = read(frame([labels.event(event.seq, event.turn_id, event.message) for event in events]))
    assert isinstance(told, Events)
    assert {each.key for each in told.events} == {"a key"}
    return [event_of(each) for each in told.events]


LINES = [
    b'{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"hi"}]},"new":1}',
    b'{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{}},"session_id":"s","uuid":"u"}',
    b'  {"type":"result","subtype":"success","is_error":false,"num_turns":1,"duration_ms":1,"duration_api_ms":1,"session_id":"s"}',
    b'{"type":"of_tomorrow","n":[1,2.5,null]}',
    b'{"type":"#turn_ended","kind":"answered"}',
    b'{"type":"#gap","first":1,"last":2}',
    b'"a string"',
    b"a log line",
    b'{"half',
    b'{"type":"user","message":{"role":"user","content":"\\ud800"}}',
    b'{"type":"system","subtype":"x","n":NaN}',
    b"[1,2]",
]


@pytest.mark.parametrize("line", LINES)
def test_what_an_agent_said_comes_out_as_it_went_in(line: bytes) -> None:
    message = decode_line(line)
    assert message is not None
    event = Event(3, "t", message)
    (out,) = over_the_wire(event)
    assert out == event
    assert out.message.line == line.strip()


@pytest.mark.parametrize(
    "message",
    [
        Gap(first=1, last=7),
        StateChanged(state="idle"),
        TurnAccepted(prompt=user_message("hi"), meta={"a": "b"}),
        OversizeMessage(size=9, head=b"\xff"),
        TurnEnded(outcome=Outcome(kind="answered", reason="because", cost_usd=0.5)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_triologue_says_comes_out_as_it_went_in(message: Gap) -> None:
    assert over_the_wire(Event(4, None, message)) == [Event(4, None, message)]


def test_what_a_turn_has_cost_goes_with_its_result() -> None:
    events = [Event(seq, "t", decode_line(LINES[2]) or StrayText(text="")) for seq in (1, 2, 3)]
    costs = [0.5, None, 0.25]
    for event, cost in zip(events, costs, strict=True):
        assert isinstance(event.message, ResultMessage)
        event.message.cost_usd = cost
    out = over_the_wire(*events)
    assert out == events
    assert [event.message.cost_usd for event in out if isinstance(event.message, ResultMessage)] == costs


def test_an_agent_cannot_pretend_to_be_triologue() -> None:
    message = decode_line(b'{"type":"#gap","first":1,"last":2}')
    assert isinstance(message, UnknownMessage)
    told = json.loads(Labels("k").event(1, None, message))
    assert told == {
        "key": "k",
        "seq": 1,
        "turn": None,
        "kind": "unknown",
        "message": {"type": "#gap", "first": 1, "last": 2},
    }


@given(
    st.binary(min_size=1).filter(lambda line: b"\n" not in line),
    st.text().filter(lambda key: key.isprintable()),
    st.none() | st.text(alphabet='ab"\\é'),
)
def test_whatever_a_line_holds_every_json_reader_can_read_its_event(line: bytes, key: str, turn: str | None) -> None:
    message = decode_line(line)
    if message is None:
        return
    event = json.loads(Labels(key).event(1, turn, message))
    assert (event["key"], event["turn"]) == (key, turn)


def test_text_that_is_no_utf_8_loses_only_what_no_text_can_hold() -> None:
    for kind, line in ((StrayText, b"caf\xe9"), (MalformedMessage, b'{"caf\xe9')):
        message = decode_line(line)
        assert isinstance(message, kind)
        (out,) = over_the_wire(Event(1, None, message))
        assert out.message.line == line.decode("utf-8", "replace").encode()
