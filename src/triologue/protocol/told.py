"""What a gateway says to a client: one JSON object a frame, told apart by `type`."""

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType

from triologue.messages import SessionState

Right: TypeAlias = Literal["watch", "prompt", "approve", "admin"]
"""`watch`: list, attach, explain. `prompt`: prompts, commands, interrupts, cancels, forks. `approve`: answer permission
requests. `admin`: settings, reset, hibernate, close, delete. None of them holds another."""

TurnState: TypeAlias = Literal["waiting", "running", "ended"]


class Welcome(Struct, frozen=True, kw_only=True, tag_field="type", tag="welcome"):
    """The reply to `hello`."""

    version: str
    """Of triologue."""
    name: str
    """Of the token; `local` where nobody is asked for one."""
    rights: list[Right]
    prefix: str
    """Of the keys that exist for this client."""
    max_frame_bytes: int
    """A longer frame from the client ends the connection."""
    max_requests: int
    """Requests that may be without a reply; one more is refused as `too_many`. Interrupts and pings do not count."""


class Reply(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The one answer to a request."""

    re: int
    """Its `id`."""


class Done(Reply, frozen=True, kw_only=True, tag="done"):
    """It is done."""


class Pong(Reply, frozen=True, kw_only=True, tag="pong"):
    """Here."""


class Failed(Reply, frozen=True, kw_only=True, tag="failed"):
    """It was not done, and nothing was lost."""

    code: str
    """Which error; the names are stable."""
    message: str
    """The same for people."""
    data: dict[str, Any] = {}
    """What the error knows besides: `retry_in`, `by`, `answer`, `owner` ..."""


class Attached(Reply, frozen=True, kw_only=True, tag="attached"):
    """Events follow."""

    key: str
    state: SessionState
    session_id: str | None
    log: str
    """Names the log that `last` and every `seq` are of; say it with `after` when you come back."""
    last: int
    """The `seq` of the session's newest record now."""


class Accepted(Reply, frozen=True, kw_only=True, tag="accepted"):
    """The prompt is a turn; it has exactly one outcome, which comes as an event."""

    key: str
    turn: str
    state: TurnState
    position: int | None
    """Turns before it; None once it runs."""
    seq: int
    """Its events come after this one."""


class TurnTold(Reply, frozen=True, kw_only=True, tag="turn"):
    """A turn, as it stands."""

    key: str
    turn: str
    state: TurnState
    position: int | None
    seq: int
    """Its events come after this one."""
    last: int
    """The `seq` of the session's newest record now: what there is of the turn so far comes no later."""
    ended: Raw | UnsetType = UNSET
    """The record of its end, as in an event of the kind `#turn_ended`; left out before."""


class CommandEnded(Reply, frozen=True, kw_only=True, tag="ended"):
    """The command was run; this is the agent's result."""

    result: Raw
    cost_usd: float | None = None
    """US dollars for this turn alone, where the agent tells."""


class Interrupted(Reply, frozen=True, kw_only=True, tag="interrupted"):
    """What the interrupt came to."""

    result: str
    """`stopped`, `nothing_running`, `already_done` or `killed`."""


class Forked(Reply, frozen=True, kw_only=True, tag="forked"):
    """The copy is there."""

    key: str
    """Its key."""
    session_id: str | None


class SessionTold(Struct, frozen=True, kw_only=True):
    """One session, in a line."""

    key: str
    session_id: str | None
    state: SessionState
    waiting: int
    """Turns in line."""
    age: float | None
    """Seconds since its oldest turn without an outcome was accepted."""
    waits_for: str | None
    permissions: int
    """Requests that are open."""
    cost_usd: float | None
    turns: int
    """Turns that have ended."""
    last: int
    """The `seq` of its newest record."""


class Sessions(Reply, frozen=True, kw_only=True, tag="sessions"):
    """A page of sessions, by key."""

    sessions: list[SessionTold]
    is_last: bool
    """Nothing follows. If it never comes, with an empty page at the end, more sleep in the store than are listed, those that
    were active last: a longer prefix finds the others."""


class PermissionTold(Struct, frozen=True, kw_only=True):
    """An open permission request."""

    id: str
    key: str
    turn: str | None
    tool: str
    input: dict[str, Any]
    """What it would run with; if that is nested too deeply, `{"cannot be shown": ...}` instead."""
    meta: dict[str, str]
    expires_in: float | None
    """Seconds until it is denied; None: never."""


class OpenPermissions(Reply, frozen=True, kw_only=True, tag="open_permissions"):
    """Those of the keys that exist for this client."""

    permissions: list[PermissionTold]


class Explained(Reply, frozen=True, kw_only=True, tag="explained"):
    """What it waits for, for people and for programs."""

    key: str
    text: str
    explanation: Raw


class EventTold(Struct, frozen=True, kw_only=True):
    """One event of a session."""

    key: str
    seq: int | None
    """Its place in the log; None for partial text and for what is a `#gap`."""
    turn: str | None
    kind: str
    """What `message` is: a `type` of the agent's, or one of triologue's own, which begin with `#`. An agent's line cannot
    pretend to be one of those: it is `unknown` then."""
    message: Raw
    """As the agent said it, byte for byte. Where that is no JSON, a string that holds it."""
    cost_usd: float | None = None
    """Of a `result`: US dollars for this turn alone, which the agent does not tell. What is read from a store has it at the
    turn's end only (`#turn_ended`)."""


class Events(Struct, frozen=True, kw_only=True, tag_field="type", tag="events"):
    """What happened, of one session or of several, in order for each."""

    events: list[EventTold]


class Detached(Struct, frozen=True, kw_only=True, tag_field="type", tag="detached"):
    """No more events of this session come by themselves: it was deleted, or its log cannot be read. Attach again."""

    key: str
    code: str
    """`closed` for one that was deleted; else as in `failed`."""
    message: str
    """The same for people."""


Told: TypeAlias = (
    Welcome
    | Done
    | Pong
    | Failed
    | Attached
    | Accepted
    | TurnTold
    | CommandEnded
    | Interrupted
    | Forked
    | Sessions
    | OpenPermissions
    | Explained
    | Events
    | Detached
)
"""Every frame of a gateway."""
