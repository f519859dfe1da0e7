"""Feeds prompts into a session, one after the other, and reads everything it says back."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias, final

import trio

from triologue.actors import Batch, Turn, current_home, waiting_for
from triologue.errors import ManagerClosed, StoreError, TriologueError, TurnError
from triologue.manager import Session
from triologue.messages import Gap, Message, Outcome, Prompt, ResultMessage, TurnEnded, is_of_agent

Prompts: TypeAlias = Prompt | AsyncIterable[Prompt]

# Streamed input that comes faster than it is answered waits here, so that it never fills the mailbox.
PROMPTS_AHEAD = 16
# Seconds that the caller's iterable may take to clean up when its query is closed.
INPUT_PATIENCE = 10.0


@final
class Feed:
    """Sends prompts until there are no more. Runs in a task of its own, so that replies can be read meanwhile."""

    def __init__(
        self,
        session: Session,
        prompts: Prompts,
        *,
        send: Callable[[Prompt], Awaitable[Turn]] | None = None,
        note: Callable[[Turn], None] | None = None,
    ) -> None:
        self._session = session
        self._prompts = prompts
        self._send = send or session.send
        self._tell = note
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self._task: trio.lowlevel.Task | None = None
        self.error: Exception | None = None
        """What the caller's iterable raised, or why a prompt was not accepted."""
        self.last: Turn | None = None
        """The turn of the last prompt that was sent."""

    async def run(self) -> None:
        """Send them all; never raises."""
        self._task = trio.lowlevel.current_task()
        try:
            with self._scope:
                await send_each(self._send, self._prompts, self._note)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever reads the replies, and is raised there
            self.error = error
        finally:
            self._over.set()
            self._session.wake_readers()

    @property
    def is_over(self) -> bool:
        """Have all prompts been sent, or will no more be?"""
        return self._over.is_set()

    def cancel(self) -> None:
        """Take no more from the caller."""
        self._scope.cancel()

    async def wait_over(self) -> None:
        """Wait until the caller's iterable has been closed, or refused to be for `INPUT_PATIENCE`."""
        if trio.lowlevel.current_task() is not self._task:  # the iterable itself may close its query
            with trio.move_on_after(INPUT_PATIENCE):
                await self._over.wait()

    def _note(self, turn: Turn) -> None:
        self.last = turn
        if self._tell is not None:
            self._tell(turn)


async def send_each(send: Callable[[Prompt], Awaitable[Turn]], prompts: Prompts, note: Callable[[Turn], None]) -> None:
    """Send one prompt, or each of an async iterable of prompts, only so many ahead of the replies.

    However it ends, an async generator is closed.

    Raises:
        MailboxFull, InvalidOption: a prompt was not accepted.
        Exception: what the iterable raised.
    """
    if not isinstance(prompts, AsyncIterable):
        note(await send(prompts))
        return
    ahead: deque[Turn] = deque()
    iterator = aiter(prompts)
    try:
        async for prompt in iterator:
            if len(ahead) >= PROMPTS_AHEAD:
                await ahead.popleft().wait()
            await trio.lowlevel.checkpoint_if_cancelled()  # one that was closed wakes no agent any more
            turn = await send(prompt)
            note(turn)
            ahead.append(turn)
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


NoteEnd: TypeAlias = Callable[[str | None, Outcome], None]
"""Is told of each turn that ended."""


@final
class Heard:
    """What a session says that is for who reads it, in order.

    Args:
        left_behind: the ids of turns that are somebody else's, of which nothing is given.
        ended_before: the turns that are over, unread, and older than this one, by their ids.
    """

    def __init__(
        self,
        left_behind: frozenset[str],
        ended_before: Callable[[str], Sequence[tuple[str, Outcome]]] = lambda turn_id: (),
    ) -> None:
        self.ready: deque[Message] = deque()
        self._left_behind = left_behind
        self._ended_before = ended_before
        self._has_gap = False
        """Since the last turn ended."""
        self._result: ResultMessage | None = None
        """The last one that was given."""

    def hear(self, batches: Sequence[Batch], note_end: NoteEnd) -> None:
        """Take what came."""
        for batch in batches:
            if batch.turn_id not in self._left_behind:
                for message in batch.messages:
                    if type(message) is TurnEnded:
                        self._catch_up(batch.turn_id, note_end)
                        self._give_missed(message.outcome)
                        self._has_gap = False
                        note_end(batch.turn_id, message.outcome)
                    elif is_of_agent(message) or type(message) is Gap:
                        self._catch_up(batch.turn_id, note_end)
                        self._take(message)

    def _catch_up(self, turn_id: str | None, note_end: NoteEnd) -> None:
        """Something of a turn came behind a gap: the ends of those before it were in that."""
        if self._has_gap and turn_id is not None:
            for older, outcome in self._ended_before(turn_id):
                self._give_missed(outcome)
                note_end(older, outcome)

    def _take(self, message: Message) -> None:
        self.ready.append(message)
        if type(message) is Gap:
            self._has_gap = True
        elif isinstance(message, ResultMessage):
            self._result = message

    def _give_missed(self, outcome: Outcome) -> None:
        # A slow reader misses a long result, and would wait for it for ever.
        result = outcome.result
        if self._has_gap and result is not None and not _is_same(self._result, result):
            self._take(result)


def _is_same(came: ResultMessage | None, result: ResultMessage) -> bool:
    """What came may be a copy, read from its line."""
    return came is result or (came is not None and came.uuid is not None and came.uuid == result.uuid)


@final
class Replies:
    """Everything that a session says, in order, until the last prompt of a feed has its result.

    Args:
        session: says it.
        feed: sends the prompts.
        left_behind: the ids of turns that are somebody else's, of which nothing is given.
    """

    def __init__(self, session: Session, feed: Feed, left_behind: frozenset[str]) -> None:
        self._feed = feed
        self._heard = Heard(left_behind)
        self._ready = self._heard.ready
        self._reader = session.open_reader()
        self._last_ended: str | None = None
        self._failure: Exception | None = None
        self._is_ended = False
        self._has_given_all = False

    @property
    def is_over(self) -> bool:
        """Has the last result been given? Whoever stops then abandons nothing."""
        return self._is_ended or self._has_given_all

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        if self._has_given_all:  # what may still come behind the last result tells nothing
            self._is_ended = True
        while not self._ready or self._is_ended:
            last = self._feed.last
            if last is not None and self._reader.is_drained and (outcome := untold(last)) is not None:
                self._note_end(last.id, outcome)
            self._raise_or_stop()
            await self._read()
        message = self._ready.popleft()
        self._has_given_all = self._is_last_result(message)
        return message

    def end(self) -> None:
        """Give nothing more."""
        self._is_ended = True
        self._reader.wake()

    async def _read(self) -> None:
        turn = self._feed.last
        try:
            if turn is None or turn.outcome is not None or not self._reader.must_wait:
                batches = await self._reader.receive()
            else:
                with waiting_for(turn.home, current_home()):  # a tool of its own would wait for itself
                    batches = await self._reader.receive()
        except trio.EndOfChannel:  # `trio.run` is ending, or the conversation was refused by the store
            self._is_ended = True
            await self._feed.wait_over()
            if self._feed.error is not None and not isinstance(self._feed.error, ManagerClosed):
                raise self._feed.error from None
            return
        self._heard.hear(batches, self._note_end)

    def _note_end(self, turn_id: str | None, outcome: Outcome) -> None:
        self._last_ended = turn_id  # turns that have a result end in their order
        if outcome.result is None and outcome.error is not None and self._failure is None:
            self._failure = outcome.error

    def _is_complete(self) -> bool:
        last = self._feed.last
        return self._feed.is_over and (last is None or last.id == self._last_ended)

    def _is_last_result(self, message: Message) -> bool:
        if self._feed.last is None or not self._feed.is_over or self._feed.error is not None:
            return False
        outcome = self._feed.last.outcome
        return outcome is not None and outcome.result is message

    def _raise_or_stop(self) -> None:
        if self._is_ended:
            raise StopAsyncIteration
        if self._failure is not None:
            self._is_ended = True
            raise cause_of(self._failure).with_traceback(None)
        if self._is_complete():
            self._is_ended = True
            if self._feed.error is not None:
                raise self._feed.error
            raise StopAsyncIteration


def untold(turn: Turn) -> Outcome | None:
    """Its outcome, where no log tells of it: it could not be kept."""
    outcome = turn.outcome
    if outcome is None or outcome.error is None or not isinstance(cause_of(outcome.error), StoreError):
        return None
    return outcome


def cause_of(error: Exception) -> Exception:
    """The agent's own error behind a failed turn: what a caller of one query wants to catch."""
    while isinstance(error, TurnError) and isinstance(error.__cause__, TriologueError):
        error = error.__cause__
    return error
