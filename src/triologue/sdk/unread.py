"""The turns of a client whose replies nobody has read to their end, and the reading of one of them."""

from collections import deque
from typing import final

import trio

from triologue.actors import Batch, Cursor, Turn, current_home, waiting_for
from triologue.manager import Session
from triologue.messages import Message, Prompt, ResultMessage
from triologue.sdk.feed import Feed, Sending
from triologue.sdk.heard import Background, Heard, cause_of

# Replies that nobody reads are kept so far. Then older ones are dropped, or what is fed waits, if somebody reads at all.
MAX_UNREAD = 100


@final
class UnreadTurn:
    """A turn whose reply nobody has read to its end."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        # From now on, so that partials are kept; by nobody yet, for a tool may send what the program reads.
        self.messages = turn.read_by(None)
        self.is_begun = False

    @property
    def is_stale(self) -> bool:
        """Has its reader left it, or was it interrupted?"""
        outcome = self.turn.outcome
        return self.is_begun or (outcome is not None and outcome.kind == "interrupted")


@final
class UnreadTurns:
    """What is still to be read, in order; and what feeds prompts in, if anything does."""

    def __init__(self) -> None:
        self._turns: deque[UnreadTurn] = deque()
        self._news = trio.lowlevel.ParkingLot()
        self._sending = Sending()
        self.background = Background()
        self.feed: Feed | None = None
        self.is_read = False
        """Did anybody begin to?"""
        self.goes_on = False
        """Does who reads everything go on where the last one left? Not where a reply was read alone since."""
        self.readers = 0
        """How many read everything, and have not left."""
        self.is_over = False
        """Is the client that had them disconnected?"""

    @property
    def oldest(self) -> UnreadTurn | None:
        """The one to read next."""
        return self._turns[0] if self._turns else None

    def begin_at(self, last: int) -> int:
        """The `seq` behind which all of them are, in a log that has got to `last`, for who is to read everything.

        What the agent has said of its own accord since everything was read comes too.
        """
        begins = [last, *(each.turn.begin for each in self._turns)]
        if (after := self._sending.after) is not None:
            begins.append(after)
        if self.goes_on:
            begins.append(self.background.told)
        begin = min(begins)  # the oldest may be in a log that was longer than the one that is now
        self.background.told, self.goes_on = max(self.background.told, begin), True
        return begin

    def may_be_new(self, batch: Batch) -> bool:
        """Is it of a turn whose prompt is on its way? An agent that answers at once is heard before that is accepted."""
        after = self._sending.after
        is_new = batch.turn_id is not None and after is not None and batch.first > after
        return is_new and not self._sending.was_told(batch.turn_id or "")

    async def send(self, session: Session, prompt: Prompt) -> Turn:
        """Send one that is to be read, unless it was read to its end before it is known to be accepted."""
        after, told = session.statistics().records, self.background.told
        try:
            turn, was_told = await self._sending.by(session.send_to_read, prompt, after)
            if turn.begin < told and after < told:
                # The log begins anew where it was deleted elsewhere; else it was shorter as it was not read yet from the store.
                self.background.told = min(self.background.told, after)
            if was_told:
                turn.release()
            else:
                self._add(turn)
        finally:
            self._news.unpark_all()  # it may be none to read
        return turn

    def _add(self, turn: Turn) -> None:
        self._turns.append(UnreadTurn(turn))
        if len(self._turns) > MAX_UNREAD and self._turns[0].turn.outcome is not None:
            self._turns.popleft()

    def remove(self, turn_id: str) -> None:
        """It was read to its end."""
        self._sending.note_told(turn_id)
        self._turns = deque(each for each in self._turns if each.turn.id != turn_id)
        self._news.unpark_all()

    async def wait_room(self) -> None:
        """Wait until who reads slowly has caught up; where nobody reads there is nobody to wait for."""
        while self.is_read and len(self._turns) + len(self._sending) >= MAX_UNREAD:
            await self._news.park()

    def turns(self) -> list[Turn]:
        """Those that are still to be read, oldest first."""
        return [each.turn for each in self._turns]

    def drop_stale(self) -> None:
        """Forget those that their readers left, or that were interrupted."""
        self._turns = deque(each for each in self._turns if not each.is_stale)

    def end(self) -> None:
        """Nothing more is to be read."""
        self.is_over = True

    def clear(self) -> None:
        """Forget all of them."""
        self._turns.clear()
        self._news.unpark_all()

    async def run(self, feed: Feed) -> None:
        """Let it send its prompts; never raises."""
        try:
            await feed.run()
        finally:
            self._news.unpark_all()

    async def next(self) -> UnreadTurn | None:
        """The one to read next; None: there is none, and none is on its way.

        Raises:
            Exception: why no more prompts come, told once.
        """
        while not self._turns and self.feed is not None and not self.feed.is_over:
            await self._news.park()
        self.raise_failure()
        return self.oldest

    def raise_failure(self) -> None:
        """Raise why no more prompts come, if they ended by an error and all replies are read; once."""
        if not self._turns and self.feed is not None and self.feed.error is not None:
            error, self.feed.error = self.feed.error, None
            raise error


@final
class Response:
    """One turn's messages; the turn stays unread until its end was reached."""

    def __init__(self, unread: UnreadTurns) -> None:
        self._unread = unread
        self._current = unread.oldest
        self._is_over = False
        self._asker = current_home()

    def __aiter__(self) -> "Response":
        return self

    async def __anext__(self) -> Message:
        self._unread.is_read = True
        if self._current is None and not self._is_over:
            self._current = await self._unread.next()
        current = self._current
        if current is None:
            self._is_over = True
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        current.is_begun = True
        try:
            if self._asker is None or current.turn.outcome is not None:
                message = await anext(current.messages)
            else:
                with waiting_for(current.turn.home, self._asker):
                    message = await anext(current.messages)
        except StopAsyncIteration:
            message = self._conclude(current)
        if isinstance(message, ResultMessage):
            self._finish(current)
        return message

    def _conclude(self, current: UnreadTurn) -> ResultMessage:
        """The messages ended without a result: there was none, or they are older than what is kept."""
        outcome = current.turn.outcome
        if outcome is not None and outcome.result is not None:
            return outcome.result
        self._finish(current)
        if outcome is not None and outcome.error is not None:
            failure = cause_of(outcome.error)
            raise failure.with_traceback(None) from failure.__cause__  # not from the end of the messages
        raise StopAsyncIteration

    def _finish(self, current: UnreadTurn) -> None:
        self._current, self._is_over = None, True
        self._unread.remove(current.turn.id)
        if not self._unread.readers:
            self._unread.goes_on = False


@final
class Everything:
    """All that a session says, turn after turn, as long as its client is connected.

    Args:
        client: lives as long as this, since who forgot it would have it disconnected.
        unread: its turns.
        reader: hears all that is said.
        left_behind: see `Heard`.
    """

    def __init__(self, client: object, unread: UnreadTurns, reader: Cursor, left_behind: frozenset[str]) -> None:
        self._client = client
        self._unread = unread
        self._reader = reader
        unread.readers += 1
        self._heard = Heard(reader, left_behind, unread.turns, unread.remove, unread.background, unread.may_be_new)

    def __aiter__(self) -> "Everything":
        return self

    async def __anext__(self) -> Message:
        self._unread.is_read = True
        while (message := self._heard.next()) is None:
            if self._unread.is_over:
                raise StopAsyncIteration
            self._unread.raise_failure()
            await self._hear()
        return message

    async def heard(self) -> list[Message]:
        """What was said until now, and is not read yet."""
        heard: list[Message] = []
        while True:
            if (message := self._heard.next()) is not None:
                heard.append(message)
            elif self._reader.is_drained:
                return heard
            else:
                await self._hear()

    async def _hear(self) -> None:
        try:
            await self._heard.hear()
        except trio.EndOfChannel:  # `trio.run` is ending, or the conversation was deleted
            raise StopAsyncIteration from None

    def __del__(self) -> None:
        self._unread.readers -= 1
        self._reader.close()
