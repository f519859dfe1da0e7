"""What a session asks of the world. Data only; `actors` executes them, in order."""

from typing import TypeAlias, final

from msgspec import Struct

from triologue.messages import (
    AnyRequest,
    CanUseTool,
    Message,
    Outcome,
    PermissionAnswered,
    RateLimitEvent,
    ResultMessage,
    UserMessage,
)
from triologue.session.inputs import Reply


class Start(Struct, frozen=True):
    """Open a connection. Where `session_id` is None, the options that the session began with say which conversation.

    With `fresh`, the agent does not know the conversation `session_id` yet: begin it under that id.
    """

    generation: int
    session_id: str | None
    fresh: bool
    model: str | None
    permission_mode: str | None


class Send(Struct, frozen=True):
    """Send one frame."""

    generation: int
    message: Message


class SendPrompt(Struct, frozen=True):
    """Send a prompt, in the form that this agent wants."""

    generation: int
    prompt: UserMessage
    turn_id: str


class Stop(Struct, frozen=True):
    """Close the connection: by the end of input, or at once."""

    generation: int
    eof: bool


@final
class Publish(Struct, frozen=True):
    """Tell everyone who listens; all but partials are kept in the log."""

    turn_id: str | None
    messages: list[Message]


class Settle(Struct, frozen=True):
    """A turn has its outcome."""

    turn_id: str
    outcome: Outcome


class Answer(Struct, frozen=True):
    """A caller's wish is settled: with a value, or an error to raise there."""

    ticket: int
    value: Reply = None
    error: Exception | None = None


class AskPermission(Struct, frozen=True):
    """Ask this program whether a tool may run; `Decide` or `Failed` is the answer."""

    generation: int
    request_id: str
    permission_id: str
    turn_id: str | None
    request: CanUseTool


class SettlePermission(Struct, frozen=True):
    """A permission request is settled, one way or another: tell who waits for that."""

    answered: PermissionAnswered


class Serve(Struct, frozen=True):
    """Do what the agent asks; `Served` or `Failed` is the answer."""

    generation: int
    request_id: str
    request: AnyRequest
    turn_id: str | None = None


class Drop(Struct, frozen=True):
    """Cancel what is being done for this request of the agent, if it still is."""

    generation: int
    request_id: str


@final
class SetTimer(Struct, frozen=True):
    """Tell when this deadline passed; which one, and how long it is, the actor knows."""

    timer: str
    generation: int
    about: str = ""
    """What of: there may be many of one kind."""


@final
class ClearTimer(Struct, frozen=True):
    """The deadline no longer matters."""

    timer: str
    about: str = ""


class PauseTimer(Struct, frozen=True):
    """The deadline stands still, until `ResumeTimer` lets it go on with what was left."""

    timer: str


class ResumeTimer(Struct, frozen=True):
    """A deadline that stands still goes on."""

    timer: str


class Account(Struct, frozen=True):
    """Something that concerns others too: what a turn cost, or how much the account has left."""

    message: ResultMessage | RateLimitEvent


class BeginAnew(Struct, frozen=True):
    """The agent does not know the conversation: the next start begins a fresh one, whatever the options say."""


class Stay(Struct, frozen=True):
    """The agent that was to make room does not go."""

    generation: int


class Note(Struct, frozen=True):
    """A line for the log file of the program."""

    text: str
    turn_id: str | None = None
    """The turn that it is about; None: the one that runs, if one does."""
    is_trouble: bool = False
    """Whoever looks after the program wants to know it."""


Rare: TypeAlias = (
    Start
    | Send
    | SendPrompt
    | Stop
    | Settle
    | Answer
    | AskPermission
    | SettlePermission
    | Serve
    | Drop
    | PauseTimer
    | ResumeTimer
    | Account
    | BeginAnew
    | Stay
    | Note
)
"""What happens once in a turn, or less often."""

Effect: TypeAlias = Publish | SetTimer | ClearTimer | Rare
"""What can be asked for."""
