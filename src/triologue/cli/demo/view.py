"""Watching the demo: a live screen in a terminal, plain lines elsewhere."""

from collections import Counter
from typing import Protocol, final

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from triologue.cli.demo.tally import Tally
from triologue.manager import SessionManager, SessionStatistics

FRAME = 0.1
"""Seconds between two pictures of the live view."""
LINE = 1.0
"""Seconds between two plain lines."""
SHOWN_TEXTS = 6

STYLES = {
    "new": "bright_black",
    "starting": "yellow",
    "restarting": "yellow",
    "idle": "blue",
    "running": "green",
    "interrupting": "red",
    "hibernated": "magenta",
    "failed": "bold red",
}


class View(Protocol):
    """Shows how far the demo is, until it is cancelled."""

    async def run(self) -> None:
        """Show, again and again."""
        ...


def make_view(console: Console, manager: SessionManager, tally: Tally) -> View:
    """The view that suits where the output goes."""
    is_plain = not console.is_terminal or console.is_dumb_terminal
    return PlainView(console, manager, tally) if is_plain else LiveView(console, manager, tally)


@final
class PlainView:
    """A line now and then."""

    def __init__(self, console: Console, manager: SessionManager, tally: Tally) -> None:
        self._console, self._manager, self._tally = console, manager, tally

    async def run(self) -> None:
        """Print lines until cancelled."""
        began = trio.current_time()
        while True:
            await trio.sleep(LINE)
            self._console.print(self._line(trio.current_time() - began), soft_wrap=True)

    def _line(self, elapsed: float) -> str:
        tally = self._tally
        states = Counter(session.state for session in self._manager.sessions())
        ended = ", ".join(f"{count} {kind}" for kind, count in tally.outcomes().most_common())
        now = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        return f"{elapsed:5.1f} s  {tally.done()}/{tally.expected} turns ({ended or 'none yet'}); now {now or 'none'}"


@final
class LiveView:
    """One mark for each conversation, coloured by what it does, and what some of them say at the moment."""

    def __init__(self, console: Console, manager: SessionManager, tally: Tally) -> None:
        self._console, self._manager, self._tally = console, manager, tally
        self._shown: list[str] = []
        self._mark = "■" if console.encoding.lower().startswith("utf") else "#"

    async def run(self) -> None:
        """Paint until cancelled; then nothing of it stays on the screen."""
        began = trio.current_time()
        # Painted by this task, so that there is no thread beside trio's.
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._picture(trio.current_time() - began), refresh=True)
                await trio.sleep(FRAME)

    def _picture(self, elapsed: float) -> RenderableType:
        sessions = self._manager.sessions()
        return Group(
            self._progress(elapsed), Text(), self._marks(sessions), self._legend(sessions), Text(), self._texts()
        )

    def _progress(self, elapsed: float) -> RenderableType:
        tally = self._tally
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column()
        row.add_column(ratio=1)
        row.add_column()
        row.add_row(
            f"{tally.done()}/{tally.expected} turns",
            ProgressBar(total=tally.expected, completed=tally.done()),
            f"{elapsed:.1f} s",
        )
        return row

    def _marks(self, sessions: list[SessionStatistics]) -> Text:
        marks = Text()
        for session in sessions:
            marks.append(self._mark, STYLES[session.state])
        return marks.append(self._mark * self._unborn(sessions), STYLES["new"])

    def _unborn(self, sessions: list[SessionStatistics]) -> int:
        """Conversations that are still to begin."""
        return max(0, self._tally.conversations - len(sessions))

    def _legend(self, sessions: list[SessionStatistics]) -> Text:
        states = Counter(session.state for session in sessions)
        states["new"] += self._unborn(sessions)
        legend = Text()
        for state in ("new", "starting", "running", "interrupting", "idle", "hibernated"):
            legend.append(f"{self._mark} ", STYLES[state]).append(f"{states[state]} {state}   ", "bright_black")
        return legend

    def _texts(self) -> RenderableType:
        """What is being said: the same conversations from picture to picture, as long as they speak."""
        texts = self._tally.texts
        self._shown = [key for key in self._shown if texts.get(key)]
        self._shown += [key for key, said in texts.items() if said and key not in self._shown][
            : SHOWN_TEXTS - len(self._shown)
        ]
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="bright_black", no_wrap=True, min_width=13)
        rows.add_column(no_wrap=True, overflow="crop")
        room = max(10, self._console.width - 18)
        for number in range(SHOWN_TEXTS):
            key = self._shown[number] if number < len(self._shown) else ""
            rows.add_row(key, Text(texts.get(key, "").replace("\n", " ")[-room:]))
        return rows
