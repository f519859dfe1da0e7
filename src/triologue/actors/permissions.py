"""Permission requests, open and lately settled, across the sessions of a manager."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, final

import msgspec

from triologue.actors.replies import Reply
from triologue.actors.turn import Turn
from triologue.errors import AlreadyAnswered, InvalidOption, brief
from triologue.messages import (
    CanUseTool,
    PermissionAnswered,
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
)

# Late answers hear what the answer was. A button of a chat is pressed soon, or stays there for ever.
REMEMBERED = 1_000


@final
class Permission:
    """One request: what is asked, until when, and what became of it.

    Args:
        id: how people name it; at most 36 characters.
        request_id: how the agent names it.
        request: what the agent asks.
        key: of the session.
        turn: what it belongs to, if to a turn of ours.
        deadline: on trio's clock; `math.inf` for none.
        decide: gives an answer to the session.
    """

    __slots__ = ("_decide", "_settled", "answered", "deadline", "id", "key", "request", "request_id", "turn")

    def __init__(
        self,
        id: str,
        request_id: str,
        request: CanUseTool,
        *,
        key: str,
        turn: Turn | None,
        deadline: float,
        decide: Callable[[PermissionResult, str | None], Reply],
    ) -> None:
        self.id, self.request_id, self.request = id, request_id, request
        self.key, self.turn, self.deadline = key, turn, deadline
        self._decide = decide
        self._settled = Reply()
        self.answered: PermissionAnswered | None = None

    def settle(self, answered: PermissionAnswered) -> None:
        """This became of it."""
        self.answered = answered
        self._settled.settle(answered)

    async def wait(self) -> PermissionAnswered:
        """Wait until it is settled; any number may."""
        answered: PermissionAnswered = await self._settled.wait()
        return answered

    async def decide(self, result: PermissionResult, by: str | None) -> None:
        """Answer it; returns when the agent is told.

        Raises:
            AlreadyAnswered: it is settled.
            InvalidOption: no answer that an agent could be given; the request stays open.
        """
        check_result(result)
        if self.answered is not None:
            raise AlreadyAnswered(self.answered.by, self.answered.answer)
        await self._decide(result, by).wait()

    def without_input(self) -> "Permission":
        """The same, settled, for who only remembers it."""
        request = CanUseTool(tool_name=self.request.tool_name, input={}, tool_use_id=self.request.tool_use_id)
        # Its way to the session goes too, for it leads to all that the session has.
        twin = Permission(
            self.id, self.request_id, request, key=self.key, turn=None, deadline=self.deadline, decide=_too_late
        )
        if self.answered is not None:
            twin.settle(self.answered)
        return twin


def _too_late(result: PermissionResult, by: str | None) -> Reply:
    raise AssertionError("what is settled is not decided")


OnPermission: TypeAlias = Callable[[Permission], Any]
"""Is told of each request, and answers it now or later, or somebody else does."""


@final
class Permissions:
    """All of a manager's."""

    def __init__(self) -> None:
        self._open: dict[str, Permission] = {}
        self._settled: OrderedDict[str, Permission] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Permission]:
        return iter(list(self._open.values()))

    def __repr__(self) -> str:
        return f"<Permissions: {len(self)} open>"

    def open(self, permission: Permission) -> None:
        """A request came in."""
        self._open[permission.id] = permission

    def settle(self, answered: PermissionAnswered) -> Permission | None:
        """One is settled, and remembered for a while without its input."""
        permission = self._open.pop(answered.id, None)
        if permission is not None:
            permission.settle(answered)
            self._settled[permission.id] = permission.without_input()
            if len(self._settled) > REMEMBERED:
                self._settled.popitem(last=False)
        return permission

    def get(self, id: str) -> Permission | None:
        """The one with this id, open or lately settled."""
        return self._open.get(id) or self._settled.get(id)


def suggestions_of(request: CanUseTool) -> list[PermissionUpdate]:
    """The changes of its rules that the agent suggests; one that has no known shape is only in the request itself."""
    found = []
    for suggestion in request.permission_suggestions or []:
        try:
            found.append(msgspec.convert(suggestion, PermissionUpdate))
        except msgspec.ValidationError:
            continue
    return found


def input_of(request: CanUseTool) -> dict[str, Any]:
    """The tool's input, for who may change it: the request itself stays in the log as it came."""
    return copy.deepcopy(request.input)


def check_result(result: object) -> None:
    """Refuse what is no answer to a permission request.

    Raises:
        InvalidOption: that is so.
    """
    match result:
        case PermissionResultAllow(updated_input=changed, updated_permissions=updates):
            if not isinstance(changed, dict | None):
                raise InvalidOption(f"updated_input={brief(changed)} is no dict")
            is_list = isinstance(updates, list | tuple | None)
            if not is_list or not all(isinstance(each, PermissionUpdate | dict) for each in updates or ()):
                raise InvalidOption(f"updated_permissions={brief(updates)} is no list of PermissionUpdate or dict")
        case PermissionResultDeny(message=message, interrupt=interrupt):
            if not isinstance(message, str):
                raise InvalidOption(f"message={brief(message)} is no text")
            if not isinstance(interrupt, bool):
                raise InvalidOption(f"interrupt={brief(interrupt)} is no bool")
        case _:
            raise InvalidOption(
                f"a permission request is answered with PermissionResultAllow(...) or PermissionResultDeny(...), "
                f"not with {brief(result)}"
            )
