"""Group commit: whoever finds nobody writing writes for all who wait, in one hop to a thread and one transaction."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar, final

import trio

from triologue.errors import StoreError

W = TypeVar("W")

MAX_WAITING: Final = 10_000
"""Writes that wait for the one before them; one more waits until there is room, and then takes its place."""
MAX_TOGETHER: Final = 1_000
"""Writes in one transaction: what comes later has to wait for it."""


@final
class Request(Generic[W]):
    """One write, and what became of it."""

    __slots__ = ("error", "leads", "task", "value", "work")

    def __init__(self, work: W, task: trio.lowlevel.Task | None = None) -> None:
        self.work: Final = work
        self.value: Any = None
        self.error: BaseException | None = None
        self.task = task
        """Who waits for it; None: nobody does, or does any more."""
        self.leads = False
        """Whoever waits for it is woken to lead, and not because it is written."""

    def give_up(self, _: Callable[[], Any]) -> trio.lowlevel.Abort:
        """Do not wait any more."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def result(self) -> Any:
        """What it gave.

        Raises:
            StoreError: or whatever else it ended with.
        """
        error = self.error
        if error is not None:
            try:
                raise error
            finally:
                del error  # it would hold this frame, and this frame it
        return self.value


@final
class Group(Generic[W]):
    """Writes that wait, in order.

    There is no task for it: one of those who wait leads, with all that came until then, and names the next. Cancelled, it
    still does that first. A write that was given up while it waited is made all the same.

    Args:
        commit: makes the writes, in a thread, and notes the result of each. It does not raise.
    """

    def __init__(self, commit: Callable[[Sequence[Request[W]]], None]) -> None:
        self._commit: Final = commit
        self._waiting: deque[Request[W]] = deque()
        self._room = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()
        self._limiter = trio.CapacityLimiter(1)
        self._is_led = False
        self._refusal: str | None = None
        self.transactions = 0
        self.writes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def write(self, work: W) -> Any:
        """Have it written, and give what it gave.

        Raises:
            StoreError: it could not be, or this is closed.
        """
        if not self._is_led:
            await trio.lowlevel.checkpoint_if_cancelled()
        while len(self._waiting) >= MAX_WAITING and self._refusal is None:
            await self._room.park()
        if self._refusal is not None:
            raise StoreError(self._refusal)
        if self._is_led:
            request = Request(work, trio.lowlevel.current_task())
            self._waiting.append(request)
            await trio.lowlevel.wait_task_rescheduled(request.give_up)
            if not request.leads:
                return request.result()
        else:
            request = Request(work)
            self._waiting.append(request)
            self._is_led = True
        with trio.CancelScope(shield=True):
            await self._lead(request)
        return request.result()

    async def close(self, refusal: str, *, within: float) -> bool:
        """Take nothing more in, and wait until what was taken in is written; False: it was not, in that many seconds."""
        self._refusal = refusal
        self._room.unpark_all()
        with trio.move_on_after(within, shield=True):
            while self._is_led:
                await self._idle.park()
        return not self._is_led

    async def _lead(self, own: Request[W]) -> None:
        """Write what waits, until somebody else is found who can go on with what came meanwhile."""
        is_written = False
        while not is_written or not self._pass_on():
            done: list[Request[W]] = []
            try:
                await trio.to_thread.run_sync(self._take_and_commit, done, limiter=self._limiter)
            except BaseException as error:  # noqa: BLE001 - there was no thread to be had, and all who wait must know
                done += self._waiting
                self._waiting.clear()
                for request in done:
                    request.error = error
            for request in done:
                is_written |= request is own
                if request.task is not None:
                    trio.lowlevel.reschedule(request.task)
            self._room.unpark_all()

    def _take_and_commit(self, done: list[Request[W]]) -> None:
        # Taken here, in the thread: whoever came while it was about to start comes along.
        waiting = self._waiting
        while waiting and len(done) < MAX_TOGETHER:
            done.append(waiting.popleft())
        self._commit(done)
        self.transactions += 1
        self.writes += len(done)

    def _pass_on(self) -> bool:
        """Let another one lead, if there is anything to lead; False: nobody waits for what there is."""
        if not self._waiting:
            self._is_led = False
            self._idle.unpark_all()
            return True
        heir = next((request for request in self._waiting if request.task is not None), None)
        if heir is None or heir.task is None:
            return False
        task, heir.task, heir.leads = heir.task, None, True
        trio.lowlevel.reschedule(task)
        return True
