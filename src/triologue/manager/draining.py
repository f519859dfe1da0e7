"""The end of a manager: nothing new is taken in, turns that run end, agents go; asked for by leaving, or by a signal."""

import logging
import math
import signal
import threading
from collections.abc import Callable, Collection
from typing import final

import trio

from triologue.actors import Conversation, Turn, log_extra, log_safely
from triologue.errors import InvalidOption, ManagerClosed, TriologueError, brief
from triologue.manager.directory import Directory
from triologue.session import inputs as on

logger = logging.getLogger("triologue.manager")


@final
class Draining:
    """One drain, whoever asks for it, and however often. `run` must be running.

    Args:
        directory: what is drained.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._registry = directory.registry
        self._deadlines = directory.world.deadlines
        self._patience = self._deadlines.drain
        self._asked, self._done = trio.Event(), trio.Event()
        self._waits: set[trio.CancelScope] = set()
        """One for each turn that may go on for a while."""
        self.body = trio.CancelScope()
        """Of the manager's block, which ends when a drain that was asked for is over."""

    @property
    def is_asked(self) -> bool:
        """Has it begun?"""
        return self._asked.is_set()

    def ask(self) -> None:
        """Begin; the second time wait no longer for what runs. Never waits."""
        if self.is_asked:
            self._patience = 0.0
            for wait in self._waits:
                wait.cancel()
        self._directory.is_draining = True
        self._directory.drains_until = trio.current_time() + self._patience
        self._directory.world.oversight.drains()
        self._asked.set()

    async def run(self) -> None:
        """Drain when asked, then end the manager's block."""
        try:
            await self._asked.wait()
            await self._drain()
            self.body.cancel()
        finally:
            self._done.set()

    async def finish(self, patience: float) -> None:
        """The block is being left: drain, or wait until that is done; cannot be cancelled.

        Args:
            patience: seconds for what runs, where no drain was asked for before.

        Raises:
            KeyboardInterrupt: Ctrl-C came. What still runs was interrupted then; the second one does not wait for that.
        """
        if not self.is_asked:
            self._patience = patience
            self.ask()
        elif trio.current_effective_deadline() == -math.inf:  # cancelled, by somebody who does not want to wait
            self.ask()
        with trio.CancelScope(shield=True):
            try:
                await self._done.wait()
            except KeyboardInterrupt:
                if self._patience:
                    self.ask()
                    await self._done.wait()
                raise

    async def _drain(self) -> None:
        awake = [conversation for conversation in self._registry if self._registry.awake(conversation.key)]
        with trio.move_on_after(self._patience + self._deadlines.interrupt + 2 * self._deadlines.close):
            async with trio.open_nursery() as nursery:
                for conversation in awake:
                    nursery.start_soon(self._let_go, conversation)
        self._registry.is_closed = True

    async def _let_go(self, conversation: Conversation) -> None:
        closed = ManagerClosed("the manager was drained before this turn began")
        if self._registry.awake(conversation.key) is None:
            return
        try:
            await self._registry.post(conversation, on.Hold()).wait()  # behind the prompts that are on their way in
            turn = self._running_turn(conversation)
            if turn is not None:
                await self._wait(turn)
            if self._registry.awake(conversation.key) is not None:
                await self._registry.request(conversation, lambda ticket: on.Leave(ticket, error=closed)).wait()
            await self._registry.wait_asleep(conversation.key)  # until the store has its last words
        except TriologueError as error:  # it broke, which harms only itself
            told = log_extra(conversation.key)
            text = "the session %r broke while it was closed: %s"
            log_safely(logger, logging.WARNING, text, conversation.key, error, extra=told)

    async def _wait(self, turn: Turn) -> None:
        with trio.move_on_after(self._patience) as wait:
            self._waits.add(wait)
            await turn.wait()
        self._waits.discard(wait)

    def _running_turn(self, conversation: Conversation) -> Turn | None:
        actor = self._registry.awake(conversation.key)
        if actor is None or actor.session.run is None:
            return None
        # Who waits for room would only take what the others leave.
        is_in_line = actor.holding is not None and actor.holding.waits_for not in (None, "history")
        return conversation.turns.get(actor.session.run.turn_id) if not is_in_line else None


def but_closed(error: BaseException) -> BaseException | None:
    """What of an error is not the `ManagerClosed` that everybody hears once a drain has begun."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ManagerClosed)[1]
    return None if isinstance(error, ManagerClosed) else error


def check_signals(signals: Collection[int]) -> None:
    """Refuse what cannot be listened to.

    Raises:
        InvalidOption: it is no collection of signals, or this is no main thread.
    """
    possible = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    if not isinstance(signals, Collection) or not possible.issuperset(signals):
        raise InvalidOption(f"drain_on={brief(signals)}: give a tuple of signals, as in (signal.SIGTERM,)")
    if signals and threading.current_thread() is not threading.main_thread():
        raise InvalidOption("drain_on: only the main thread hears of signals; open the manager there, or leave it out")


async def listen(signals: Collection[int], act: Callable[[], None], task_status: trio.TaskStatus[None]) -> None:
    """Call `act` for each of these signals until cancelled."""
    with trio.open_signal_receiver(*map(signal.Signals, signals)) as received:
        task_status.started()
        what = "the manager begins to drain"
        async for number in received:
            log_safely(logger, logging.INFO, "%s: %s", signal.Signals(number).name, what)
            act()
            what = "what still runs is interrupted"
