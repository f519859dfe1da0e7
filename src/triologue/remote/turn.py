"""A turn at a gateway, as its caller holds it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal, final

import msgspec
import trio

from triologue.actors import Cursor, Log
from triologue.messages import Event, Gap, Message, Outcome, TurnEnded, TurnStarted, is_of_agent
from triologue.protocol.told import Accepted, TurnTold
from triologue.remote.runs import next_for
from triologue.wire import decode_record


@final
class RemoteTurn:
    """One accepted prompt, the messages it caused and its outcome. Made by a `RemoteSession`; any task may use it.

    It is iterated as a `Turn` is. A lost connection is no end of it; a `Gap` stands for messages that are gone.

    Args:
        id: of the turn.
        meta: what the caller gave along.
        log: for its messages alone, which ends where they begin.
        withdraw: asks the gateway to cancel the turn with this id.
    """

    __slots__ = (
        "_begin",
        "_failure",
        "_held",
        "_id",
        "_log",
        "_meta",
        "_outcome",
        "_over",
        "_position",
        "_withdraw",
        "holders",
        "is_accepted",
        "is_complete",
    )

    def __init__(self, id: str, meta: dict[str, str], log: Log, withdraw: Callable[[str], None]) -> None:
        self._id = id
        self._meta = meta
        self._withdraw = withdraw
        self._position: int | None = 0
        self._outcome: Outcome | None = None
        self._failure: Exception | None = None
        self._over = trio.Event()
        self.is_accepted = False
        """The gateway has it."""
        self.is_complete = False
        """Nothing of it follows."""
        self.holders = 0
        """Calls that wait for it to be accepted, or have it."""
        self.begin_at(log)

    def __repr__(self) -> str:
        shown = self._outcome.kind if self._outcome else self.state
        return f"<RemoteTurn {self._id!r}: {shown}>"

    @property
    def id(self) -> str:
        """See `Turn.id`."""
        return self._id

    @property
    def meta(self) -> dict[str, str]:
        """See `Turn.meta`."""
        return dict(self._meta)

    @property
    def outcome(self) -> Outcome | None:
        """See `Turn.outcome`."""
        return self._outcome

    @property
    def state(self) -> Literal["waiting", "running", "ended"]:
        """Where it is, as far as the gateway has told."""
        if self._outcome is not None:
            return "ended"
        return "running" if self._position is None else "waiting"

    @property
    def position(self) -> int | None:
        """How many turns stand before it; None once it runs.

        What the gateway told when it accepted the turn, less those that have begun since.
        """
        return None if self._outcome is not None else self._position

    async def wait(self) -> Outcome:
        """Wait for the outcome. Never raises for one: look at its `kind`, or call its `unwrap()`.

        Raises:
            GatewayError, ManagerClosed: the outcome will not be told here any more. The turn goes on over there.
            Forbidden: nor ever, as the token may not `watch`; `RemoteSession.find` asks for it.
        """
        await self._over.wait()
        if self._outcome is None:
            failure = self._failure or AssertionError("a turn is over without an outcome")
            raise failure.with_traceback(None)
        return self._outcome

    async def cancel(self) -> Outcome:
        """Cancel it if it waits, interrupt it if it runs. See `Turn.cancel`.

        Raises:
            TriologueError: the outcome will not be told here, as for `wait`. It is cancelled nevertheless, if the gateway
                can be reached.
        """
        self.withdraw()
        return await self.wait()

    def withdraw(self) -> None:
        """Ask for the same, and do not wait. Of a turn that nothing is told of, too: it may still run."""
        if self._outcome is None:
            self._withdraw(self._id)

    def __aiter__(self) -> AsyncIterator[Message]:
        return _Messages(self._log.open(self._begin, turn_id=self._id, held=self._held), self)

    # The attachment's side.

    @property
    def failure(self) -> Exception | None:
        """Why nothing more is told of it; None for one of which all is, or will be."""
        return self._failure

    @property
    def begin(self) -> int:
        """The `seq` after which its messages come."""
        return self._begin

    def begin_at(self, log: Log) -> None:
        """Its messages are told from here on."""
        self._log, self._begin, self._held = log, log.last, log.new_records()
        self.is_complete = False

    def accept(self, said: Accepted | TurnTold) -> None:
        """It is a turn."""
        self.is_accepted = True
        if self._position is not None:  # else the log has told already that it runs
            self._position = said.position

    def move_up(self) -> None:
        """Another turn of its session has begun."""
        if self._position:
            self._position -= 1

    def take(self, run: list[Event], position: int) -> None:
        """What happened in it, in order; what is known already is left out."""
        messages = next_for(self._log, run, position)
        if not messages:
            return
        self._log.publish(self._id, messages, self._held)
        for message in messages:
            if isinstance(message, TurnStarted):
                self._position = None
            elif isinstance(message, TurnEnded):
                self.end(message.outcome)
                self.complete()

    def miss(self, gap: Gap) -> None:
        """Records that may be its own are gone: who reads it is told so, once."""
        if gap.last > self._log.last:
            missing = Gap(first=max(gap.first, self._log.last + 1), last=gap.last)
            self._log.skip_to(gap.last - 1)
            self._log.publish(self._id, [missing], self._held)

    def end(self, outcome: Outcome) -> None:
        """This is the outcome; the first one counts. Messages may follow."""
        if self._outcome is None:
            self._outcome = outcome
            self._over.set()

    def complete(self) -> None:
        """It has its outcome, and no message follows."""
        self.is_complete = True
        self._log.wake()

    def fail(self, error: Exception) -> None:
        """Nothing more will be told of it here; an outcome that was told stays, also where messages are missing."""
        if not self.is_complete:
            self._failure = error
            self._over.set()
            self._log.wake()


def outcome_of(said: TurnTold) -> Outcome | None:
    """How a turn ended, in the gateway's words; None: it has not."""
    ended = decode_record("#turn_ended", bytes(said.ended)) if isinstance(said.ended, msgspec.Raw) else None
    return ended.outcome if isinstance(ended, TurnEnded) else None


@final
class _Messages:
    """Reads one turn. A class and not an async generator, so that it may be dropped half-way anywhere."""

    __slots__ = ("_cursor", "_ready", "_turn")

    def __init__(self, cursor: Cursor, turn: RemoteTurn) -> None:
        self._cursor: Cursor | None = cursor
        self._turn = turn
        self._ready: Iterator[Message] = iter(())

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Message:
        while True:
            for message in self._ready:  # goes on where it was
                return message
            if self._cursor is None:
                raise StopAsyncIteration
            await self._read(self._cursor)

    async def _read(self, cursor: Cursor) -> None:
        if cursor.is_drained and (self._turn.is_complete or self._turn.failure is not None):
            self._close()
            if self._turn.failure is not None:
                raise self._turn.failure.with_traceback(None)
            return
        batches = await cursor.receive()
        messages = [message for batch in batches for message in batch.messages]
        self._ready = iter([each for each in messages if is_of_agent(each) or isinstance(each, Gap)])
        if any(isinstance(message, TurnEnded) for message in messages):
            self._close()

    def _close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def __del__(self) -> None:
        self._close()
