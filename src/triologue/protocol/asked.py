"""What a client says to a gateway: one JSON object a frame, told apart by `type`.

Every frame but the first has a number of the client's own, `id`, and gets exactly one reply, whose `re` is that number.
"""

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from triologue.options import Overlap


class Hello(Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """The first frame of a connection, within the gateway's `hello` deadline. The reply is `welcome`."""

    token: str | None = None
    """Who this is; None where the gateway asks nobody. It goes here because a URL ends up in logs."""
    client: str = ""
    """The program's name, for the gateway's log."""


class Asked(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Any frame behind the first."""

    id: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    """Chosen by the client; comes back as `re`."""


class Attach(Asked, frozen=True, kw_only=True, tag="attach"):
    """Send the events of a session from here on. The reply is `attached`; to attach again moves the position.

    Neither wakes the session nor keeps it awake. A key that has no conversation yet can be attached to.
    """

    key: str
    after: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    """The `seq` of the last event that is known; 0: all that is kept; None: only what comes."""
    log: str | None = None
    """Whose `seq` that is: the `log` of an earlier reply. Where the session has another one now, because it was deleted or
    a gateway without a store was started again, or where `after` is greater than `last`, all that is kept is sent."""
    partials: bool = True
    """Text while it is made, too."""
    coalesce_ms: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Text waits until what was sent last is so old, and what came meanwhile is one event; at most 1000."""


class Detach(Asked, frozen=True, kw_only=True, tag="detach"):
    """No more events of it. The reply is `done`."""

    key: str


class Prompt(Asked, frozen=True, kw_only=True, tag="prompt"):
    """Hand a prompt in. The reply is `accepted`, when it is durable; it says nothing of how the turn ends."""

    key: str
    prompt: str | list[dict[str, Any]] | dict[str, Any]
    """Text, content blocks, or a user frame."""
    turn: str | None = None
    """The turn's id, of at most 256 characters: the same id and prompt are the same turn, however often they are sent."""
    overlap: Overlap | None = None
    meta: dict[str, str] = {}
    """Comes back in events. At most 64 entries, of 16,384 characters in all."""


class Command(Asked, frozen=True, kw_only=True, tag="command"):
    """Run one of the agent's slash commands as a turn of its own. The reply is `ended`, when it is over."""

    key: str
    command: str


class TurnOf(Asked, frozen=True, kw_only=True, tag="turn"):
    """What became of a turn? The reply is `turn`, or `failed` with `not_found`.

    A token without the right `watch` knows of the turns only that it sent itself.
    """

    key: str
    turn: str


class Interrupt(Asked, frozen=True, kw_only=True, tag="interrupt"):
    """Stop the turn that runs. The reply is `interrupted`, within the manager's deadline."""

    key: str


class Cancel(Asked, frozen=True, kw_only=True, tag="cancel"):
    """Withdraw a turn: one that waits is cancelled, one that runs is interrupted. The reply is `turn`, once it ended."""

    key: str
    turn: str


class Answer(Asked, frozen=True, kw_only=True, tag="answer"):
    """Answer a permission request. The reply is `done`, or `failed` with `already_answered`."""

    permission: str
    """Its id."""
    allow: bool
    updated_input: dict[str, Any] | None = None
    updated_permissions: list[dict[str, Any]] | None = None
    message: str = ""
    """Why not, for the model."""
    interrupt: bool = False
    """With a denial: stop the turn too."""


class Permissions(Asked, frozen=True, kw_only=True, tag="permissions"):
    """Which permission requests are open? The reply is `open_permissions`."""


class Change(Asked, frozen=True, kw_only=True, tag="change"):
    """Set a session's permission mode, then its model; what is left out, or follows a refusal, stays. The reply is `done`."""

    key: str
    model: str | UnsetType | None = UNSET
    permission_mode: str | UnsetType | None = UNSET


class Fork(Asked, frozen=True, kw_only=True, tag="fork"):
    """Copy a conversation under a new key. The reply is `forked`."""

    key: str
    to: str
    at: str | None = None
    """The uuid of the last message to copy; None: all of it."""
    session_id: str | None = None


class Reset(Asked, frozen=True, kw_only=True, tag="reset"):
    """Begin a fresh conversation under this key. The reply is `done`."""

    key: str


class Hibernate(Asked, frozen=True, kw_only=True, tag="hibernate"):
    """Let the agent go as soon as nothing runs. The reply is `done`."""

    key: str


class Close(Asked, frozen=True, kw_only=True, tag="close"):
    """Let the agent go now: the running turn is interrupted, waiting ones are cancelled. The reply is `done`."""

    key: str


class Delete(Asked, frozen=True, kw_only=True, tag="delete"):
    """Close the session and forget it. The reply is `done`."""

    key: str


class ListSessions(Asked, frozen=True, kw_only=True, tag="list"):
    """Which sessions are there? The reply is `sessions`, a page ordered by key."""

    prefix: str = ""
    after: str = ""
    """The last key of the page before."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Explain(Asked, frozen=True, kw_only=True, tag="explain"):
    """What does a session wait for? The reply is `explained`, without the memory of its agent: `/metrics` has that of all."""

    key: str


class Ping(Asked, frozen=True, kw_only=True, tag="ping"):
    """Is somebody there? The reply is `pong`, ahead of all events that wait."""


Request: TypeAlias = (
    Attach
    | Detach
    | Prompt
    | Command
    | TurnOf
    | Interrupt
    | Cancel
    | Answer
    | Permissions
    | Change
    | Fork
    | Reset
    | Hibernate
    | Close
    | Delete
    | ListSessions
    | Explain
    | Ping
)
"""What follows `Hello`."""
