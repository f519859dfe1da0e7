"""Permission requests at a gateway, as people answer them."""

from typing import TYPE_CHECKING, Any, final

import msgspec

from triologue.actors import check_result
from triologue.errors import NotFound
from triologue.messages import (
    Gap,
    PermissionAnswered,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
)
from triologue.protocol import asked, told
from triologue.remote.session import RemoteSession

if TYPE_CHECKING:  # it needs the extra `gateway`, and this can be imported without
    from triologue.remote.link import Link


@final
class RemotePermission:
    """An agent over there asks whether a tool may run. Any task may answer it, once; made by a `RemoteManager`.

    Args:
        link: to the gateway.
        id: of the request.
        told: what the gateway told of it; None where only its id is known here.
    """

    def __init__(self, link: "Link", id: str, told: told.PermissionTold | None) -> None:
        self._link = link
        self._id = id
        self._told = told

    def __repr__(self) -> str:
        return f"<RemotePermission {self._id!r}: {self.tool or 'only its id is known'}>"

    def __eq__(self, other: object) -> bool:
        return self._id == other._id if isinstance(other, RemotePermission) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._id)

    @property
    def id(self) -> str:
        """At most 36 characters."""
        return self._id

    @property
    def session(self) -> RemoteSession:
        """Whose agent asks.

        Raises:
            NotFound: only the request's id is known here.
        """
        if self._told is None:
            raise NotFound(f"of the permission request {self._id!r} only the id is known here; see open_permissions()")
        return RemoteSession(self._link, self._told.key)

    @property
    def tool(self) -> str:
        """The tool's name; empty where only the id is known."""
        return self._told.tool if self._told is not None else ""

    @property
    def input(self) -> dict[str, Any]:
        """What it would run with; empty where only the id is known."""
        return self._told.input if self._told is not None else {}

    @property
    def meta(self) -> dict[str, str]:
        """The turn's."""
        return self._told.meta if self._told is not None else {}

    @property
    def turn_id(self) -> str | None:
        """The turn that waits for it; None for what the agent does by itself."""
        return self._told.turn if self._told is not None else None

    @property
    def expires_in(self) -> float | None:
        """Seconds, at the time of asking, after which it is denied; None: never, or not known."""
        return self._told.expires_in if self._told is not None else None

    async def allow(
        self,
        *,
        updated_input: dict[str, Any] | None = None,
        updated_permissions: list[PermissionUpdate | dict[str, Any]] | list[PermissionUpdate] | None = None,
    ) -> None:
        """Let the tool run; returns when the agent is told. The log has the token's name as who said so.

        Where the connection breaks before the reply it is said again, and that the request was allowed meanwhile is
        taken for our own doing.

        Args:
            updated_input: what it runs with instead of `input`.
            updated_permissions: changes of the agent's rules.

        Raises:
            AlreadyAnswered: it is settled.
            NotFound: there is no such request, or not for this token.
            InvalidOption: such an answer cannot be given; the request stays open.
        """
        check_result(PermissionResultAllow("allow", updated_input, updated_permissions))  # type: ignore[arg-type]  # a list of the narrower kind is one of the wider for who only reads it
        updates = None if updated_permissions is None else [_plain(each) for each in updated_permissions]
        await self._answer(
            asked.Answer(
                id=0, permission=self._id, allow=True, updated_input=updated_input, updated_permissions=updates
            )
        )

    async def deny(self, message: str = "", *, interrupt: bool = False) -> None:
        """Refuse.

        Args:
            message: why, for the model.
            interrupt: stop the turn too.

        Raises:
            AlreadyAnswered, NotFound, InvalidOption: as for `allow`.
        """
        check_result(PermissionResultDeny("deny", message, interrupt))
        await self._answer(asked.Answer(id=0, permission=self._id, allow=False, message=message, interrupt=interrupt))

    async def wait(self) -> PermissionAnswered:
        """Wait until it is settled, and tell how. Any number of tasks may.

        Raises:
            NotFound: it is settled, and the session's log does not tell how any more; or only its id is known here.
        """
        async with self.session.subscribe() as events:
            is_open = await self._is_open()
            while is_open:
                message = (await anext(events)).message
                if isinstance(message, PermissionAnswered) and message.id == self._id:
                    return message
                if isinstance(message, Gap):  # the answer may have been there
                    is_open = await self._is_open()
        answered = await self.session.answer_to(self._id)
        if answered is None:
            raise NotFound(f"the permission request {self._id!r} is settled, and its session's log does not tell how")
        return answered

    async def _is_open(self) -> bool:
        listed = await self._link.ask(asked.Permissions(id=0), told.OpenPermissions)
        return any(each.id == self._id for each in listed.permissions)

    async def _answer(self, answer: asked.Answer) -> None:
        await self._link.ask(answer, told.Done)


def _plain(update: PermissionUpdate | dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(update.to_dict() if isinstance(update, PermissionUpdate) else update)
    return plain
