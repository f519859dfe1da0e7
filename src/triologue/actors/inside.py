"""Who waits for whom: a callback that waits for its own session, straight or through others, would wait for ever."""

import itertools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, TypeAlias, final

import trio

from triologue.errors import WouldDeadlock

_count = itertools.count()

WaitFor: TypeAlias = Literal["turn", "end", "agent"]
"""`turn`: for a turn's outcome. `end`: the same of one that is being withdrawn, which needs no agent for that. `agent`:
only for an agent to be there."""


@final
class Home:
    """A session, as one that is waited for, and whose callbacks wait for others.

    Args:
        key: the session's, for the error.
    """

    __slots__ = ("key", "loop", "on_wait", "waits")

    def __init__(self, key: str) -> None:
        self.key = key
        self.loop = trio.lowlevel.current_trio_token()
        self.waits: tuple[Waiting, ...] = ()
        """What its callbacks wait for now, in the order in which they began."""
        self.on_wait: Callable[[Home], None] | None = None
        """Is told when one of them begins to: of a session that has an agent, and so a place that others may wait for."""

    def reaches(self, other: "Home") -> bool:
        """Does it wait for a turn of the other one, itself or through others?"""
        seen: set[Home] = set()
        left: list[Home] = [self]
        while left:
            home = left.pop()
            if home is other:
                return True
            if home not in seen:
                seen.add(home)
                left.extend(wait.target for wait in home.waits if wait.what != "agent")
        return False


@final
class Waiting:
    """A callback of a session waits for another session.

    Args:
        target: the other one.
        what: what of it.
        scope: of the wait.
    """

    __slots__ = ("_refusal", "_scope", "number", "target", "what")

    def __init__(self, target: Home, what: WaitFor, scope: trio.CancelScope) -> None:
        self.target = target
        self.what = what
        self.number = next(_count)
        """Higher than that of every one before it."""
        self._scope = scope
        self._refusal: WouldDeadlock | None = None

    @property
    def is_open(self) -> bool:
        """Does it go on?"""
        return self._refusal is None

    def refuse(self, error: WouldDeadlock) -> None:
        """It turned out that it could never end: the callback hears this instead."""
        self._refusal = error
        self._scope.cancel()

    def check(self) -> None:
        """Raise what it was ended with, if it was."""
        if self._refusal is not None and self._scope.cancelled_caught:
            raise self._refusal


# By the tasks that hold a connection and what serves it. Whatever a connection's callbacks and tools do, they do in tasks below it; what
# they have started elsewhere, in a nursery of the program's own, can end when it likes, and nothing waits for it.
_homes: dict[trio.lowlevel.Task, Home] = {}


@final
class AtHome:
    """In this block, the task holds a connection of that session, or what serves one. Lighter than a generator."""

    __slots__ = ("_home",)

    def __init__(self, home: Home) -> None:
        self._home = home

    def __enter__(self) -> None:
        _homes[trio.lowlevel.current_task()] = self._home

    def __exit__(self, *left_by: object) -> None:
        del _homes[trio.lowlevel.current_task()]


def current_home() -> Home | None:
    """The session in whose callback this task runs, if it does in one."""
    if not _homes:
        return None
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        if (home := _homes.get(task)) is not None:
            return home
        nursery = task.parent_nursery
        task = nursery.parent_task if nursery is not None else None
    return None


# Most that wait are in nobody's callback; a generator for each would cost more than all else here.
_NOTHING = nullcontext()


def waiting_for(target: Home, asker: Home | None, what: WaitFor = "turn") -> AbstractContextManager[None]:
    """A callback of `asker` waits for `target` in this block; nothing where nobody's callback does.

    Raises, on entering or leaving:
        WouldDeadlock: what it waits for cannot come before the callback has returned. Where this turns out later, the
            block is cancelled, and this is raised in the place of that.
    """
    return _NOTHING if asker is None else _waiting_for(target, asker, what)


@contextmanager
def _waiting_for(target: Home, asker: Home, what: WaitFor) -> Generator[None]:
    if what != "agent" and target.reaches(asker):
        through = "" if target is asker else f", by way of the session {target.key!r}"
        raise WouldDeadlock(
            f"a tool, hook or permission callback of the session {asker.key!r} waits for a turn of that session"
            f"{through}; that turn cannot go on before it returns. Use send() and do not wait for the outcome, "
            "or start a task of your own for it"
        )
    scope = trio.CancelScope()
    waiting = Waiting(target, what, scope)
    with scope:
        asker.waits += (waiting,)
        try:
            if asker.on_wait is not None:
                asker.on_wait(asker)
            yield
        finally:
            asker.waits = tuple(each for each in asker.waits if each is not waiting)
    waiting.check()
