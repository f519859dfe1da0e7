"""What triologue itself says in a session's log, beside the agent's messages."""

from typing import Literal, TypeAlias

from msgspec import Struct

from triologue.messages.conversation import ResultMessage, UserMessage
from triologue.messages.message import Message
from triologue.messages.requests import CanUseTool

OutcomeKind: TypeAlias = Literal["answered", "failed", "interrupted", "cancelled", "merged", "lost"]
"""`answered`: there is a result without an error. `failed`: an error result, a deadline that passed, or an agent that died.
`interrupted`: stopped while it ran. `cancelled`: it never ran. `merged`: it went into another turn. `lost`: nobody can tell."""

SessionState: TypeAlias = Literal[
    "new", "starting", "idle", "running", "interrupting", "restarting", "hibernated", "failed"
]
"""`new`: nothing was said yet. `starting`, `restarting`: an agent is on its way, or waited for; the second after a crash.
`idle`, `running`, `interrupting`: it is there, and has no turn, has one, or is to stop it. `hibernated`: it has none, and
the next message wakes it. `failed`: its agents died too often, and for a while it takes nothing in."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a turn ended. Every accepted turn gets exactly one."""

    kind: OutcomeKind
    """`answered`: a result without an error. `failed`: an error result, a crash or a time-out. `interrupted`: stopped
    while it ran. `cancelled`: it never ran. `merged`: it went into the turn `into`. `lost`: nobody can tell."""
    result: ResultMessage | None = None
    error: Exception | None = None
    """What `unwrap()` raises; None exactly when the turn was answered."""
    reason: str | None = None
    """Why, in a word or a few: the name of the deadline that passed (`drain` too, of a turn that was interrupted then), the
    class of the error that the agent went away with, or what the agent says of it."""
    into: str | None = None
    cost_usd: float | None = None
    """US dollars, as far as the agent told."""

    def unwrap(self) -> ResultMessage:
        """Give the result of an answered turn.

        Raises:
            TurnError: any other outcome; its subclass tells which.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)  # which would grow with each call
        if self.result is None:
            raise LookupError(f"a {self.kind} turn without a result")
        return self.result


class TurnAccepted(Message, tag="#turn_accepted", kw_only=True):
    """A prompt was taken in; it will have an outcome."""

    prompt: UserMessage
    meta: dict[str, str]
    is_command: bool = False
    """It is one of the agent's slash commands, and not text for the model."""


class TurnStarted(Message, tag="#turn_started", kw_only=True):
    """The prompt goes to the agent now."""


# An error that was raised leads, by its traceback, to all that its callers had, and so back to the log that this is in.
# The garbage collector frees such a circle only where it may walk all of it: what keeps messages, it walks too.
class TurnEnded(Message, tag="#turn_ended", kw_only=True, gc=True):
    """The turn has its outcome; nothing of it follows."""

    outcome: Outcome


class StateChanged(Message, tag="#state_changed", kw_only=True):
    """The session is now in `state`."""

    state: SessionState
    reason: str | None = None
    """Of `failed`, and of `hibernated` where the agent went away by itself: why. Of an agent that was let go for its
    deadline (then the state may be `restarting` too): `idle` or `max_age`."""


class SettingsChanged(Message, tag="#settings_changed", kw_only=True):
    """The session is to have these settings from now on: it was told so, or an agent refused others.

    All of them, also those that stay. The agent that is there may not have them yet; the next one is started with them.
    """

    model: str | None = None
    """None: the agent's default."""
    permission_mode: str | None = None


class PermissionAsked(Message, tag="#permission_asked", kw_only=True):
    """The agent asks whether a tool may run; the turn waits for `PermissionAnswered` with this `id`."""

    id: str
    """Of the request: at most 36 characters, unique in its manager."""
    request: CanUseTool
    """The tool, its input, and what else the agent said."""


PermissionAnswer: TypeAlias = Literal["allow", "deny", "expired", "cancelled", "failed"]


class PermissionAnswered(Message, tag="#permission_answered", kw_only=True):
    """A permission request is settled."""

    id: str
    answer: PermissionAnswer
    """`expired`: denied at `Deadlines.permission`. `cancelled`: the agent, an interrupt or the end took it back.
    `failed`: the callback raised, and the agent was told so."""
    by: str | None = None
    """Who answered, as they said."""
    reason: str | None = None
    """What a denial told the model; why it was cancelled or failed."""


class CallbackFailed(Message, tag="#callback_failed", kw_only=True):
    """A callback of this program raised; the agent got an error for it, and goes on."""

    request: str
    """What the agent had asked for: `hook_callback`, `mcp_message` ..."""
    error: str


class CostWarning(Message, tag="#cost_warning", kw_only=True):
    """The session has cost 80 % of what it may; at all of it nothing more is accepted."""

    cost_usd: float
    """US dollars so far, as far as the agent told."""
    limit_usd: float


class Gap(Message, tag="#gap", kw_only=True):
    """Records `first` to `last` cannot be shown: they are gone, or the reader was too slow."""

    first: int
    last: int


def is_of_agent(message: Message) -> bool:
    """Is this something that the agent said, and not triologue?"""
    return not isinstance(message, _OURS)


_OURS = (
    TurnAccepted,
    TurnStarted,
    TurnEnded,
    StateChanged,
    SettingsChanged,
    PermissionAsked,
    PermissionAnswered,
    CallbackFailed,
    CostWarning,
    Gap,
)


class Event(Struct, frozen=True):
    """One entry of a session's log, or one partial that passes by."""

    seq: int | None
    """Its position: from 1, without gaps. None for partial text, which is live only."""
    turn_id: str | None
    """The turn that caused it; None for what belongs to no turn (a background turn of the agent's own)."""
    message: Message
