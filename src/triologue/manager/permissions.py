"""Permission requests, as people answer them: by a callback, or by an id that fits a chat button."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, final

import trio

from triologue.actors import Permission, Turn, input_of, suggestions_of
from triologue.errors import InvalidOption, brief
from triologue.manager.directory import Directory
from triologue.manager.session import Session
from triologue.messages import (
    CanUseTool,
    PermissionAnswered,
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
)
from triologue.options import ToolPermissionContext


@final
class PermissionRequest:
    """An agent asks whether a tool may run. Any task may answer it, once; made by a manager.

    It is settled by the first of: an answer, `Deadlines.permission`, and its withdrawal, by the agent, by an interrupt
    or by the end of the connection. Of one that is settled a manager keeps no input.
    """

    def __init__(self, permission: Permission, directory: Directory) -> None:
        self._permission = permission
        self._directory = directory
        self._input: dict[str, Any] | None = None

    def __repr__(self) -> str:
        answered = self._permission.answered
        shown = "open" if answered is None else answered.answer
        return f"<PermissionRequest {self.id!r}: {self.tool} in {self._permission.key!r}, {shown}>"

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, PermissionRequest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """At most 36 characters; unique in its manager, and in those before it."""
        return self._permission.id

    @property
    def session(self) -> Session:
        """Whose agent asks."""
        return Session(self._directory, self._permission.key, None, None)

    @property
    def turn(self) -> Turn | None:
        """The turn that waits for it; None for what the agent does by itself."""
        return self._permission.turn

    @property
    def meta(self) -> dict[str, str]:
        """The turn's."""
        return self._permission.turn.meta if self._permission.turn is not None else {}

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self._permission.request.tool_name

    @property
    def input(self) -> dict[str, Any]:
        """What it would run with: a copy, which may be changed and given to `allow`."""
        if self._input is None:
            self._input = input_of(self._permission.request)
        return self._input

    @property
    def suggestions(self) -> list[PermissionUpdate]:
        """Changes of the rules that would make this question unnecessary; for `updated_permissions`."""
        return suggestions_of(self._permission.request)

    @property
    def request(self) -> CanUseTool:
        """The request as the agent made it."""
        return self._permission.request

    @property
    def context(self) -> ToolPermissionContext:
        """The rest, as `can_use_tool` is given it."""
        return ToolPermissionContext(request=self.request, suggestions=self.suggestions)

    @property
    def deadline(self) -> float:
        """When it is denied if nobody answers, on trio's clock; `math.inf` for never.

        `deadline - trio.current_time()` is what is left, in seconds.
        """
        return self._permission.deadline

    @property
    def answered(self) -> PermissionAnswered | None:
        """What became of it; None while it is open."""
        return self._permission.answered

    async def allow(
        self,
        *,
        updated_input: dict[str, Any] | None = None,
        updated_permissions: list[PermissionUpdate | dict[str, Any]] | list[PermissionUpdate] | None = None,
        by: str | None = None,
    ) -> None:
        """Let the tool run; returns when the agent is told.

        Args:
            updated_input: what it runs with instead of `input`.
            updated_permissions: changes of the agent's rules, often `suggestions`.
            by: who says so, for the log and for those who come too late.

        Raises:
            AlreadyAnswered: it is settled.
            InvalidOption: such an answer cannot be given; the request stays open.
        """
        await self._decide(PermissionResultAllow("allow", updated_input, updated_permissions), by)  # type: ignore[arg-type]  # a list of the narrower kind is one of the wider for who only reads it

    async def deny(self, message: str = "", *, interrupt: bool = False, by: str | None = None) -> None:
        """Refuse.

        Args:
            message: why, for the model.
            interrupt: stop the turn too.
            by: who says so.

        Raises:
            AlreadyAnswered, InvalidOption: as for `allow`.
        """
        await self._decide(PermissionResultDeny("deny", message, interrupt), by)

    async def wait(self) -> PermissionAnswered:
        """Wait until it is settled, and tell how. Any number of tasks may."""
        self._directory.refuse_elsewhere()
        return await self._permission.wait()

    async def _decide(self, result: PermissionResult, by: str | None) -> None:
        self._directory.refuse_elsewhere()
        await trio.lowlevel.checkpoint_if_cancelled()
        if by is not None and not isinstance(by, str):
            raise InvalidOption(f"by={brief(by)} is no text")
        await self._permission.decide(result, by)


PermissionCallback: TypeAlias = Callable[[PermissionRequest], Any]
"""`on_permission(request)`, sync or async. It may return before the answer is given."""


def check_callback(callback: object) -> None:
    """Refuse what cannot be called.

    Raises:
        InvalidOption: that is so.
    """
    if callback is not None and not callable(callback):
        raise InvalidOption(f"on_permission={brief(callback)} is no function")
    if inspect.isasyncgenfunction(callback):
        raise InvalidOption("on_permission is an async generator function, which would never run; use no `yield` in it")
