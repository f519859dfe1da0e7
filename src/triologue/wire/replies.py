"""Answers to control requests, as their structs: whatever can be read of one is read, and nothing raises."""

from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from msgspec import structs

from triologue.messages.replies import ControlReply
from triologue.wire.lenient import fill

R = TypeVar("R", bound=ControlReply)


def read_reply(kind: type[R], data: Any) -> R:
    """Read an answer, or a part of one; what is no object reads as one without fields."""
    given: dict[str, Any] = data if isinstance(data, dict) else {}
    adapted = kind.adapted(given)
    reply = fill(kind, adapted)
    reply.data = given
    for info in structs.fields(kind):
        part, items = _part_of(info.type), adapted.get(info.encode_name)
        if part is not None and isinstance(items, list):  # one odd part does not spoil the others
            setattr(reply, info.name, read_replies(part, items))
    return reply


def read_replies(kind: type[R], items: Any) -> list[R]:
    """Read a list of parts; what is no object is left out."""
    return [read_reply(kind, item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _part_of(wanted: Any) -> type[ControlReply] | None:
    """The struct that a field is a list of, if it is."""
    for member in get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,):
        if get_origin(member) is list:
            (item,) = get_args(member)
            if isinstance(item, type) and issubclass(item, ControlReply):
                return item
    return None
