"""What a program needs of its sessions, wherever they live: here (`open_manager`) or behind a gateway (`open_remote`).

Code that is written against these runs with either. What only one of them has is in its own class.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from triologue.messages import (
    Event,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionUpdate,
    Prompt,
    ResultMessage,
    SessionState,
)
from triologue.options import Overlap


class AnyTurn(Protocol):
    """One accepted prompt: see `Turn`."""

    @property
    def id(self) -> str:
        """Unique in its session."""
        ...

    @property
    def meta(self) -> dict[str, str]:
        """What its caller gave along."""
        ...

    @property
    def state(self) -> Literal["waiting", "running", "ended"]:
        """Where it is."""
        ...

    @property
    def position(self) -> int | None:
        """How many turns stand before it; None once it runs."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None until then."""
        ...

    async def wait(self) -> Outcome:
        """Wait for the outcome."""
        ...

    async def cancel(self) -> Outcome:
        """Cancel it if it waits, interrupt it if it runs; return its outcome, whatever that became."""
        ...

    def __aiter__(self) -> AsyncIterator[Message]:
        """Its messages, from the beginning to its result."""
        ...


class AnySession(Protocol):
    """One conversation: see `Session`."""

    @property
    def key(self) -> str:
        """Its name."""
        ...

    @property
    def session_id(self) -> str | None:
        """The agent's name for it; None before the agent told."""
        ...

    @property
    def state(self) -> SessionState:
        """Where it is, as far as is known here."""
        ...

    async def ask(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> ResultMessage:
        """Send a prompt and wait for its result."""
        ...

    def turn(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[AnyTurn]:
        """Send a prompt, bound to a block."""
        ...

    async def send(
        self,
        prompt: Prompt,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
    ) -> AnyTurn:
        """Send a prompt; return when it is accepted."""
        ...

    async def find(self, id: str) -> AnyTurn | None:
        """The turn of this id; None: there is none, or it is forgotten."""
        ...

    async def interrupt(self) -> str:
        """Stop the turn that runs."""
        ...

    def subscribe(self, after: int | None = None) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Read the session's log as it grows."""
        ...

    async def fork(self, key: str, *, at: str | None = None, session_id: str | None = None) -> "AnySession":
        """A copy of this conversation under a new key."""
        ...

    async def reset(self) -> None:
        """Begin a fresh conversation under this key."""
        ...

    async def set_model(self, model: str | None) -> None:
        """Use this model from now on."""
        ...

    async def set_permission_mode(self, mode: str | None) -> None:
        """Use this permission mode from now on."""
        ...

    async def command(self, command: str) -> ResultMessage:
        """Run one of the agent's slash commands as a turn of its own."""
        ...

    async def hibernate(self) -> None:
        """Let the agent go as soon as nothing runs and nothing waits."""
        ...

    async def close(self) -> None:
        """Let the agent go now."""
        ...


class AnyPermission(Protocol):
    """An agent asks whether a tool may run: see `PermissionRequest`."""

    @property
    def id(self) -> str:
        """At most 36 characters."""
        ...

    @property
    def session(self) -> AnySession:
        """Whose agent asks."""
        ...

    @property
    def tool(self) -> str:
        """The tool's name."""
        ...

    @property
    def input(self) -> dict[str, Any]:
        """What it would run with."""
        ...

    @property
    def meta(self) -> dict[str, str]:
        """The turn's."""
        ...

    async def allow(
        self,
        *,
        updated_input: dict[str, Any] | None = None,
        updated_permissions: list[PermissionUpdate | dict[str, Any]] | list[PermissionUpdate] | None = None,
    ) -> None:
        """Let the tool run."""
        ...

    async def deny(self, message: str = "", *, interrupt: bool = False) -> None:
        """Refuse."""
        ...

    async def wait(self) -> PermissionAnswered:
        """Wait until it is settled, and tell how."""
        ...


class SessionLine(Protocol):
    """One session, in a line: see `SessionOverview`."""

    @property
    def key(self) -> str:
        """Its name."""
        ...

    @property
    def session_id(self) -> str | None:
        """The agent's name for it."""
        ...

    @property
    def state(self) -> SessionState:
        """Where it is."""
        ...

    @property
    def waiting(self) -> int:
        """Turns in line."""
        ...

    @property
    def age(self) -> float | None:
        """Seconds since its oldest turn without an outcome was accepted."""
        ...

    @property
    def waits_for(self) -> str | None:
        """What has to happen next, in words."""
        ...

    @property
    def permissions(self) -> int:
        """Requests that are open."""
        ...

    @property
    def cost_usd(self) -> float | None:
        """US dollars so far."""
        ...

    @property
    def turns(self) -> int:
        """Turns that have ended."""
        ...

    @property
    def last(self) -> int:
        """The `seq` of its newest record."""
        ...


class Sessions(Protocol):
    """Many conversations, by key: a `SessionManager`, or a `RemoteManager`."""

    def session(self, key: str) -> AnySession:
        """The session of a key: a handle that costs nothing."""
        ...

    async def overview(self, prefix: str = "") -> Sequence[SessionLine]:
        """A line for each session whose key begins with `prefix`, by key."""
        ...

    async def open_permissions(self) -> Sequence[AnyPermission]:
        """Every permission request that waits for an answer."""
        ...

    def permission(self, id: str) -> AnyPermission | None:
        """The permission request with this id."""
        ...

    async def delete(self, key: str) -> None:
        """Close the conversation of a key, and forget it."""
        ...
