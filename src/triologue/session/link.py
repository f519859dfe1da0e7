"""The link to the agent: is there one, which generation, and who waits for which answer on it."""

from enum import Enum, auto
from typing import TypeAlias, final

from msgspec import Struct

from triologue.messages import ControlRequest, Request
from triologue.session.inputs import Setting
from triologue.wire import Dialogue


class LinkState(Enum):
    """Where the link is."""

    ABSENT = auto()
    STARTING = auto()
    READY = auto()
    CLOSING = auto()


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


class Asking(Struct, frozen=True):
    """A caller waits for the agent's answer."""

    ticket: int


class Changing(Struct, frozen=True):
    """A setting is on its way; `ticket` is of the caller who waits, if one does."""

    ticket: int | None
    setting: Setting
    value: str | None


Purpose: TypeAlias = Handshake | Interrupting | Asking | Changing


@final
class Link:
    """One link after another; each start is a new generation, and what is meant for one never reaches the next."""

    def __init__(self) -> None:
        self.state = LinkState.ABSENT
        self.generation = 0
        self.applied: dict[Setting, str | None] = {}
        """The settings that this generation was started with, or has taken since."""
        self.tells_lifecycle = False
        """The agent says when it takes up a prompt, so that its own turns can be told from ours."""
        self.is_untried = False
        """The agent has not answered the handshake: what it says may be a refusal, and is never a turn's."""
        self.dialogue = Dialogue()
        self._purposes: dict[str, Purpose] = {}

    def move(self, event: LinkEvent) -> None:
        """Follow the table.

        Raises:
            KeyError: the event cannot happen in this state; that is a bug in the session.
        """
        self.state = TRANSITIONS[self.state][event]
        self.is_untried = event is LinkEvent.START or (self.is_untried and event is not LinkEvent.READY)

    def start(self, settings: dict[Setting, str | None]) -> None:
        """Begin the next generation."""
        self.move(LinkEvent.START)
        self.generation += 1
        self.applied = dict(settings)
        self.tells_lifecycle = False
        self.dialogue = Dialogue(prefix=f"g{self.generation}_")
        self._purposes = {}

    def is_current(self, generation: int) -> bool:
        """Is this about the link that is there now?"""
        return generation == self.generation and self.state is not LinkState.ABSENT

    def ask(self, request: Request, purpose: Purpose) -> ControlRequest:
        """The frame of a request, and remember why it was made."""
        frame = self.dialogue.ask(request)
        self._purposes[frame.request_id] = purpose
        return frame

    def purpose_of(self, request_id: str) -> Purpose:
        """Why the request was made that has just been answered."""
        return self._purposes.pop(request_id)

    def is_changing(self, setting: Setting) -> bool:
        """Is a change of this setting on its way?"""
        return any(isinstance(each, Changing) and each.setting == setting for each in self._purposes.values())

    def lose(self) -> list[Purpose]:
        """The other end is gone: why we asked what will never be answered."""
        self.dialogue.close()
        purposes = list(self._purposes.values())
        self._purposes = {}
        return purposes

    def waits_for(self, kind: type[Purpose]) -> bool:
        """Is there an unanswered request of this kind?"""
        return any(isinstance(purpose, kind) for purpose in self._purposes.values())
