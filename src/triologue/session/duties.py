"""What the agent asked of us: each of its requests until it is answered or taken back."""

from collections.abc import Iterator
from typing import final

from msgspec import Struct

from triologue.messages import (
    AnyRequest,
    CanUseTool,
    Elicitation,
    HookCallback,
    McpMessage,
    McpToolCall,
    PermissionAnswered,
    RequestUserDialog,
)

# Answers that come too late hear what the answer was; those of one chat button come soon, or never.
REMEMBERED_ANSWERS = 100

# Requests of an agent that may be open at once: many tools run side by side, but not without end.
MAX_OPEN = 1_000

_OF_A_TURN = (CanUseTool, HookCallback, Elicitation, McpToolCall, RequestUserDialog)


class Duty(Struct, frozen=True):
    """A request of the agent that waits for our answer."""

    request_id: str
    request: AnyRequest
    turn_id: str | None
    """The turn that it belongs to; None for what no turn of ours caused."""
    permission_id: str | None = None
    """Where it asks whether a tool may run: how people name it."""

    @property
    def ends_with_turn(self) -> bool:
        """Is it pointless once the turn is interrupted? Handshakes and tokens are needed afterwards too."""
        request = self.request
        if isinstance(request, McpMessage):
            return request.message.get("method") == "tools/call"
        return isinstance(request, _OF_A_TURN)


@final
class Duties:
    """By id, in the order in which they were asked; and the newest answers to permission requests.

    Args:
        tag: what the ids of permission requests begin with; at most 24 characters, unique in the manager.
    """

    __slots__ = ("_answers", "_count", "_open", "_permissions", "_tag")

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._count = 0
        self._open: dict[str, Duty] = {}
        self._permissions: dict[str, Duty] = {}
        self._answers: dict[str, PermissionAnswered] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Duty]:
        return iter(list(self._open.values()))

    @property
    def is_full(self) -> bool:
        """Are there as many as there may be?"""
        return len(self._open) >= MAX_OPEN

    def add(self, request_id: str, request: AnyRequest, turn_id: str | None) -> Duty:
        """The agent asks."""
        permission_id = None
        if isinstance(request, CanUseTool):
            self._count += 1
            permission_id = f"{self._tag}-{self._count}"
        duty = self._open[request_id] = Duty(request_id, request, turn_id, permission_id)
        if permission_id is not None:
            self._permissions[permission_id] = duty
        return duty

    def get(self, request_id: str) -> Duty | None:
        """The one that waits under this id."""
        return self._open.get(request_id)

    def permission(self, permission_id: str) -> Duty | None:
        """The permission request that waits under this id."""
        return self._permissions.get(permission_id)

    def remove(self, duty: Duty) -> None:
        """It waits no longer."""
        self._open.pop(duty.request_id, None)
        if duty.permission_id is not None:
            self._permissions.pop(duty.permission_id, None)

    def remember(self, answered: PermissionAnswered) -> None:
        """A permission request was settled."""
        self._answers[answered.id] = answered
        if len(self._answers) > REMEMBERED_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def answer_of(self, permission_id: str) -> PermissionAnswered | None:
        """How a permission request was settled, as long as that is remembered."""
        return self._answers.get(permission_id)
