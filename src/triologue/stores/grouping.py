"""Group commit: all writes that wait are made in one transaction, by one thread at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final

import trio

from triologue import loops
from triologue.errors import StoreError

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")
W = TypeVar("W")

MAX_WAITING: Final = 10_000
"""Writes that wait for the one before them; one more waits until there is room, and then takes its place."""
MAX_TOGETHER: Final = 1_000
"""Writes in one transaction: what comes later has to wait for it."""

_writing: Final = trio.lowlevel.RunVar[int]("threads that write", 0)


def writing_threads() -> int:
    """How many threads of this `trio.run` write now; trio counts only those that a task waits for.

    One whose end the loop has not seen yet is among them.
    """
    return _writing.get()


@final
class Request(Generic[W]):
    """One write, and what became of it."""

    __slots__ = ("error", "task", "value", "work")

    def __init__(self, work: W, task: trio.lowlevel.Task) -> None:
        self.work: Final = work
        self.value: Any = None
        self.error: BaseException | None = None
        self.task: trio.lowlevel.Task | None = task
        """Who waits for it; None: nobody does any more."""

    def give_up(self, _: Callable[[], Any]) -> trio.lowlevel.Abort:
        """Do not wait any more."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Let who waits for it have what it gave."""
        if self.task is not None:
            # It is unwrapped like an outcome, and making one for each would be a twentieth of what an append costs.
            trio.lowlevel.reschedule(self.task, cast("Outcome[Any]", self))

    def unwrap(self) -> Any:
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

    While there are any, one thread at a time takes all of them. Whoever is cancelled stops waiting at once, and the write
    is made all the same: `close` waits for that.

    Args:
        commit: makes the writes, in the thread, and notes the result of each.
    """

    def __init__(self, commit: Callable[[Sequence[Request[W]]], None]) -> None:
        self._commit: Final = commit
        self._waiting: deque[Request[W]] = deque()
        self._room = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()
        self._is_writing = False
        """There is a thread, or its end was not seen yet."""
        self._refusal: str | None = None
        self.transactions = 0
        self.writes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @trio.lowlevel.enable_ki_protection  # between the start of a thread and the wait for it, nothing may come
    async def write(self, work: W) -> Any:
        """Have it written, and give what it gave.

        Raises:
            StoreError: it could not be, or this is closed.
        """
        if not self._is_writing:
            await trio.lowlevel.checkpoint_if_cancelled()
        while len(self._waiting) >= MAX_WAITING and self._refusal is None:
            await self._room.park()
        if self._refusal is not None:
            raise StoreError(self._refusal)
        request = Request(work, trio.lowlevel.current_task())
        self._waiting.append(request)
        if not self._is_writing:
            try:
                self._start()
            except Exception as error:
                self._waiting.remove(request)
                raise _no_thread("written") from error
        return await trio.lowlevel.wait_task_rescheduled(request.give_up)

    async def close(self, refusal: str, *, within: float) -> bool:
        """Take nothing more in, and wait until what was taken in is written; False: it was not, in that many seconds."""
        self._refusal = refusal
        self._room.unpark_all()
        with trio.move_on_after(within, shield=True):
            while self._is_writing:
                await self._idle.park()
        return not self._is_writing

    def _start(self) -> None:
        """Let a thread write what waits.

        Raises:
            RuntimeError: there is none to be had.
        """
        loop = trio.lowlevel.current_trio_token()

        def end(done: "Outcome[list[Request[W]]]") -> None:
            # A loop that ended before a disk that hangs has left nobody to be woken.
            with suppress(trio.RunFinishedError):
                loop.run_sync_soon(self._end, done)

        self._is_writing = True
        _writing.set(_writing.get() + 1)
        try:
            trio.lowlevel.start_thread_soon(self._write_together, end)
        except Exception:
            self._no_longer_writing()
            raise

    def _no_longer_writing(self) -> None:
        self._is_writing = False
        _writing.set(_writing.get() - 1)

    def _write_together(self) -> list[Request[W]]:
        # Taken here, in the thread: whoever came while it was about to start comes along.
        waiting, done = self._waiting, list[Request[W]]()
        while waiting and len(done) < MAX_TOGETHER:
            done.append(waiting.popleft())
        try:
            self._commit(done)
        except BaseException as error:  # noqa: BLE001 - all who wait must know
            for request in done:
                request.error = error
        self.transactions += 1
        self.writes += len(done)
        return done

    def _end(self, written: "Outcome[list[Request[W]]]") -> None:
        """Wake those who waited, in the loop, and go on with those who came meanwhile."""
        done = written.unwrap()
        self._no_longer_writing()
        if self._waiting:
            try:
                self._start()
            except Exception:  # noqa: BLE001 - there was no thread to be had, and all who wait must know
                for request in self._waiting:
                    request.error = _no_thread("written")
                done += self._waiting
                self._waiting.clear()
        if not self._is_writing:
            self._idle.unpark_all()
        for request in done:
            request.wake()
        self._room.unpark_all()


async def in_thread(done: str, work: Callable[[], T], *, limiter: trio.CapacityLimiter | None = None) -> T:
    """Let a thread do it, and give what it gave.

    Args:
        done: what nothing can be, if there is no thread: "read".
        work: runs in the thread.
        limiter: how many do so at a time.

    Raises:
        StoreError: there is none to be had.
    """
    try:
        return await loops.in_thread(work, limiter=limiter)
    except loops.NoThread as error:
        raise _no_thread(done) from error


def _no_thread(done: str) -> StoreError:
    return StoreError(f"nothing can be {done}, as no thread can be started; raise the limit of processes (ulimit -u)")
