"""The sessions of a gateway, by key."""

from typing import TYPE_CHECKING, Any, final

from triologue.manager.checks import check_key, check_str
from triologue.messages.loose import read_json
from triologue.protocol import asked, told
from triologue.remote.permission import RemotePermission
from triologue.remote.session import RemoteSession

if TYPE_CHECKING:  # it needs the extra `gateway`, and this can be imported without
    from triologue.remote.link import Link

_PAGE = 500


@final
class RemoteManager:
    """The sessions of a manager behind a gateway. Made by `open_remote`; it is one of the `Sessions` too.

    How they run (agents, options, limits) is that manager's affair.
    """

    def __init__(self, link: "Link") -> None:
        self._link = link

    def __repr__(self) -> str:
        return f"<RemoteManager: {self._link!r}>"

    @property
    def welcome(self) -> told.Welcome:
        """What the gateway told when it was connected last: its version, and what the token is called and may do."""
        return self._link.welcome

    @property
    def is_connected(self) -> bool:
        """Is there a connection now? Nothing needs to look: without one, what is asked waits."""
        return self._link.machine.is_open

    def session(self, key: str) -> RemoteSession:
        """The session of a key: a handle that costs nothing.

        Raises:
            InvalidOption: a key that cannot be.
        """
        check_key(key)
        return RemoteSession(self._link, key)

    async def overview(self, prefix: str = "") -> list[told.SessionTold]:
        """A line for each session whose key begins with `prefix`, by key. It is asked for a page at a time."""
        check_str(prefix=prefix)
        lines: list[told.SessionTold] = []
        is_last = False
        while not is_last:
            after = lines[-1].key if lines else ""
            page = await self._link.ask(
                asked.ListSessions(id=0, prefix=prefix, after=after, limit=_PAGE), told.Sessions
            )
            lines += page.sessions
            is_last = page.is_last or not page.sessions
        return lines

    async def explain(self, key: str) -> dict[str, Any]:
        """Why a session is stuck, as plain JSON values: those of a `SessionExplanation`, and as `text` what it says."""
        check_key(key)
        said = await self._link.ask(asked.Explain(id=0, key=key), told.Explained)
        facts = read_json(said.explanation)
        return {**(facts if isinstance(facts, dict) else {}), "text": said.text}

    async def open_permissions(self) -> list[RemotePermission]:
        """Every permission request that waits for an answer, and that the token may see."""
        listed = await self._link.ask(asked.Permissions(id=0), told.OpenPermissions)
        return [RemotePermission(self._link, each.id, each) for each in listed.permissions]

    def permission(self, id: str) -> RemotePermission:
        """The permission request with this id, to answer it, as when a button is pressed. Nothing is asked for it."""
        check_str(id=id)
        return RemotePermission(self._link, id, None)

    async def delete(self, key: str) -> None:
        """Close the conversation of a key, and forget it, and what it has cost."""
        check_key(key)
        await self._link.ask(asked.Delete(id=0, key=key), told.Done)
