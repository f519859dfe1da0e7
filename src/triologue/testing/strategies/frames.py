"""Hypothesis strategies for everything that can be on the wire, as it should be and as it should not.

A strategy for a struct is made from its annotations, so a field or a frame that is added later is drawn too. Each is
made once, because hypothesis learns the size of a strategy anew for each object.
"""

from functools import cache
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import Raw, Struct, UnsetType

from triologue.messages import (
    SYSTEM_TYPES,
    AssistantMessage,
    ContentBlock,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    KeepAlive,
    Message,
    Notice,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    UnknownBlock,
    UnknownRequest,
    UserMessage,
)

Json: TypeAlias = Any
Frame: TypeAlias = dict[str, Json]

FRAME_TYPES: tuple[type[Message], ...] = (
    AssistantMessage,
    UserMessage,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    *dict.fromkeys(SYSTEM_TYPES.values()),
    ControlRequest,
    ControlResponse,
    ControlCancel,
    KeepAlive,
    *get_args(Notice),
)
"""Every class of frame that an agent or a host sends."""

_INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_CHARACTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('\u2028\u2029\x85\x00\n\r"\\{}é→😀'))


@cache
def texts() -> st.SearchStrategy[str]:
    """Text that UTF-8 can carry, rich in what breaks parsers: U+2028, NUL, quotes, line ends, emoji."""
    return st.text(_CHARACTERS, max_size=12)


@cache
def json_values() -> st.SearchStrategy[Json]:
    """Any JSON value, up to a few levels deep."""
    leaves = st.one_of(st.none(), st.booleans(), _INT64, st.just(2**70), _FLOATS, texts())
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=5)


@st.composite
def structs(draw: st.DrawFn, kind: type[Struct]) -> Struct:
    """Instances of a message, block or request class, with any fields that its annotations allow."""
    # Composite, so that hypothesis calls it by its name: in full it is longer than a book.
    return draw(_structs(kind))


@cache
def _structs(kind: type[Struct]) -> st.SearchStrategy[Struct]:
    if kind is UnknownRequest:
        names = st.fixed_dictionaries({"subtype": texts().map("x_".__add__)})
        return st.builds(UnknownRequest, body=_objects(json_values()).flatmap(lambda body: names.map(body.__or__)))
    if kind is UnknownBlock:
        names = st.fixed_dictionaries({"type": texts().map("x_".__add__)})
        return st.builds(UnknownBlock, data=_objects(json_values()).flatmap(lambda data: names.map(data.__or__)))
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for info in msgspec.structs.fields(kind):
        if not info.encode_name.startswith("#"):
            (required if info.required else optional)[info.name] = _values(info.type)
    if issubclass(kind, SystemMessage):
        subtypes = [name for name, known in SYSTEM_TYPES.items() if known is kind]
        required["subtype"] = st.sampled_from(subtypes or ["informational", "x_new", ""])
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


@cache
def messages() -> st.SearchStrategy[Message]:
    """Any frame, as triologue would make it."""
    return st.one_of([structs(kind) for kind in FRAME_TYPES])  # type: ignore[misc]


@cache
def odd_frames() -> st.SearchStrategy[Frame]:
    """Frames of known types with fields missing, added or of the wrong type; and of unknown types."""
    names = st.sampled_from(sorted(_NAMES)) | texts()
    inner = st.dictionaries(names, json_values(), max_size=4)
    values = json_values() | inner | st.fixed_dictionaries({"content": st.lists(inner, max_size=3) | json_values()})
    types = st.sampled_from([*_TAGS, "control_cancel", "x_new"]) | json_values()
    return st.builds(lambda kind, fields: {"type": kind, **fields}, types, st.dictionaries(names, values, max_size=6))


def blank_lines() -> st.SearchStrategy[bytes]:
    """Lines that say nothing."""
    return st.sampled_from([b"", b" ", b"\r", b"\t \r", b"\xef\xbb\xbf"])


@cache
def broken_lines() -> st.SearchStrategy[bytes]:
    """Lines that are no frame, or one that a strict decoder refuses."""
    return st.one_of(
        st.sampled_from(_BROKEN),
        st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")).filter(lambda line: not _is_blank(line)),
        texts().map(lambda text: text.replace("\n", "").encode() + b"?"),
        st.tuples(frame_lines(), st.integers(0, 400)).map(lambda cut: cut[0][: cut[1] + 1]),
        st.tuples(frame_lines(), st.integers(0, 400), st.binary(min_size=1, max_size=3)).map(_spoil),
        st.lists(frame_lines(), min_size=2, max_size=3).map(b"".join),
    )


@cache
def frame_lines() -> st.SearchStrategy[bytes]:
    """Lines with one JSON object each, without their newline: good frames and odd ones."""
    return st.one_of(
        messages().map(msgspec.json.encode).filter(lambda line: b'"#unknown"' not in line),
        odd_frames().map(msgspec.json.encode),
        odd_frames().map(lambda frame: b" " + msgspec.json.format(msgspec.json.encode(frame), indent=0) + b"\r"),
        odd_frames().map(lambda frame: b"\xef\xbb\xbf" + msgspec.json.encode(frame)),
    )


@cache
def lines() -> st.SearchStrategy[bytes]:
    """Any line without its newline: frames mostly, broken and blank ones between."""
    return st.one_of(frame_lines(), frame_lines(), broken_lines(), blank_lines())


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in chunks of any sizes: single bytes, a few places, or all at once."""
    size = draw(st.sampled_from([1, 2, 7, 64, 0]))
    if size:
        return [data[start : start + size] for start in range(0, len(data), size)]
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@cache
def _values(wanted: Any) -> st.SearchStrategy[Any]:
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts(),
        int: _INT64,
        float: _FLOATS,
        bool: st.booleans(),
        Any: json_values(),
        Raw: json_values().map(msgspec.json.encode).map(Raw),
        type(None): st.none(),
    }
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in simple:
        return simple[wanted]
    if wanted == ContentBlock:
        return _blocks()
    if origin in (Union, UnionType):
        return st.one_of([_values(member) for member in arguments if member is not UnsetType])
    if origin is list:
        return st.lists(_values(arguments[0]), max_size=2)
    if origin is dict:
        return _objects(_values(arguments[1]))
    return structs(wanted)


@cache
def _blocks() -> st.SearchStrategy[Any]:
    return st.one_of([structs(kind) for kind in get_args(ContentBlock)])


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Frame]:
    return st.dictionaries(texts(), values, max_size=3)


def _spoil(parts: tuple[bytes, int, bytes]) -> bytes:
    line, place, junk = parts
    return line[:place] + junk.replace(b"\n", b"\xff") + line[place:]


def _is_blank(line: bytes) -> bool:
    return not line.removeprefix(b"\xef\xbb\xbf").strip()


_TAGS = sorted({str(kind.__struct_config__.tag) for kind in FRAME_TYPES})
_NAMES = {info.encode_name for kind in FRAME_TYPES for info in msgspec.structs.fields(kind)} | {"#unknown"}

_DEEP = b"[" * 3000 + b"]" * 3000
_BROKEN = [
    b"Warning: something happened",
    "ошибка \u2028 →".encode(),
    b"[1, 2]",
    b"null",
    b"5",
    b'"text"',
    b"{",
    b"{}",
    b"{]",
    b'{"type":',
    b'{"type":"user"',
    b'{"type":"user"}{"type":"user"}',
    b'{"type":"keep_alive"} {"type":"keep_alive"}',
    b'{"type":"user","type":"assistant"}',
    b'{"type":"keep_alive","type":"x_new"}',
    b'{"type":"user","message":{"role":"user","content":"\\ud83d"}}',
    b'{"type":"user","message":{"role":"user","content":"\\ude00\\ud83d"}}',
    b'{"type":"user","message":{"role":"user","content":"\xff\xfe"}}',
    b'{"type":"user","message":{"role":"user","content":"\x00\x01"}}',
    b'{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}}',
    b'{"type":"stream_event","event":{"text":"\xc3"}}',
    b'{"type":"result","num_turns":NaN,"duration_ms":Infinity,"total_cost_usd":-Infinity}',
    b'{"type":"result","num_turns":1e999,"duration_ms":' + b"9" * 5000 + b"}",
    b'{"type":"assistant","message":{"model":"m","content":' + _DEEP + b"}}",
    b'{"type":"stream_event","event":' + _DEEP + b"}",
    b'{"type":"x","y":' + _DEEP + b"}",
    b'{"type":"x","y":' + b"[" * 3000,
    b'{"#line":"e30=","type":"keep_alive"}',
    b'{"type":"#unknown","kind":5}',
    b'{"type":null}',
    b'\x00\x00\x00{"type":"keep_alive"}',
    b"\xff\xfe{\x00}\x00",
]
