"""`triologue top`: what runs, again and again, with the busiest on top; plain lines where there is no terminal."""

import os
import signal
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, final

import trio
from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from triologue.cli.endings import ExitCode
from triologue.cli.interrupting import draining_on, on_interrupt
from triologue.cli.ps import counted, megabytes, table_of, title_of
from triologue.cli.running import Running, Silent, ask_all
from triologue.manager.status import AskSessions, SessionStatus

SORTS: dict[str, Callable[[SessionStatus], Any]] = {
    "age": lambda each: -(each.age if each.age is not None else -1),
    "queue": lambda each: -each.waiting,
    "memory": lambda each: -(each.rss_bytes or 0),
    "cost": lambda each: -(each.cost_usd or 0.0),
    "turns": lambda each: -each.turns,
    "key": lambda each: each.key,
}
"""By what sessions can be sorted."""


class TopRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    interval: float
    """Seconds between two looks."""
    sort: str


async def watch_running(request: TopRequest, console: Console) -> ExitCode:
    """Show until the user leaves; SIGTERM too gives the terminal back as it was."""
    scope = trio.CancelScope()
    async with draining_on(signal.SIGTERM) as ending, on_interrupt(scope.cancel):
        with scope:
            if console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty():
                await Screen(console, request).run(scope)
            else:
                await _print_lines(console, request.interval)
    return ending.code or ExitCode.OK


async def _print_lines(console: Console, interval: float) -> None:
    while True:
        running, silent = await ask_all(AskSessions())
        now = time.strftime("%H:%M:%S")
        console.print(f"{now}  {summary(running, silent)}", soft_wrap=True, markup=False)
        await trio.sleep(interval)


def summary(running: list[Running], silent: list[Silent]) -> str:
    """All managers in one line."""
    sessions = [each for one in running for each in one.sessions]
    states = Counter(each.state for each in sessions)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    parts = [counted(len(running), "manager"), counted(len(sessions), "session") + (f" ({told})" if told else "")]
    if waiting := sum(each.waiting for each in sessions):
        parts.append(f"{counted(waiting, 'turn')} in line")
    if sizes := [each.rss_bytes for each in sessions if each.rss_bytes is not None]:
        parts.append(megabytes(sum(sizes)))
    parts.append(f"${sum(each.cost_usd or 0.0 for each in sessions):.2f}")
    if silent:
        parts.append(f"{counted(len(silent), 'manager')} without an answer")
    return ", ".join(parts)


@final
class Screen:
    """The live view."""

    def __init__(self, console: Console, request: TopRequest) -> None:
        self._console = console
        self._interval = request.interval
        self._sort = request.sort
        self._running: list[Running] = []
        self._silent: list[Silent] = []

    async def run(self, scope: trio.CancelScope) -> None:
        """Show until `scope` is cancelled, which the key q does."""
        fd = sys.stdin.fileno()
        with (
            single_keys(fd),
            Live(console=self._console, screen=True, auto_refresh=False) as live,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_keys, fd, live, scope)
                while True:
                    self._running, self._silent = await ask_all(AskSessions())
                    live.update(self._picture(), refresh=True)
                    await trio.sleep(self._interval)

    async def _read_keys(self, fd: int, live: Live, scope: trio.CancelScope) -> None:
        names = list(SORTS)
        while True:
            await trio.lowlevel.wait_readable(fd)
            keys = os.read(fd, 64)
            if b"q" in keys or b"Q" in keys or not keys:
                scope.cancel()
            elif b"s" in keys:
                self._sort = names[(names.index(self._sort) + 1) % len(names)]
                live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        lines: list[RenderableType] = [_one_line(Text(summary(self._running, self._silent), "bold"))]
        lines += [_one_line(title_of(each.manager)) for each in self._running]
        sessions = [each for one in self._running for each in one.sessions]
        sessions.sort(key=SORTS[self._sort])
        room = max(1, self._console.height - len(lines) - 3)
        lines += [table_of(sessions[:room], width=self._console.width)]
        if len(sessions) > room:
            lines.append(Text(f"and {len(sessions) - room} more", "bright_black"))
        lines.append(_one_line(Text(f"sorted by {self._sort}: s sorts by something else, q leaves", "bright_black")))
        return Group(*lines)


def _one_line(text: Text) -> Text:
    """Cut where the terminal ends: the picture is as many lines high as it counted."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


@contextmanager
def single_keys(fd: int) -> Generator[None]:
    """Get keys as they are pressed, and not shown; Ctrl-C stays a signal."""
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
