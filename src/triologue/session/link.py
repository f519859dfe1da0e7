"""The link to the agent: is there one, which generation, and who waits for which answer on it."""

import zlib
from enum import Enum, auto
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, final

import msgspec
from msgspec import Struct

from triologue.messages import ControlCancel, ControlRequest, InitMessage, Request, SetModel, SetPermissionMode
from triologue.session.inputs import NO_SETTINGS, Setting, Settings
from triologue.session.sampling import LogSampler
from triologue.wire import Dialogue


class LinkState(Enum):
    """Where the link is."""

    ABSENT = auto()
    STARTING = auto()
    READY = auto()
    CLOSING = auto()


# By these names, as several of them are asked for in every turn: Python 3.11 looks each attribute of an enum up by a call.
ABSENT, STARTING, READY, CLOSING = LinkState


class LinkEvent(Enum):
    """What moves it."""

    START = auto()
    READY = auto()
    CLOSE = auto()
    GONE = auto()


TRANSITIONS: dict[LinkState, dict[LinkEvent, LinkState]] = {
    LinkState.ABSENT: {LinkEvent.START: LinkState.STARTING},
    LinkState.STARTING: {
        LinkEvent.READY: LinkState.READY,
        LinkEvent.CLOSE: LinkState.CLOSING,
        LinkEvent.GONE: LinkState.ABSENT,
    },
    LinkState.READY: {LinkEvent.CLOSE: LinkState.CLOSING, LinkEvent.GONE: LinkState.ABSENT},
    # Closing twice is harmless: the second may be the one that does not wait for the end of input.
    LinkState.CLOSING: {LinkEvent.CLOSE: LinkState.CLOSING, LinkEvent.GONE: LinkState.ABSENT},
}


class Handshake(Struct, frozen=True):
    """We wait for the answer to `initialize`."""


class Interrupting(Struct, frozen=True):
    """We wait for the answer to an interrupt."""


class Concluding(Struct, frozen=True):
    """The agent does something before it is let go."""


class Asking(Struct, frozen=True):
    """A caller waits for the agent's answer."""

    ticket: int
    request: Request


class Changing(Struct, frozen=True):
    """A setting is on its way; `ticket` is of the caller who waits, if one does."""

    ticket: int | None
    setting: Setting
    value: str | None

    @property
    def request(self) -> SetModel | SetPermissionMode:
        """What tells the agent."""
        if self.setting == "model":
            return SetModel(model=self.value)
        return SetPermissionMode(mode=self.value or "default")


class Recalling(Struct, frozen=True):
    """A prompt that waits inside the agent was asked back."""

    uuid: str


Purpose: TypeAlias = Handshake | Interrupting | Concluding | Asking | Changing | Recalling


_NONE: frozenset[str] = frozenset()

_Told = TypeVar("_Told", bytes, frozenset[str])


@final
class Link:
    """One link after another; each start is a new generation, and what is meant for one never reaches the next."""

    __slots__ = (
        "_before",
        "_greeting",
        "_purposes",
        "aged_by",
        "applied",
        "background",
        "capabilities",
        "conclusions",
        "dialogue",
        "generation",
        "has_introduced_itself",
        "is_admitted",
        "is_old",
        "is_untried",
        "is_working",
        "log_sampler",
        "preparations",
        "state",
        "tells_lifecycle",
        "to_conclude",
        "version",
    )

    def __init__(self) -> None:
        self.state = ABSENT
        self.generation = self._before = 0
        self.applied: Settings = NO_SETTINGS
        """The settings that this generation was started with, or has taken since."""
        self.tells_lifecycle = False
        """The agent says when it takes up a prompt, so that its own turns can be told from ours."""
        self.is_untried = False
        """The agent has not answered the handshake: what it says may be a refusal, and is never a turn's."""
        self.is_admitted = False
        """The start is under way, and waits in no line behind others."""
        self._greeting: bytes = b""
        self.capabilities: frozenset[str] = _NONE
        """What this generation has announced so far."""
        self.version: str | None = None
        """The agent's own, once it told."""
        self.has_introduced_itself = False
        """It has sent an `init`, so no further capability is to be expected."""
        self.is_working = False
        """The agent says that it is busy, if only with something of its own."""
        self.background: frozenset[str] = _NONE
        """Tasks that it has in the background."""
        self.is_old = False
        """It is as old as it may get, and goes as soon as it has nothing to do."""
        self.aged_by: str | None = None
        """The deadline that made it old; None where its place is needed."""
        self.preparations: list[Request] = []
        """What is still to be asked of it before it is ready."""
        self.conclusions: tuple[Request, ...] = ()
        """What it is asked for before it is let go."""
        self.to_conclude: list[Request] | None = None
        """What is left of that; None: it is not being let go."""
        self.dialogue = Dialogue()
        self.log_sampler = LogSampler()
        """Of what this generation does, and should not."""
        self._purposes: dict[str, Purpose] = {}

    def move(self, event: LinkEvent) -> None:
        """Follow the table.

        Raises:
            KeyError: the event cannot happen in this state; that is a bug in the session.
        """
        self.state = TRANSITIONS[self.state][event]
        self.is_untried = event is LinkEvent.START or (self.is_untried and event is not LinkEvent.READY)

    def count_from(self, generation: int) -> None:
        """There were so many before: of the same conversation, which has slept since."""
        self.generation = self._before = generation

    @property
    def is_unused(self) -> bool:
        """Was there none since then?"""
        return self.generation == self._before

    def start(self, settings: Settings) -> None:
        """Begin the next generation."""
        self.move(LinkEvent.START)
        self.generation += 1
        self.applied = settings
        self.tells_lifecycle = self.is_admitted = False
        self._greeting, self.capabilities = b"", _NONE
        self.version, self.has_introduced_itself = None, False
        self.conclusions, self.to_conclude = (), None
        self.is_working, self.background = False, _NONE
        self.is_old, self.aged_by = False, None
        self.dialogue = Dialogue(prefix=f"g{self.generation}_")
        self.log_sampler = LogSampler()
        self._purposes = {}

    def greeted(self, response: dict[str, Any]) -> None:
        """What the agent said of itself in its answer to the handshake."""
        # Compressed, because it is large (Claude Code: 30 kB, and more as a dict), alike for all, and seldom looked at.
        self._greeting = _shared(zlib.compress(msgspec.json.encode(response), level=1))
        told = response.get("capabilities")
        if isinstance(told, list):
            self.capabilities = _shared(frozenset(each for each in told if isinstance(each, str)))
        self.version = _version(response.get("claude_code_version"), response.get("qodercli_version"))

    @property
    def was_greeted(self) -> bool:
        """Has this generation answered the handshake, or its first step?"""
        return bool(self._greeting)

    @property
    def greeting(self) -> dict[str, Any] | None:
        """The answer to this generation's handshake."""
        return msgspec.json.decode(zlib.decompress(self._greeting)) if self._greeting else None

    def introduced(self, message: InitMessage) -> None:
        """What the agent says of itself when a turn begins: more than in the handshake (Claude Code)."""
        self.has_introduced_itself = True
        if not self.capabilities.issuperset(message.capabilities or ()):  # it says the same in every turn
            self.capabilities = _shared(self.capabilities.union(message.capabilities or ()))
        self.version = message.claude_code_version or message.qodercli_version or self.version

    def is_current(self, generation: int) -> bool:
        """Is this about the link that is there now?"""
        return generation == self.generation and self.state is not ABSENT

    def ask(self, request: Request, purpose: Purpose) -> ControlRequest:
        """The frame of a request, and remember why it was made."""
        frame = self.dialogue.ask(request)
        self._purposes[frame.request_id] = purpose
        return frame

    def purpose_of(self, request_id: str) -> Purpose:
        """Why the request was made that has just been answered."""
        purpose = self._purposes.pop(request_id)
        if not self._purposes:
            self._purposes.clear()  # else it keeps the room of what it had
        return purpose

    def purposes(self) -> list[Purpose]:
        """Why we asked what is unanswered."""
        return list(self._purposes.values())

    @property
    def is_asked(self) -> bool:
        """Does anything that we asked wait for its answer?"""
        return bool(self._purposes)

    def concluding(self) -> str | None:
        """The id of the request that the agent is still to answer before it is let go."""
        return next((id for id, purpose in self._purposes.items() if isinstance(purpose, Concluding)), None)

    def asking(self, ticket: int) -> str | None:
        """The id of the request that this caller waits for."""
        found = (
            id for id, purpose in self._purposes.items() if isinstance(purpose, Asking) and purpose.ticket == ticket
        )
        return next(found, None)

    def withdraw(self, request_id: str) -> tuple[ControlCancel, Purpose] | None:
        """The frame that takes a request back, and why it was made; None when it was answered."""
        frame = self.dialogue.withdraw(request_id)
        return (frame, self._purposes.pop(request_id)) if frame is not None else None

    def is_changing(self, setting: Setting) -> bool:
        """Is a change of this setting on its way?"""
        return any(isinstance(each, Changing) and each.setting == setting for each in self._purposes.values())

    def lose(self) -> dict[str, Purpose]:
        """The other end is gone: what will never be answered, and why we asked."""
        self.dialogue.close()
        purposes, self._purposes = self._purposes, {}
        return purposes

    def waits_for(self, kind: type[Purpose]) -> bool:
        """Is there an unanswered request of this kind?"""
        return bool(self._purposes) and any(isinstance(purpose, kind) for purpose in self._purposes.values())


def _version(*told: object) -> str | None:
    return next((each for each in told if isinstance(each, str) and each), None)


@lru_cache(maxsize=64)
def _shared(told: _Told) -> _Told:
    """The same object for all links whose agents said the same: thousands on one agent, in one program."""
    return told
