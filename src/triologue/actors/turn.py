"""A turn, as its caller holds it."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import chain
from typing import Literal, final

import trio

from triologue.actors.inside import Home, WaitFor, current_home, waiting_for
from triologue.actors.log import Cursor, Log
from triologue.actors.records import Batch, Records
from triologue.actors.replies import Reply
from triologue.loops import refuse_elsewhere
from triologue.messages import (
    CallbackFailed,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionAsked,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)

# What a subscription shows beside what the agent said.
_OURS = frozenset({TurnAccepted, TurnStarted, TurnEnded, PermissionAsked, PermissionAnswered, CallbackFailed})


@final
class Turn:
    """One accepted prompt, the messages it caused and its outcome. Made by a session; any task may use it.

    `async for message in turn` gives its messages from the beginning to its result, to as many readers as there are,
    whenever they come. It never raises for an outcome; nobody reading costs nothing.
    """

    __slots__ = (
        "_accepted_at",
        "_begin",
        "_ended",
        "_home",
        "_id",
        "_into",
        "_known_from",
        "_log",
        "_meta",
        "_outcome",
        "_position",
        "_reserved",
        "_withdraw",
        "held",
        "is_followed",
        "sent",
    )

    def __init__(
        self,
        turn_id: str,
        meta: dict[str, str],
        log: Log,
        held: Records | None,
        *,
        home: Home,
        withdraw: Callable[[str], None],
        position: Callable[[str], int | None],
        begin: int | None = None,
    ) -> None:
        self._id = turn_id
        self._meta = meta
        self._log = log
        self._home = home
        self._known_from = log.last
        """The `seq` after which its records come that the log here may have."""
        self._begin = self._known_from if begin is None else begin
        self._accepted_at = trio.current_time()
        self._withdraw = withdraw
        self._position = position
        self._outcome: Outcome | None = None
        self._ended: trio.Event | None = None
        """What is waited for; None where nobody has waited yet."""
        self._into: Turn | None = None
        self.is_followed = False
        """Another turn was merged into it."""
        self.held = held
        """Its records, as long as somebody holds it; None for one that is only remembered."""
        self._reserved: Cursor | None = None
        self.sent: tuple[UserMessage, Reply] | None = None
        """Its prompt, and the word on its acceptance, until it has its outcome; None where its caller chose its id."""

    def __repr__(self) -> str:
        shown = self._outcome.kind if self._outcome else self.state
        return f"<Turn {self._id!r}: {shown}>"

    @property
    def id(self) -> str:
        """The caller's id, or one that was made for it; unique in its session."""
        return self._id

    @property
    def home(self) -> Home:
        """Its session, as one that is waited for."""
        return self._home

    @property
    def meta(self) -> dict[str, str]:
        """What the caller gave along."""
        return dict(self._meta)

    @property
    def begin(self) -> int:
        """The `seq` after which its records come."""
        return self._begin

    @property
    def accepted_at(self) -> float:
        """When it was accepted, on trio's clock."""
        return self._accepted_at

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None until then."""
        return self._outcome

    @property
    def state(self) -> Literal["waiting", "running", "ended"]:
        """Where it is."""
        if self._outcome is not None:
            return "ended"
        return "running" if self._position(self._id) is None else "waiting"

    @property
    def position(self) -> int | None:
        """How many turns stand before it; None once it runs."""
        return None if self._outcome is not None else self._position(self._id)

    async def wait(self) -> Outcome:
        """Wait for the outcome. Never raises for one: look at its `kind`, or call its `unwrap()`.

        Raises:
            WouldDeadlock: this is called by a tool or a callback for which the turn has to wait.
        """
        return await self._wait("turn")

    async def _wait(self, what: WaitFor) -> Outcome:
        if self._outcome is None:
            refuse_elsewhere(self._home.loop)
            if self._ended is None:
                self._ended = trio.Event()
            with waiting_for(self._home, current_home(), what):
                await self._ended.wait()
        else:
            await trio.lowlevel.checkpoint()
        if self._outcome is None:
            raise AssertionError("a turn ended without an outcome")
        return self._outcome

    async def cancel(self) -> Outcome:
        """Cancel it if it waits, interrupt it if it runs; return its outcome, whatever that became."""
        self.withdraw()
        return await self._wait("end")

    def withdraw(self) -> None:
        """Ask for the same, and do not wait."""
        if self._outcome is None:
            refuse_elsewhere(self._home.loop)
            self._withdraw(self._id)

    def settle(self, outcome: Outcome) -> None:
        """The session's side: this is the outcome."""
        if self._outcome is None:
            self._outcome = outcome
            self.sent = None
            if self._ended is not None:
                self._ended.set()

    def follow(self, turn: "Turn") -> None:
        """The session's side: it is merged into this one."""
        self._into = turn
        turn.is_followed = True

    def let_go(self, turn: "Turn", twin: "Turn") -> None:
        """The session's side: this one, which it may be merged into, is over; its twin keeps no messages."""
        if self._into is turn:
            self._into = twin

    async def wait_answer(self) -> Outcome:
        """Wait for the outcome that answers the prompt: of the turn that it went into, where it was merged."""
        outcome, turn = await self.wait(), self
        while outcome.kind == "merged" and turn._into is not None:
            turn = turn._into
            outcome = await turn.wait()
        return outcome

    def without_messages(self) -> "Turn":
        """The same turn, ended, for who only remembers it: its messages are kept no longer than others hold it."""
        # Without its ways to the session too: they lead to the handle that it was sent with, one for each message perhaps.
        twin = Turn(self._id, self._meta, self._log, None, home=self._home, withdraw=_ended, position=_ended)
        twin._begin, twin._known_from = self._begin, self._known_from
        twin._into, twin._accepted_at = self._into, self._accepted_at
        if self._outcome is not None:
            twin.settle(self._outcome)
        return twin

    def __aiter__(self) -> AsyncIterator[Message]:
        refuse_elsewhere(self._home.loop)
        return self.read_by(current_home())

    def read_by(self, asker: Home | None) -> AsyncIterator[Message]:
        """As iterating it, by a callback of this session; None: by none, or its reader has that told elsewhere."""
        cursor, self._reserved = self._reserved, None
        return _TurnMessages(self._log, cursor or self._open(), self, asker)

    def recorded(self) -> Iterator[Batch]:
        """What is kept of it now, decoded when it is asked for; a `Gap` stands for what is gone."""
        return self._log.recorded(self._known_from, self._id, self.held)

    def is_where(self, reader: Cursor) -> bool:
        """Is it in the log of this reader? Where the session was deleted elsewhere, another one began."""
        return reader.is_of(self._log)

    def reserve(self) -> None:
        """Begin to read for the first iteration, so that it misses no partial, however early one comes."""
        self._reserved = self._open()

    def release(self) -> None:
        """Nobody will iterate for the first time any more."""
        if self._reserved is not None:
            self._log.close(self._reserved)
            self._reserved = None

    def _open(self) -> Cursor:
        return self._log.open(self._known_from, turn_id=self._id, held=self.held)


def _ended(turn_id: str) -> None:
    """What has its outcome cannot be withdrawn, and stands in no line."""


@final
class _TurnMessages:
    """Reads one turn from a log. A class and not an async generator, so that it may be dropped half-way anywhere."""

    __slots__ = ("_asker", "_cursor", "_log", "_ready", "_turn")

    def __init__(self, log: Log, cursor: Cursor, turn: Turn, asker: Home | None) -> None:
        self._log = log
        self._cursor: Cursor | None = cursor
        self._turn = turn
        self._asker = asker
        self._ready: Iterator[Message] = iter(())

    def __aiter__(self) -> "_TurnMessages":
        return self

    async def __anext__(self) -> Message:
        while True:
            for message in self._ready:  # goes on where it was
                return message
            cursor = self._cursor
            if cursor is None:
                raise StopAsyncIteration
            if self._asker is None and cursor.must_wait and self._turn.outcome is None:  # as for every token
                await cursor.wait_news()
                self._take(cursor.take_all())
            else:
                await self._read(cursor)

    async def _read(self, cursor: Cursor) -> None:
        was_over = self._turn.outcome is not None
        if was_over and cursor.is_drained:  # its messages are not kept here any more
            self._close()
            return
        if self._asker is None or not cursor.is_drained:
            batches = await cursor.receive()
        else:
            with waiting_for(self._turn.home, self._asker):
                batches = await cursor.receive()
        self._take(batches)
        if was_over and cursor.is_drained:  # its end is older than what the log keeps
            self._close()

    def _take(self, batches: list[Batch]) -> None:
        shown = [self._shown(batch.messages) for batch in batches]
        self._ready = iter(shown[0]) if len(shown) == 1 else chain.from_iterable(shown)

    def _shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        if messages and type(messages[-1]) is TurnEnded:  # nothing of a turn follows its end
            messages = messages[:-1]
            self._close()
        if _OURS.isdisjoint(map(type, messages)):
            return messages
        return [message for message in messages if type(message) not in _OURS]

    def _close(self) -> None:
        if self._cursor is not None:
            self._log.close(self._cursor)
            self._cursor = None

    def __del__(self) -> None:
        self._close()
