"""A client's frames, refused here where they cannot be."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from triologue.errors import brief
from triologue.protocol.asked import Answer, Hello, Prompt, Request

HELLO_CHARACTERS = 16 * 1024


class BadFrame(Exception):
    """A frame that is none of the protocol.

    Attributes:
        id: of the request that it was to be; None: nobody can tell.
    """

    def __init__(self, message: str, id: int | None = None) -> None:
        self.id = id
        super().__init__(message)


class _Typed(Struct):
    type: Literal["hello"]


class _Identified(Struct):
    id: int


# Where the protocol says nothing of what is in it.
_FREE: Final[dict[type[Request], tuple[str, ...]]] = {
    Prompt: ("prompt",),
    Answer: ("updated_input", "updated_permissions"),
}

_check_type = msgspec.json.Decoder(_Typed).decode  # a struct that is alone is read without its tag, too
_read_hello = msgspec.json.Decoder(Hello).decode
_read_request: Callable[[str], Request] = msgspec.json.Decoder(Request).decode
_read_id = msgspec.json.Decoder(_Identified).decode


def read_hello(text: str) -> Hello:
    """The first frame.

    Raises:
        BadFrame: it is another one.
    """
    if len(text) > HELLO_CHARACTERS:
        raise BadFrame(f"the first frame is a hello, and not {len(text)} characters")
    try:
        _check_type(text)
        return _read_hello(text)
    except (msgspec.DecodeError, RecursionError):  # its text would tell what was sent, a token for instance
        raise BadFrame("the first frame is no hello, which is a JSON object with the type `hello`") from None


def read_request(text: str, *, depth: int, containers: int) -> Request:
    """Any other frame.

    Args:
        text: of it.
        depth: how deep the JSON may be where it is the client's own.
        containers: how many arrays and objects it may have; braces and brackets within its texts count too.

    Raises:
        BadFrame: it is no request.
    """
    count = text.count("{") + text.count("[")  # before anything is made of them, which takes a while
    if count > containers:
        raise BadFrame(f"it has {count} arrays and objects, and may have {containers}", _id_of(text))
    try:
        request = _read_request(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadFrame(f"{error}: {brief(text)}", _id_of(text)) from None
    for name in _FREE.get(type(request), ()):
        if _is_deeper(getattr(request, name), depth):
            raise BadFrame(f"its {name} is JSON that is deeper than {depth}", request.id)
    return request


def _id_of(text: str) -> int | None:
    try:
        return _read_id(text).id
    except (msgspec.DecodeError, RecursionError):
        return None


def _is_deeper(value: Any, depth: int) -> bool:
    """Are there more arrays and objects within one another?"""
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
