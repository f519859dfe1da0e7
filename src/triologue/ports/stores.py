"""Where sessions are kept: what a store holds, and what it promises.

A session has a head (`StoredSession`: who it is, and where it stands), a log (`Record`s with a gapless `seq` from 1), and
what its agent mirrors of its own transcript (`TranscriptEntry`s, opaque). One host at a time writes to it, under a lease.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import UNSET, Struct, UnsetType, field


class Lease(Struct, frozen=True, kw_only=True):
    """The right to write to one session."""

    key: str
    owner: str
    """Who holds it, in words for a person: program, host and pid."""
    token: int
    """The fencing token: greater than that of every lease of this key before. A store refuses the writes of a smaller one."""
    until: float
    """When it ends unless it is renewed, in seconds since the epoch on the store's clock."""


class UnfinishedTurn(Struct, frozen=True, kw_only=True):
    """A turn that was accepted and has no outcome yet."""

    id: str
    seq: int
    """Of its `TurnAccepted` in the log."""
    is_started: bool = False
    """It was with an agent: what it did, nobody can tell."""
    attempts: int = 0
    """How often it was started."""


class StoredSession(Struct, frozen=True, kw_only=True):
    """The head of one session. Replaced whole, together with the records that change it."""

    key: str
    session_id: str | None = None
    """The agent's name for the conversation; None before it has told it."""
    is_confirmed: bool = False
    """The agent has a history under that id."""
    agent: str = ""
    """The name of the agent that holds it."""
    cwd: str | None = None
    """The agent's working folder, by which CLIs find their histories; None where it has none."""
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    """What its next start needs to be told: `model`, `permission_mode` and other options that are plain JSON."""
    title: str | None = None
    tags: tuple[str, ...] = ()
    parent: str | None = None
    """The key of the session that it was forked from."""
    forked_at: str | None = None
    """The uuid of the last message that they share; None: all that there was."""
    created: float = 0.0
    """Seconds since the epoch."""
    last_active: float = 0.0
    """Seconds since the epoch: when something was recorded last."""
    turns: int = 0
    """Turns that have had their outcome."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    """US dollars, as far as the agent told; None where it does not tell."""
    last_seq: int = 0
    """The `seq` of the newest record."""
    unfinished: tuple[UnfinishedTurn, ...] = ()
    """Turns without an outcome, in the order of their acceptance."""


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a session's log."""

    seq: int
    turn_id: str | None
    """The turn that it belongs to; None for what belongs to none."""
    kind: str
    """The message's `type`: `assistant`, `result`, `#turn_accepted` ..."""
    time: float
    """When it was recorded, in seconds since the epoch."""
    line: bytes
    """The message as one JSON line without its newline; what the agent said, as it was received."""


class TranscriptEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One line of a file in which an agent keeps a conversation's history. A store does not look into it."""

    session_id: str
    """Whose history it is, in the agent's words."""
    path: str
    """Of the file, relative to the folder of the conversation's project."""
    id: str | None
    """Unique in its file, for a message its uuid; the same one is kept once. None: it has none, and is kept as often as
    it is appended."""
    line: bytes
    """Without its newline."""


class Append(Struct, frozen=True, kw_only=True):
    """What one append writes: all of it or nothing."""

    lease: Lease
    session: StoredSession
    """The head as it is after this; `last_seq` is that of the last record. `title` and `tags` are not written by this."""
    records: Sequence[Record] = ()
    """The next of the log, without a gap."""
    transcript: Sequence[TranscriptEntry] = ()


@runtime_checkable
class SessionStore(Protocol):
    """Keeps sessions. Everything may be called from many tasks at once; a cancelled call may still have had its effect.

    Whatever returns is durable, as far as this store has that.

    Raises:
        StoreError: any method, where the store cannot do it; nothing that was kept before is lost by that.
    """

    async def acquire(
        self, key: str, *, owner: str, ttl: float, replaces: str | None = None
    ) -> tuple[Lease, StoredSession | None]:
        """Become the one who writes to a session, for `ttl` seconds; also gives its head, or None where there is none yet.

        Who holds it already gets a new lease, and loses the old one: an earlier call may have been cancelled, and have
        had its effect.

        Args:
            key: of the session.
            owner: who.
            ttl: seconds.
            replaces: an owner that is known to be dead: if the lease is still its, that does not count.

        Raises:
            SessionElsewhere: somebody else holds a lease that has not ended.
        """
        ...

    async def renew(self, leases: Sequence[Lease], *, ttl: float) -> list[Lease]:
        """Hold these for `ttl` seconds from now. Gives those that are held; the others were lost to somebody else."""
        ...

    async def release(self, lease: Lease) -> None:
        """Let a lease go, so that another host can have the session at once. Without effect if it was lost."""
        ...

    async def holders(self, keys: Sequence[str]) -> dict[str, str]:
        """Who holds these sessions now, by key; without those that nobody holds. Takes none of them.

        An owner may be dead: until its lease ends a store cannot know.
        """
        ...

    async def append(self, write: Append) -> None:
        """Write, under a lease: nobody else may have got one since, even if this one has ended.

        Records that are there already, with the same lines, are passed over. If there were no others, nothing changes: the
        head and the transcript were written then, too.

        Raises:
            LeaseLost: a lease with a greater token was given out, this one was released, or the session was deleted.
            StoreError: the records do not follow those that are there, or the head's `last_seq` is not that of the last.
        """
        ...

    async def get_session(self, key_or_id: str) -> StoredSession | None:
        """The head of a session, by its key, or else by its session id (of several, the one that was active last)."""
        ...

    async def list_sessions(
        self, *, prefix: str = "", limit: int = 100, unfinished: bool = False, before: float | None = None
    ) -> list[StoredSession]:
        """Heads, the one that was active last first.

        Args:
            prefix: what their keys begin with.
            limit: how many at most.
            unfinished: only those with turns that have no outcome.
            before: only those whose `last_active` is earlier.
        """
        ...

    async def read(self, key: str, *, after: int = 0, limit: int = 1000, turn_id: str | None = None) -> list[Record]:
        """Records in order: those with a greater `seq` than `after`, of all or of one turn, at most `limit`."""
        ...

    async def read_transcript(self, session_id: str) -> list[TranscriptEntry]:
        """All that is kept of an agent's own history, in the order in which it was appended."""
        ...

    async def label(
        self, key: str, *, title: str | UnsetType | None = UNSET, tags: Sequence[str] | UnsetType = UNSET
    ) -> None:
        """Name a session for people; needs no lease. What is not given (msgspec's `UNSET`) stays as it is.

        Args:
            key: of the session.
            title: what it is called from now on; None: nothing.
            tags: all that it has from now on.

        Raises:
            SessionNotFound: there is none.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Forget a session with its log; False if there was none.

        With it go the transcripts of its session id, and of those under which it appended an entry that was new, unless
        another session has that id.

        Raises:
            SessionElsewhere: somebody holds a lease on it.
        """
        ...
