"""The agent, its connection, the carrier of its process, and the model of the built-in agent."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct, field

from triologue.errors import TriologueError
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ContentBlock,
    Message,
    PermissionResult,
    Request,
    ResultMessage,
    TranscriptMirror,
    UserMessage,
)
from triologue.options import Options
from triologue.ports.stores import TranscriptEntry

Sink: TypeAlias = Callable[[list[Message]], float | None]
"""Takes every batch of messages that one read gave: a list, which is its from then on. Synchronous; it never waits. It
returns for how many seconds all who read let text that follows wait for more; None or 0 where they do not.

It is called from when the connection is being opened until `wait_exit` returns, in the thread in which trio runs; from
another one by `trio.from_thread.run_sync`. Within it the host may `send` and `stop`."""


class Exit(Struct, frozen=True, kw_only=True):
    """How an agent went away."""

    code: int | None = None
    """Exit status; negative for a signal; None when there was no process."""
    stderr_tail: str = ""
    """The end of what it wrote to stderr, at most 64 KiB."""
    closed_output: bool = False
    """It closed its output and did not exit, so it was stopped: `code` tells of that, and is never 0."""


class Account(Struct, frozen=True, kw_only=True):
    """An OS user, with all that makes a process that user's and nobody else's."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """All groups of the user: none of this process's own stays."""


class Command(Struct, frozen=True, kw_only=True):
    """A program to run as an agent."""

    argv: list[str]
    env: dict[str, str]
    """The whole environment; nothing is inherited."""
    cwd: str | None = None
    stderr: Callable[[str], None] | None = None
    account: Account | None = None
    """Who it runs as; None: the user of this process."""
    grace: float | None = None
    """Seconds for it to leave by itself at the end of its input, where that is less than its carrier gives."""


class Connection(Protocol):
    """One live link to an agent. Its other direction is the sink that it was opened with.

    What is called here may be called from within that sink, and may call it. It raises nothing but what is named.
    """

    @property
    def pid(self) -> int | None:
        """The agent's process, if it has one."""
        ...

    def send(self, message: Message) -> None:
        """Send one frame, after those sent before. Never waits; without effect once the agent is gone, or told to go.

        Raises:
            AgentProtocolError: too much waits already for the agent to read it.
        """
        ...

    async def wait_exit(self) -> Exit:
        """Wait until the agent is gone and the sink has had all that it said. Many may wait."""
        ...

    def stop(self, *, eof: bool) -> None:
        """Begin to close: by the end of input (an idle agent puts its things in order), or at once by a signal.

        It may be called again, also without `eof` while an end of input takes too long, and when the agent is gone.
        """
        ...


class Carrier(Protocol):
    """Runs the processes of agents, so that none of them outlives the host."""

    def spawn(self, command: Command, *, sink: Sink) -> AbstractAsyncContextManager[Connection]:
        """Start a program; leaving the block closes it: EOF, SIGTERM, SIGKILL, and whatever it left behind."""
        ...


@runtime_checkable
class Agent(Protocol):
    """Something that can hold a conversation over the protocol of `triologue.messages`."""

    @property
    def name(self) -> str:
        """A short name: `claude-code`, `embedded`. A store keeps it, and gives a conversation to no agent of another name."""
        ...

    def check(self, options: Options) -> None:
        """Refuse options before anything starts: raises `UnsupportedOption` or `InvalidOption`. No I/O.

        `options.named()` has what was set. Of an agent whose permission requests somebody here answers
        `permission_prompt_tool_name` is `stdio`: one that never asks refuses it. `abort_event` and `can_use_tool` are
        done on this side.
        """
        ...

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers, each with the capability that it must announce for it, or None.

        Others are an `UnsupportedRequest` for whoever asks, but for three that it has to answer all the same:
        `initialize`; `Interrupt`, to which it may say no (then `Deadlines.interrupt` ends it with its turn); and what
        callers make themselves (`UnknownRequest`). What it does not know it refuses by a `ControlError`, best with the
        code `unsupported_request`.
        """
        ...

    def initialize(self, options: Options) -> AnyRequest:
        """The first control request of a connection.

        No prompt comes before its answer, a `ControlSuccess`, whose `response` is what `Session.get_server_info` tells.
        """
        ...

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request, as this agent reads it."""
        ...

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        """The prompt as this agent wants it: it, or a copy, for it is not to be changed. Its `uuid` is set, and stays."""
        ...

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        """Open a connection; leaving the block closes it, verified and in bounded time, also in the middle of a turn.

        A manager leaves it after `wait_exit`, or by an exception or a cancellation, which it passes on. An agent that
        cannot have the conversation of `options.resume` goes away by itself, and `diagnose` says so.

        Args:
            options: what to start with. `session_id` is what a new conversation is to be called, `resume` which one it
                goes on with. Where `check` refuses `resume`, a session that has slept is a `SessionNotFound`.
            sink: takes what the agent says.
            carrier: runs its program, where it has one. One in this program (`LivesInside`) does without.

        Raises, on entering: `AgentNotFound`, `AgentStartError`. Any other exception breaks the session, and no other one.
        """
        ...

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        """Why a connection ended by itself. No I/O.

        `SessionNotFound` for a conversation that it does not have: nothing else lets a session begin afresh. That one,
        `AgentNotFound`, `NotLoggedIn`, a `CallerError` and an `AgentStartError` that `is_final` count as nobody's crash;
        any other is one for `RestartPolicy`.

        Args:
            exit: how it went away.
            refusal: the error result it gave instead of answering `initialize`, if it did.
            options: what it was started with.
        """
        ...


@runtime_checkable
class ProvidesTokens(Protocol):
    """An agent that asks its host for the tokens of its account while it runs (Qoder); for others it is not there."""

    @property
    def tokens(self) -> Mapping[type[Request], Callable[..., Any]]:
        """By the type of the request: what gives a token."""
        ...


@runtime_checkable
class PreparesSessions(Protocol):
    """An agent that is asked for more than `initialize` before its first prompt (Qoder); for others it is not there."""

    def preparations(self, options: Options) -> Sequence[Request]:
        """The requests, in order; the agent starts only if it grants them all."""
        ...


@runtime_checkable
class LivesInside(Protocol):
    """An agent that runs in this program, and not as a process: many more of it can live at the same time."""

    @property
    def lives_inside(self) -> Literal[True]:
        """It does."""
        ...


@runtime_checkable
class KeepsLogins(Protocol):
    """An agent whose program keeps a log-in on disk, and may renew it as it starts; for others it is not there."""

    def kept_login(self, options: Options) -> str | None:
        """The place of the log-in that a start with these options may renew; None: it logs in otherwise. No I/O."""
        ...


@runtime_checkable
class ConcludesSessions(Protocol):
    """An agent that has something to do before it is let go (Qoder); for others it is not there."""

    def conclusions(self, options: Options) -> Sequence[Request]:
        """What it is asked for then, in order; nothing that it does not announce, and nobody minds if it refuses."""
        ...


@runtime_checkable
class FindsLatest(Protocol):
    """An agent that knows before it starts what `continue_conversation` means; of others nobody knows it but they.

    It is started with `resume` in the place of `continue_conversation`, or for a new conversation where there is none.
    """

    async def latest(self, options: Options) -> str | None:
        """The id of the conversation of `options.cwd` that was written last; None: there is none to go on with.

        Raises:
            AgentStartError, StoreError: that cannot be told. The start fails with it.
        """
        ...


class Restored(Struct, frozen=True):
    """Where an agent finds a conversation that it is to go on with."""

    options: Options
    """What to start it with."""
    unkept: Sequence[TranscriptEntry] = ()
    """What it has of the conversation beyond what was kept, and will not tell any more. A store keeps that first."""


@runtime_checkable
class MirrorsHistories(Protocol):
    """An agent that can tell, line by line, what it writes into its own history, so that a store can keep a copy of it."""

    def mirrored(self, options: Options) -> Options:
        """The options with which it tells so: in `TranscriptMirror` messages, those of a turn before its result."""
        ...

    def entries_of(self, mirror: TranscriptMirror, options: Options) -> list[TranscriptEntry]:
        """What a store keeps of such a message.

        Args:
            mirror: what was told. It may be about another conversation than the one that was resumed: a copy, say.
            options: what the agent was started with.

        Raises:
            AgentProtocolError: it comes from outside the histories. That is logged, and nothing of it is kept.
        """
        ...

    def restore(self, options: Options, entries: Sequence[TranscriptEntry]) -> AbstractAsyncContextManager[Restored]:
        """See that it finds the conversation that `options.resume` names, with all that a store kept of it.

        Where it has all of that by itself, it goes on with what it has, which may be more: with everything, where
        nothing is kept. One that it has in part, because it went on elsewhere, or not at all, it gets anew. Leaving
        the block, once the agent is gone, takes away what was put there for it alone.

        Args:
            options: what it is to be started with.
            entries: all that is kept of this conversation, in the order in which it was told.

        Raises, on entering: `StoreError`: that cannot be done.
        """
        ...


class ToolSpec(Struct, frozen=True, kw_only=True):
    """A tool as a model is told about it."""

    name: str
    description: str
    input_schema: dict[str, Any]


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One call of a model: the conversation so far, and what it may use."""

    model: str | None
    system: str | None
    messages: Sequence[dict[str, Any]]
    """Messages API messages: `{"role": "user" | "assistant", "content": str | [blocks]}`."""
    tools: Sequence[ToolSpec] = field(default_factory=tuple)


class ModelReply(Struct, frozen=True, kw_only=True):
    """The whole of what a model said in one call."""

    content: list[ContentBlock]
    stop_reason: str
    """`end_turn`, `tool_use`, `max_tokens` ..."""
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Model(Protocol):
    """What the built-in agent needs from a language model."""

    @property
    def name(self) -> str:
        """What it calls itself when no model is chosen."""
        ...

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        """Answer. `emit` is called with each piece of text as it comes. Cancellation stops it at once.

        Raises:
            ModelError: it could not answer; the turn ends with an API error.
        """
        ...
