"""What can happen to a session. Callers' wishes carry a `ticket`, under which the reply comes back."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from triologue.errors import LimitError, TriologueError
from triologue.messages import (
    Message,
    PermissionResult,
    Request,
    SessionState,
    SettingsChanged,
    StateChanged,
    UserMessage,
)
from triologue.options import Overlap

Setting: TypeAlias = Literal["model", "permission_mode"]
# Replaced and never changed, so that sessions whose settings are alike share them.
Settings: TypeAlias = Mapping[Setting, str | None]
NO_SETTINGS: Settings = MappingProxyType({})


def settings_changed(settings: Settings) -> SettingsChanged:
    """The word that these are wanted from now on."""
    return SettingsChanged(model=settings.get("model"), permission_mode=settings.get("permission_mode"))


@lru_cache(maxsize=64)
def state_changed(state: SessionState, reason: str | None) -> StateChanged:
    """The word that the session is in this state. One for all that say the same: a log has two of them for each turn."""
    return StateChanged(state=state, reason=reason)


class Submit(Struct, frozen=True):
    """A prompt comes in. Raises a `LimitError` when it cannot be taken in now."""

    turn_id: str
    prompt: UserMessage
    meta: dict[str, str]
    overlap: Overlap = "queue"
    is_recovered: bool = False
    """It was taken in before, by a host that is gone, so nothing refuses it now."""
    is_command: bool = False
    is_guarded: bool = False
    """Whether it may begin is asked when it would: see `Vetted`."""


class Withdraw(Struct, frozen=True):
    """A turn is no longer wanted: cancelled if it waits, interrupted if it runs, left alone if it is over."""

    turn_id: str


class StopTurn(Struct, frozen=True):
    """Interrupt what runs; the reply is how that went."""

    ticket: int | None


class Change(Struct, frozen=True):
    """A setting is wanted from now on; the reply comes when the agent has it, or will get it at its next start."""

    ticket: int | None
    setting: Setting
    value: str | None


class Ask(Struct, frozen=True):
    """A control request for the agent, which is started for it; the reply is its answer."""

    ticket: int
    request: Request


class Unask(Struct, frozen=True):
    """Nobody waits for the answer of this `Ask` any more."""

    ticket: int


class Decide(Struct, frozen=True):
    """A permission request is answered; the reply is None, or why that was not possible.

    Without a ticket it is what the callback gave, and too late means nothing.
    """

    ticket: int | None
    permission_id: str
    result: PermissionResult
    by: str | None = None


class Served(Struct, frozen=True):
    """What the agent asked for was done."""

    generation: int
    request_id: str
    response: dict[str, Any]


class Failed(Struct, frozen=True):
    """What the agent asked for could not be done; the agent is told."""

    generation: int
    request_id: str
    error: str
    code: str | None = None
    """`unsupported_request`: there is nothing here that could do it."""


class Rest(Struct, frozen=True):
    """Let the agent go once nothing runs and nothing waits for it; the reply comes when it is gone."""

    ticket: int


class Leave(Struct, frozen=True):
    """Let the agent go now: waiting turns are cancelled, the running one is stopped.

    With `forget`, the next prompt begins a new conversation. `error` is what the waiting turns end with.
    """

    ticket: int
    forget: bool = False
    error: Exception | None = None


class Evict(Struct, frozen=True):
    """Let this agent go if it has nothing to do: its place is needed. One that does not go says that it stays."""

    generation: int


class Gate(Struct, frozen=True):
    """Begin no turn for this reason (a usage limit); None: there is none any more."""

    reason: str | None


class Refuse(Struct, frozen=True):
    """Take nothing in any more for this reason (the money is spent); what waits ends with it. None: go on."""

    error: LimitError | None


class Vetted(Struct, frozen=True):
    """What waits may begin now, but for these turns, which nobody may have run any more: the answer to `is_vetting`."""

    refused: tuple[str, ...] = ()


class Hold(Struct, frozen=True):
    """Begin no further turn (the manager drains)."""


class Admitted(Struct, frozen=True):
    """The connection may be opened now: it is no longer in line behind other starts."""

    generation: int


class Linked(Struct, frozen=True):
    """The connection is open; the handshake begins with `hello`, and goes on with what prepares the agent.

    The `conclusions` are asked of it before it is let go.
    """

    generation: int
    hello: Request
    preparations: tuple[Request, ...] = ()
    conclusions: tuple[Request, ...] = ()


class Heard(Struct, frozen=True):
    """The agent said something: all that one read gave."""

    generation: int
    batch: list[Message]


class Lost(Struct, frozen=True):
    """The agent went away, and hears nothing more; `Unlinked` follows once what it leaves behind is in order."""

    generation: int
    error: TriologueError
    at: float = 0.0
    """When, on a clock that never goes back."""
    jitter: float = 0.0
    """At least 0, below 1: by how much the next start is put off, within its bounds."""


class Unlinked(Struct, frozen=True):
    """The connection is gone, or never came; `error` says why, and is None when we closed it."""

    generation: int
    error: TriologueError | None
    at: float = 0.0
    """As of `Lost`."""
    jitter: float = 0.0


class Expired(Struct, frozen=True):
    """A deadline passed."""

    timer: str
    generation: int
    about: str = ""
    seconds: float | None = None
    """How long it was."""


Input: TypeAlias = (
    Submit
    | Withdraw
    | StopTurn
    | Change
    | Ask
    | Unask
    | Decide
    | Served
    | Failed
    | Rest
    | Leave
    | Evict
    | Gate
    | Refuse
    | Vetted
    | Hold
    | Admitted
    | Linked
    | Heard
    | Lost
    | Unlinked
    | Expired
)

Reply: TypeAlias = Any
