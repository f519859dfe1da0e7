"""Running the functions that callers give: async ones are awaited, others run in a worker thread, for they may block."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import trio

from triologue.exits import no_exit

_THREADS = 100
_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("triologue.hosting threads")


class CallbackError(Exception):
    """A callback gave what the agent cannot use, or there is none.

    Attributes:
        code: for the agent, where its vendor has one.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        super().__init__(message)


class Unsupported(CallbackError):
    """There is nothing here that answers this kind of request."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="unsupported_request")


async def run_callback(function: Callable[..., Any], *args: Any) -> Any:
    """Call it, and await what it gives if that can be awaited.

    Cancelling this abandons a worker thread, for nobody can stop it. At most 100 threads run at once in one
    `trio.run`; they are not those of `trio.to_thread`, so that a callback that hangs starves nothing else.
    """
    with no_exit():
        if is_async(function):
            return await function(*args)
        # In a tuple, because trio takes no coroutine out of a thread, which is what `lambda: coroutine()` gives.
        (value,) = await trio.to_thread.run_sync(
            lambda: (function(*args),), abandon_on_cancel=True, limiter=_threads(), thread_name=name_of(function)
        )
        return await value if inspect.isawaitable(value) else value


async def run_within(seconds: float | None, told: str, function: Callable[..., Any], *args: Any) -> Any:
    """As `run_callback`, for so long.

    Raises:
        TimeoutError: it took longer; with `told` as its text.
    """
    with trio.move_on_after(math.inf if seconds is None else seconds):
        return await run_callback(function, *args)
    raise TimeoutError(told)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it only makes a coroutine."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - the method is asked for, not whether there is one


def name_of(function: Callable[..., Any]) -> str:
    """What a person would call it."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _threads() -> trio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(trio.CapacityLimiter(_THREADS))
        return _limiter.get()
