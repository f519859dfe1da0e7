"""A client's frames, refused here where they cannot be."""

import re
from collections.abc import Callable

import msgspec
from msgspec import Struct

from triologue.errors import brief
from triologue.protocol.asked import Hello, Request

HELLO_CHARACTERS = 16 * 1024


class BadFrame(Exception):
    """A frame that is none of the protocol.

    Attributes:
        id: of the request that it was to be; None: nobody can tell.
    """

    def __init__(self, message: str, id: int | None = None) -> None:
        self.id = id
        super().__init__(message)


class _Identified(Struct):
    id: int


_read_hello = msgspec.json.Decoder(Hello).decode
_read_request: Callable[[str], Request] = msgspec.json.Decoder(Request).decode
_read_id = msgspec.json.Decoder(_Identified).decode

_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = re.compile(r"[\[{]|[\]}]")


def read_hello(text: str) -> Hello:
    """The first frame.

    Raises:
        BadFrame: it is another one.
    """
    if len(text) > HELLO_CHARACTERS:
        raise BadFrame(f"the first frame is a hello, and not {len(text)} characters")
    try:
        return _read_hello(text)
    except (msgspec.DecodeError, RecursionError):  # its text would tell what was sent, a token for instance
        raise BadFrame("the first frame is no hello, which is a JSON object with the type `hello`") from None


def read_request(text: str, *, depth: int) -> Request:
    """Any other frame.

    Args:
        text: of it.
        depth: how deep its JSON may be.

    Raises:
        BadFrame: it is no request.
    """
    if is_deeper(text, depth):
        raise BadFrame(f"its JSON is deeper than {depth}")
    try:
        return _read_request(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadFrame(f"{error}: {brief(text)}", _id_of(text)) from None


def _id_of(text: str) -> int | None:
    try:
        return _read_id(text).id
    except (msgspec.DecodeError, RecursionError):
        return None


def is_deeper(text: str, depth: int) -> bool:
    """Are there more arrays and objects within one another?"""
    if text.count("[") + text.count("{") <= depth:
        return False
    deep = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        deep += 1 if bracket in "[{" else -1
        if deep > depth:
            return True
    return False
