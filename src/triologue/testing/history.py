"""What happened in a program: every call with its result, and every event of every session."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, final

from msgspec import Struct

from triologue.errors import brief
from triologue.manager import ManagerStatistics
from triologue.messages import (
    Event,
    Message,
    PermissionAnswered,
    PermissionAsked,
    ResultMessage,
    StateChanged,
    StreamEvent,
    TurnAccepted,
    TurnEnded,
    is_of_agent,
    text,
)
from triologue.options import Deadlines, Limits
from triologue.testing.agent_state import AgentState
from triologue.testing.tasks import place_of

CALL = "call"
"""The key in a turn's `meta` that has the number of the call which sent it."""

_SHOWN = 60
"""Lines of a history that a failure shows at most."""


class AnOperation(Protocol):
    """What a history knows of an operation."""

    @property
    def inner(self) -> "AnOperation":
        """The operation itself, without what is done to its caller."""
        ...


class Call(Struct, kw_only=True):
    """One operation of a program, and what became of it."""

    number: int
    operation: AnOperation
    began: float
    """Virtual seconds."""
    ended: float | None = None
    """None while it runs."""
    value: object = None
    """What it gave."""
    error: BaseException | None = None
    """What it raised instead."""
    was_cancelled: bool = False
    """Its caller was cancelled."""
    turn_id: str | None = None
    """Of the turn that it made, as the log has it, or cancelled; None where there was none."""

    @property
    def was_ended(self) -> bool:
        """Did it end only because the program was?"""
        return self.error is not None and not isinstance(self.error, Exception)

    def describe(self) -> str:
        """What it gave, or raised, in one line."""
        return f"raised {self.error!r}" if self.error is not None else f"gave {brief(self.value)}"

    def blame(self) -> str:
        """What it raised, and where."""
        place = place_of(self.error) if self.error is not None else ""
        return f"call {self.number} {self.operation!r} {self.describe()}" + (f" at {place}" if place else "")


class Seen(Struct, frozen=True, kw_only=True):
    """An event of a session's subscription."""

    time: float
    """Virtual seconds, when it was read."""
    key: str
    event: Event


@final
class History:
    """Filled while a program runs; afterwards it is what laws are checked on."""

    def __init__(self, program: object, seed: int, agent: AgentState, deadlines: Deadlines, limits: Limits) -> None:
        self.program = program
        self.seed = seed
        self.agent = agent
        """The agent, with what it was told and what it said."""
        self.deadlines = deadlines
        self.limits = limits
        self.calls: list[Call] = []
        self.events: dict[str, list[Seen]] = {}
        """By session key."""
        self.left: float | None = None
        """When the manager's block began to be left by itself; None: it ended before the program."""
        self.closed: float | None = None
        """When that was done, however the block was left."""
        self.agents_left = 0
        """Connections that were alive after the manager's block."""
        self.remains: ManagerStatistics | None = None
        """The manager, after its block; None where that was left by an error."""
        self._said: dict[str, str] = {}
        self._entries: list[Call | Seen | tuple[Call, str]] = []

    def begin(self, call: Call) -> None:
        """A call begins."""
        self.calls.append(call)
        self._entries.append((call, ""))

    def end(self, call: Call) -> None:
        """It has ended."""
        self._entries.append(call)

    def saw(self, seen: Seen) -> None:
        """A subscription gave something."""
        self.events.setdefault(seen.key, []).append(seen)
        turn_id, message = seen.event.turn_id, seen.event.message
        if isinstance(message, TurnAccepted) and turn_id is not None:
            self._said[turn_id] = text(message.prompt)
            for call in self.calls:
                if str(call.number) == message.meta.get(CALL):
                    call.turn_id = turn_id
        self._entries.append(seen)

    # Reading.

    def messages(self, key: str) -> Iterator[tuple[str | None, Message]]:
        """What a session's log has, with the turn that each belongs to."""
        for seen in self.events.get(key, ()):
            yield seen.event.turn_id, seen.event.message

    def calls_of(self, *kinds: type[Any]) -> Iterator[Call]:
        """The calls of these operations, in the order in which they began."""
        return (call for call in self.calls if isinstance(call.operation.inner, kinds))

    def outcomes(self) -> dict[str, TurnEnded]:
        """How each turn ended, by its id."""
        return {
            turn_id or "": message
            for key in self.events
            for turn_id, message in self.messages(key)
            if isinstance(message, TurnEnded)
        }

    def is_caused(self, uuid: str, turn_id: str) -> bool:
        """Is this turn, or one that merged with it, why the agent said the message `uuid`?

        A turn that is tried again reaches the agent under another uuid; so it is its text that counts.
        """
        said = self._said.get(turn_id)
        heard = {prompt.uuid: prompt.text for prompt in self.agent.prompts}
        return said is None or any(said in heard.get(cause, said) for cause in self.agent.causes.get(uuid, ()))

    def key_of(self, call: Call) -> str | None:
        """The key of the session that a call is about; None for one about no single session."""
        number = getattr(call.operation.inner, "session", None)
        return f"s{number}" if number is not None else None

    def key_of_session(self, session_id: str) -> str | None:
        """The key of a session, by the agent's name for it; None where no log has it."""
        found = (
            key
            for key in self.events
            for _, message in self.messages(key)
            if getattr(message, "session_id", None) == session_id and is_of_agent(message)
        )
        return next(found, None)

    def lines(self) -> list[str]:
        """All of it, in order, one thing a line."""
        return [line for entry in self._entries if (line := _line(entry))]

    def tail(self, lines: int = _SHOWN) -> str:
        """The end of it, for a failure's text."""
        every = self.lines()
        cut = [f"  ({len(every) - lines} lines before)"] if len(every) > lines else []
        return "\n".join([*cut, *(f"  {line}" for line in every[-lines:])])


def _line(entry: Call | Seen | tuple[Call, str]) -> str:
    match entry:
        case (Call() as call, _):
            return f"{call.began:9.3f}  call {call.number}: {call.operation!r}"
        case Call(ended=float() as ended):
            return f"{ended:9.3f}  call {entry.number} {entry.describe()}"
        case Seen(time=time, key=key, event=event):
            about = f" of {event.turn_id[:8]}" if event.turn_id else ""
            return f"{time:9.3f}  {key} #{event.seq or '-'}{about}: {describe(event.message)}"
        case _:
            return ""


def describe(message: Message) -> str:
    """A message of a log, in a few words."""
    name = type(message).__name__
    match message:
        case TurnAccepted(prompt=prompt):
            return f"{name} {brief(text(prompt))}"
        case TurnEnded(outcome=outcome):
            return f"{name} {outcome.kind}" + (f" ({outcome.error})" if outcome.error is not None else "")
        case StateChanged(state=state, reason=reason):
            return f"{name} {state}" + (f" ({brief(reason)})" if reason else "")
        case PermissionAsked(id=id):
            return f"{name} {id}"
        case PermissionAnswered(id=id, answer=answer):
            return f"{name} {id} {answer}"
        case ResultMessage(subtype=subtype, result=said):
            return f"{name} {subtype} {brief(said)}"
        case StreamEvent():
            return f"{name} {brief(text(message))}"
        case _:
            said = text(message)
            return f"{name} {brief(said)}" if said else name


class Complaint(Struct, frozen=True):
    """A law that a history breaks."""

    law: str
    what: str


class LawBroken(AssertionError):
    """A history breaks laws; the text has the complaints, the seed, the program and the history's end.

    Attributes:
        complaints: what is broken.
        history: all that happened.
    """

    def __init__(self, complaints: Iterable[Complaint], history: History, tasks: str = "") -> None:
        self.complaints = list(complaints)
        self.history = history
        parts = [
            *(f"{each.law}: {each.what}" for each in self.complaints),
            f"program, with seed {history.seed}:\n  {history.program!r}",
            f"history:\n{history.tail()}",
        ]
        if tasks:
            parts.append(f"what each task waited for:\n{tasks}")
        super().__init__("\n\n".join(parts))
