"""Who waits for whom: a callback that waits for its own session, straight or through others, would wait for ever."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import final

import trio

from triologue.errors import WouldDeadlock


@final
class Home:
    """A session, as one that is waited for, and whose callbacks wait for others.

    Args:
        key: the session's, for the error.
    """

    __slots__ = ("key", "waits_for")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waits_for: tuple[Home, ...] = ()
        """The sessions that its callbacks wait for now."""

    def reaches(self, other: "Home") -> bool:
        """Does it wait for the other one, itself or through others?"""
        seen: set[Home] = set()
        left: list[Home] = [self]
        while left:
            home = left.pop()
            if home is other:
                return True
            if home not in seen:
                seen.add(home)
                left.extend(home.waits_for)
        return False


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
        if task in _homes:
            return _homes[task]
        task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
    return None


@contextmanager
def waiting_for(target: Home, asker: Home | None) -> Generator[None]:
    """A callback of `asker` waits for a turn of `target` in this block.

    Raises:
        WouldDeadlock: that turn cannot end, or begin, before the callback has returned.
    """
    if asker is None:
        yield
        return
    if target.reaches(asker):
        through = "" if target is asker else f", by way of the session {target.key!r}"
        raise WouldDeadlock(
            f"a tool, hook or permission callback of the session {asker.key!r} waits for a turn of that session"
            f"{through}; that turn cannot go on before it returns. Use send() and do not wait for the outcome, "
            "or start a task of your own for it"
        )
    asker.waits_for += (target,)
    try:
        yield
    finally:
        left = list(asker.waits_for)
        left.remove(target)
        asker.waits_for = tuple(left)
