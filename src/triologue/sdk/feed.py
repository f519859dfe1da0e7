"""Feeds prompts into a session, one after the other, until all have their replies."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeAlias, final

import trio

from triologue.actors import Turn, current_home, waiting_for
from triologue.errors import ManagerClosed
from triologue.manager import Session
from triologue.messages import Message, Prompt
from triologue.sdk.heard import Background, Heard

Prompts: TypeAlias = Prompt | AsyncIterable[Prompt]

# Streamed input that comes faster than it is answered waits here, so that it never fills the mailbox; that of a query
# until its replies are read, because what ended is kept for who reads slowly.
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
        send: Callable[[Prompt], Awaitable[Turn]],
    ) -> None:
        self._session = session
        self._prompts = prompts
        self._send = send
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self._task: trio.lowlevel.Task | None = None
        self.error: Exception | SystemExit | BaseExceptionGroup[BaseException] | None = None
        """What the caller's iterable raised, or why a prompt was not accepted."""

    async def run(self) -> None:
        """Send them all; never raises."""
        self._task = trio.lowlevel.current_task()
        try:
            with self._scope:
                await send_each(self._send, self._prompts)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it belongs to whoever reads the replies, and is raised there
            self.error = error
        except BaseExceptionGroup as group:
            self.error, rest = group.split((Exception, SystemExit))
            if rest is not None:  # an interrupt, or the end of `trio.run`
                raise rest from None
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


async def send_each(send: Callable[[Prompt], Awaitable[Turn]], prompts: Prompts) -> None:
    """Send one prompt, or each of an async iterable of prompts, only so many ahead of the replies.

    However it ends, an async generator is closed.

    Raises:
        MailboxFull, InvalidOption: a prompt was not accepted.
        Exception: what the iterable raised.
    """
    if not isinstance(prompts, AsyncIterable):
        await send(prompts)
        return
    ahead: deque[Turn] = deque()
    iterator = aiter(prompts)
    try:
        async for prompt in iterator:
            if len(ahead) >= PROMPTS_AHEAD:
                await ahead.popleft().wait()
            await trio.lowlevel.checkpoint_if_cancelled()  # one that was closed wakes no agent any more
            ahead.append(await send(prompt))
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


@final
class OnTheWay:
    """A prompt on its way to a session."""

    def __init__(self, after: int) -> None:
        self.after = after
        """The `seq` behind which its turn is."""
        self.told: set[str] = set()
        """The ids of turns that are told to their end meanwhile."""


@final
class Sending:
    """Prompts on their way to a session.

    Where an agent answers at once, who reads may have the result before who sent hears that the prompt was accepted.
    """

    def __init__(self) -> None:
        self._on_their_way: set[OnTheWay] = set()

    def __len__(self) -> int:
        return len(self._on_their_way)

    @property
    def after(self) -> int | None:
        """The `seq` behind which the turns of all of them are; None: there are none."""
        return min((each.after for each in self._on_their_way), default=None)

    async def by(self, send: Callable[[Prompt], Awaitable[Turn]], prompt: Prompt, after: int = 0) -> tuple[Turn, bool]:
        """Send one, when the log has got to `after`. Gives its turn, and was that told to its end already?"""
        this = OnTheWay(after)
        self._on_their_way.add(this)
        try:
            turn = await send(prompt)
        finally:
            self._on_their_way.remove(this)
        return turn, turn.id in this.told

    def note_told(self, turn_id: str) -> None:
        """This turn was told to its end."""
        for each in self._on_their_way:
            each.told.add(turn_id)

    def was_told(self, turn_id: str) -> bool:
        """Was it, while one of them was on its way?"""
        return any(turn_id in each.told for each in self._on_their_way)


@final
class Replies:
    """Everything that a session says, in order, until the last of some prompts has its result.

    Args:
        session: says it.
        prompts: are sent to it by `feed`, which is to be run.
        begin: the `seq` up to which its log is nothing of this.
        left_behind: the ids of turns that are somebody else's, of which nothing is given.
    """

    def __init__(self, session: Session, prompts: Prompts, begin: int, left_behind: frozenset[str]) -> None:
        self._session = session
        self._sending = Sending()
        self._untold: list[Turn] = []
        self._room = trio.lowlevel.ParkingLot()
        self.feed = Feed(session, prompts, send=self._send)
        self._reader = session.open_reader()
        self._heard = Heard(self._reader, left_behind, lambda: self._untold, self._note_told, Background(begin))
        self._is_ended = False

    @property
    def is_over(self) -> bool:
        """Has the last result been given? Whoever stops then abandons nothing."""
        return self._is_ended or self._has_told_all

    @property
    def _has_told_all(self) -> bool:
        return self.feed.is_over and not self._untold

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._is_ended:
            if self._has_told_all:  # what may still come behind the last result tells nothing
                self._is_ended = True
                if self.feed.error is not None:
                    raise self.feed.error
                break
            try:
                message = self._heard.next()
            except Exception:
                self._is_ended = True
                raise
            if message is not None:
                return message
            if not self._has_told_all:
                await self._hear()
        raise StopAsyncIteration

    def end(self) -> None:
        """Give nothing more."""
        self._is_ended = True
        self._reader.wake()

    async def _send(self, prompt: Prompt) -> Turn:
        while len(self._untold) >= PROMPTS_AHEAD:
            await self._room.park()
        turn, was_told = await self._sending.by(self._session.send, prompt)
        if not was_told:
            self._untold.append(turn)
        return turn

    def _note_told(self, turn_id: str) -> None:
        self._sending.note_told(turn_id)
        self._untold = [turn for turn in self._untold if turn.id != turn_id]
        self._room.unpark_all()

    async def _hear(self) -> None:
        turn = self._untold[-1] if self._untold else None
        try:
            if turn is None or turn.outcome is not None or not self._reader.must_wait:
                await self._heard.hear()
            else:
                with waiting_for(turn.home, current_home()):  # a tool of its own would wait for itself
                    await self._heard.hear()
        except trio.EndOfChannel:  # `trio.run` is ending, or the conversation was refused by the store
            self._is_ended = True
            await self.feed.wait_over()
            if self.feed.error is not None and not isinstance(self.feed.error, ManagerClosed):
                raise self.feed.error from None
