"""What a manager's store has, for who looks through it, names it and takes it along."""

from collections.abc import Callable, Sequence
from typing import Final, final

import msgspec
from msgspec import Raw

from triologue.errors import InvalidOption, brief
from triologue.manager.checks import check_seq
from triologue.manager.prompts import check_text
from triologue.manager.subscription import PAGE, event_of
from triologue.messages import Event
from triologue.ports import Record, SessionStore, StoredSession
from triologue.stores import no_session


@final
class KeptSessions:
    """The sessions of a store: `manager.store`. Nothing here takes one from the host that writes to it.

    Args:
        port: the store itself.

    Raises:
        StoreError: any method, where the store cannot do it.
    """

    def __init__(self, port: SessionStore) -> None:
        self.port: Final = port

    def __repr__(self) -> str:
        return f"<KeptSessions of {self.port!r}>"

    async def list_sessions(
        self, *, prefix: str = "", limit: int = 100, unfinished: bool = False, before: float | None = None
    ) -> list[StoredSession]:
        """Heads, the one that was active last first; see `SessionStore.list_sessions`."""
        if not isinstance(prefix, str):
            raise InvalidOption(f"prefix={brief(prefix)} is no str")
        _check_limit(limit)
        if before is not None and not isinstance(before, int | float):
            raise InvalidOption(f"before={brief(before)} is no time, in seconds since the epoch")
        return await self.port.list_sessions(prefix=prefix, limit=limit, unfinished=unfinished, before=before)

    async def get_session(self, key_or_id: str) -> StoredSession | None:
        """The head of a session, by its key, or else by its session id."""
        return await self.port.get_session(key_or_id)

    async def messages(self, key: str, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """What was said in a session, in order, with what triologue says itself; without partial text, which is not kept.

        Args:
            key: of the session; one that is not kept has said nothing.
            after: a `seq`: those that follow it.
            limit: how many at most; fewer: there are no more.
        """
        check_seq(after)
        _check_limit(limit)
        return [event_of(record) for record in await self.port.read(key, after=after, limit=limit)]

    async def rename(self, key: str, title: str | None) -> None:
        """Give a session a title, in one line; None or an empty one takes it away.

        Raises:
            SessionNotFound: there is none.
        """
        if title is not None and not isinstance(title, str):
            raise InvalidOption(f"title={brief(title)} is no str")
        check_text("title=", title or "")
        await self.port.label(key, title=" ".join((title or "").split()) or None)

    async def tag(self, key: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> tuple[str, ...]:
        """Give a session tags, and take some away; gives those that it has then.

        Of two who do so at the same time, the later undoes what the earlier one did.

        Raises:
            SessionNotFound: there is none.
        """
        for name, tags in (("add", add), ("remove", remove)):
            if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
                raise InvalidOption(f"{name}={brief(tags)} is no sequence of str")
            for tag in tags:
                check_text("the tag ", tag)
        head = await self._head(key)
        tags = tuple(tag for tag in dict.fromkeys((*head.tags, *add)) if tag not in remove)
        if tags != head.tags:
            await self.port.label(key, tags=tags)
        return tags

    async def export(self, key: str, write: Callable[[bytes], object]) -> int:
        """Write the log of a session out as JSON lines, as `triologue sessions export` does; gives their number.

        Args:
            key: of the session.
            write: is called with each line and its newline, for instance the `write` of a file that was opened with
                `"wb"`; it should not wait for long.

        Raises:
            SessionNotFound: there is none.
        """
        if not callable(write):
            raise InvalidOption(f"write={brief(write)} is no function that takes bytes")
        await self._head(key)
        last = 0
        while records := await self.port.read(key, after=last, limit=PAGE):
            for record in records:
                write(line_of(record))
            last = records[-1].seq
        return last

    async def _head(self, key: str) -> StoredSession:
        head = await self.port.get_session(key)
        if head is None or head.key != key:
            raise no_session(key)
        return head


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or limit < 0:
        raise InvalidOption(f"limit={brief(limit)} is no whole number of 0 or more")


def line_of(record: Record) -> bytes:
    """A record as a line: its message as JSON, or, where that is none, as text."""
    told = {"seq": record.seq, "turn_id": record.turn_id, "kind": record.kind, "time": record.time}
    try:
        msgspec.json.decode(record.line)
        said: dict[str, object] = {"message": Raw(record.line)}
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {"line": record.line.decode("utf-8", "replace")}
    return msgspec.json.encode({**told, **said}) + b"\n"
