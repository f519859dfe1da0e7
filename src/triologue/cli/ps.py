"""`triologue ps`: the managers of this user that run, and their sessions; or why one session is stuck."""

import sys
import time

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triologue.cli.console import PIPE_WIDTH, print_json
from triologue.cli.demo.view import STYLES
from triologue.cli.endings import ExitCode
from triologue.cli.running import Running, Silent, ask_all
from triologue.cli.text_flow import in_a_cell, printable
from triologue.manager.status import AskExplain, AskSessions, ManagerStatus, SessionStatus

ASLEEP = ("new", "hibernated")
FIGURES = ("QUEUE", "AGE", "PID", "RSS", "COST", "TURNS")
NARROW_FIGURES = ("QUEUE", "AGE", "RSS")
WIDE = 110
"""Characters of a line that has room for all columns."""


class PsRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    key: str | None
    json: bool
    all: bool
    """Sleeping sessions too."""


async def show_running(request: PsRequest, console: Console) -> ExitCode:
    """Print what runs, or explain one session; return the exit code."""
    if request.key is not None:
        return await _explain(request.key, console, is_json=request.json)
    running, silent = await ask_all(AskSessions())
    if request.json:
        print_json([{"manager": each.manager, "sessions": each.sessions} for each in running])
    elif not running and not silent:
        console.print("No manager of this user runs.")
    else:
        for number, each in enumerate(running):
            if number:
                console.print()
            _show(each, console, everything=request.all)
    return _complain(silent)


async def _explain(key: str, console: Console, *, is_json: bool) -> ExitCode:
    running, silent = await ask_all(AskExplain(key=key))
    found = [(each.manager, each.explained) for each in running if each.explained is not None]
    if is_json and found:
        print_json([{"manager": manager.pid, **msgspec.to_builtins(said.explanation)} for manager, said in found])
    elif found:
        for manager, said in found:
            if len(found) > 1:
                console.print(title_of(manager), soft_wrap=True)
            console.print(printable(said.text), markup=False, soft_wrap=True)
    code = _complain(silent)
    if not found:
        sys.stderr.write(
            f"triologue: no manager that runs has a session with the key {key!r}; `triologue ps --all` lists them\n"
        )
        return ExitCode.FAILED
    return code


def _complain(silent: list[Silent]) -> ExitCode:
    for each in silent:
        sys.stderr.write(f"triologue: the manager of process {each.pid} does not tell: {each.why}\n")
    return ExitCode.FAILED if silent else ExitCode.OK


def _show(running: Running, console: Console, *, everything: bool) -> None:
    console.print(title_of(running.manager), soft_wrap=True)
    shown = [each for each in running.sessions if everything or each.state not in ASLEEP]
    if shown:
        if not console.is_terminal:
            console.width = PIPE_WIDTH  # a width that is given to print() is cut to this one
        console.print(table_of(shown, width=console.width if console.is_terminal else None))
    if hidden := len(running.sessions) - len(shown):
        console.print(f"{hidden} asleep (--all shows them)", style="bright_black")


def title_of(manager: ManagerStatus) -> Text:
    """A manager in one line."""
    said = manager.statistics
    title = Text(f"{in_a_cell(manager.program)}  ", "bold")
    up = duration(max(0.0, time.time() - manager.began))
    title.append(
        f"pid {manager.pid}, {manager.agent}, up {up}: {counted(said.sessions, 'session')}, {said.live} live", "default"
    )
    if said.waiting:
        title.append(f", {counted(said.waiting, 'turn')} in line", "yellow")
    if said.permissions:
        title.append(f", {counted(said.permissions, 'permission')} to be answered", "yellow")
    title.append(f", ${said.cost_usd:.2f}", "default")
    if said.leftovers.processes:
        title.append(f", {counted(said.leftovers.processes, 'leftover')} killed at its start", "yellow")
    if said.is_draining:
        title.append(", draining", "red")
    return title


def table_of(sessions: list[SessionStatus], *, width: int | None) -> Table:
    """Sessions, a row for each, as wide as a terminal; or, with None, as they are.

    Where there is little room the columns that one can do without are left out, and the last one is cut.
    """
    is_narrow = width is not None and width < WIDE
    table = Table(box=None, pad_edge=False, header_style="bright_black", expand=width is not None)
    table.add_column("KEY", no_wrap=True, max_width=None if width is None else max(8, width // 4))
    table.add_column("STATE", no_wrap=True)
    for name in NARROW_FIGURES if is_narrow else FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("WAITS FOR", no_wrap=True, ratio=None if width is None else 1)
    for each in sessions:
        figures = _figures(each)
        table.add_row(
            Text(in_a_cell(each.key)),
            Text(each.state, STYLES.get(each.state, "default")),
            *(figures[name] for name in (NARROW_FIGURES if is_narrow else FIGURES)),
            Text(in_a_cell(each.waits_for or "-")),
        )
    return table


def _figures(session: SessionStatus) -> dict[str, str]:
    return {
        "QUEUE": str(session.waiting),
        "AGE": "-" if session.age is None else duration(session.age),
        "PID": "-" if session.pid is None else str(session.pid),
        "RSS": "-" if session.rss_bytes is None else megabytes(session.rss_bytes),
        "COST": "-" if session.cost_usd is None else f"${session.cost_usd:.2f}",
        "TURNS": str(session.turns),
    }


def counted(count: int, what: str) -> str:
    """So many of them."""
    return f"{count} {what}{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """A time span in one or two units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def megabytes(count: int) -> str:
    """Bytes, for people."""
    return f"{count / 1e6:.0f}MB" if count < 10e9 else f"{count / 1e9:.0f}GB"
