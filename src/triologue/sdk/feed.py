"""Feeds prompts into a session, one after the other, and reads everything it says back."""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeAlias, final

import trio

from triologue.actors import Turn
from triologue.errors import TriologueError
from triologue.manager import Session
from triologue.messages import Message, Outcome, Prompt, TurnEnded, is_of_agent

Prompts: TypeAlias = Prompt | AsyncIterable[Prompt]

# Streamed input that comes faster than it is answered waits here, so that it never fills the mailbox.
PROMPTS_AHEAD = 16


@final
class Feed:
    """Sends prompts until there are no more. Runs in a task of its own, so that replies can be read meanwhile."""

    def __init__(self, session: Session, prompts: Prompts) -> None:
        self._session = session
        self._prompts = prompts
        self._scope = trio.CancelScope()
        self.error: Exception | None = None
        """What the caller's iterable raised, or why a prompt was not accepted."""
        self.is_over = False
        self.last: Turn | None = None
        """The turn of the last prompt that was sent."""

    async def run(self) -> None:
        """Send them all; never raises."""
        with self._scope:
            try:
                await self._send_all()
            except Exception as error:  # it belongs to whoever reads the replies, and is raised there
                self.error = error
        self.is_over = True
        self._session.wake_readers()

    async def _send_all(self) -> None:
        if not isinstance(self._prompts, AsyncIterable):
            self.last = await self._session.send(self._prompts)
            return
        ahead: deque[Turn] = deque()
        async for prompt in self._prompts:
            if len(ahead) >= PROMPTS_AHEAD:
                await ahead.popleft().wait()
            self.last = await self._session.send(prompt)
            ahead.append(self.last)

    def cancel(self) -> None:
        """Take no more from the caller."""
        self._scope.cancel()


@final
class Replies:
    """Everything that a session says, in order, until the last prompt of a feed has its result."""

    def __init__(self, session: Session, feed: Feed) -> None:
        self._feed = feed
        self._reader = session.open_reader()
        self._ready: deque[Message] = deque()
        self._outcomes: dict[str, Outcome] = {}
        self._failure: Exception | None = None
        self.is_over = False

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._ready:
            self._raise_or_stop()
            for batch in await self._reader.receive():
                for message in batch.messages:
                    if type(message) is TurnEnded:
                        self._note_end(batch.turn_id, message.outcome)
                    elif is_of_agent(message):
                        self._ready.append(message)
        message = self._ready.popleft()
        if not self._ready and self._is_complete() and self._failure is None and self._feed.error is None:
            self.is_over = True  # whoever breaks after the last result has left nothing undone
        return message

    def end(self) -> None:
        """Give nothing more."""
        self.is_over = True
        self._ready.clear()
        self._reader.wake()

    def _note_end(self, turn_id: str | None, outcome: Outcome) -> None:
        self._outcomes[turn_id or ""] = outcome
        if outcome.result is None and outcome.error is not None and self._failure is None:
            self._failure = outcome.error

    def _is_complete(self) -> bool:
        last = self._feed.last
        return self._feed.is_over and (last is None or last.id in self._outcomes)

    def _raise_or_stop(self) -> None:
        if self.is_over:
            raise StopAsyncIteration
        if self._failure is not None:
            self.is_over = True
            raise cause_of(self._failure)
        if self._is_complete():
            self.is_over = True
            if self._feed.error is not None:
                raise self._feed.error
            raise StopAsyncIteration


def cause_of(error: Exception) -> Exception:
    """The agent's own error behind a failed turn: what a caller of one query wants to catch."""
    cause = error.__cause__
    return cause if isinstance(cause, TriologueError) else error
