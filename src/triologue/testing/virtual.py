"""Running async code on a virtual clock, in an order that a seed decides, and never for ever."""

import math
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack, final

import trio
import trio._core._run as trio_run

from triologue.stores.grouping import writing_threads
from triologue.testing.tasks import task_tree, tasks_below, throw

if TYPE_CHECKING:
    from trio.testing import MockClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# What makes the scheduler deterministic has no public name; under hypothesis trio sets the same two.
_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_dice: random.Random = getattr(trio_run, "_r")  # noqa: B009 - a name that ends in `_r` is private to both checkers

MAX_SECONDS = 1_000_000.0
MAX_PASSES = 1_000_000


class Hung(AssertionError):
    """What ran on a virtual clock did not end; the text tells what each task waited for.

    Attributes:
        why: how long it had.
        tasks: what each task waited for, one task a line.
    """

    def __init__(self, why: str, tasks: str) -> None:
        self.why = why
        self.tasks = tasks
        super().__init__(f"{why}. What each task waited for:\n{tasks}")


class _Abandoned(BaseException):
    """What ends a task that did not heed its cancellation; it is no `Exception`, for nobody should handle it."""


def run_virtual(
    fn: Callable[[Unpack[Ts]], Awaitable[T]],
    *args: *Ts,
    seed: int = 0,
    max_seconds: float = MAX_SECONDS,
    max_passes: int = MAX_PASSES,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `await fn(*args)` as `trio.run` does, on a clock that jumps ahead whenever every task waits.

    What trio leaves open, in which order tasks run that are ready, the seed decides; so it does for the module `random`.
    The same program with the same seed takes the same course, as far as it does not depend on threads, processes, real
    time or the order of a set of objects. While a thread of `trio.to_thread` or an `SqliteStore` works, the clock stands
    still.

    Args:
        fn: an async function.
        args: its arguments.
        seed: another one is another order.
        max_seconds: virtual seconds that it may take.
        max_passes: how often the scheduler may go round; an endless loop in which no time passes ends here.
        instruments: of trio, a `CrashTask` among them.

    Raises:
        Hung: it took longer, or waits for what never comes.
    """
    from trio.testing import MockClock, active_thread_count  # here, because it imports pytest where there is one

    clock = MockClock(autojump_threshold=0)
    guard = _Guard(clock, max_seconds, max_passes, lambda: active_thread_count() + writing_threads())
    with _seeded(seed):
        return trio.run(guard.run, fn, args, clock=clock, instruments=[guard, *instruments])


@final
class _Guard(trio.abc.Instrument):
    """Ends a run that would not end by itself: it cancels it, and then throws at whoever does not heed that."""

    def __init__(
        self, clock: "MockClock", max_seconds: float, max_passes: int, active_threads: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._active_threads = active_threads
        self._max_seconds = max_seconds
        self._max_passes = self._passes_left = max_passes
        self._scope = trio.CancelScope()
        self._main: trio.lowlevel.Task | None = None
        self._hung: Hung | None = None

    async def run(self, fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        self._main = trio.lowlevel.current_task()
        trio.lowlevel.spawn_system_task(self._watch, name="the guard of the virtual clock")
        try:
            with self._scope:
                return await fn(*args)
        except BaseException:
            if self._hung is not None:
                raise self._hung from None
            raise
        assert self._hung is not None
        raise self._hung

    async def _watch(self) -> None:
        while True:
            await trio.sleep(self._max_seconds)
            self._end(f"it did not end within {self._max_seconds:g} virtual seconds")

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task waits: time stands still for as long as it does so for a thread."""
        threads = self._active_threads()
        if bool(threads) == (self._clock.autojump_threshold == 0):
            self._clock.autojump_threshold = math.inf if threads else 0

    def before_io_wait(self, timeout: float) -> None:
        """The scheduler goes round once more."""
        self._passes_left -= 1
        if self._passes_left < 0:
            self._passes_left = self._max_passes
            self._end(f"it did not end within {self._max_passes} passes of the scheduler, at {trio.current_time():g} s")

    def _end(self, why: str) -> None:
        assert self._main is not None
        if self._hung is None:
            self._hung = Hung(why, task_tree(self._main))
            self._scope.cancel()
        else:
            for task in [self._main, *tasks_below(self._main)]:
                throw(task, _Abandoned())


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Let the seed decide, for the scheduler and for `random`; afterwards all is as it was."""
    before = random.getstate(), _dice.getstate(), getattr(trio_run, _SWITCH)
    setattr(trio_run, _SWITCH, True)
    random.seed(seed)
    _dice.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        _dice.setstate(before[1])
        setattr(trio_run, _SWITCH, before[2])
