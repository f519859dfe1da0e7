"""The demo's last word: a table of what was measured, and what went wrong."""

from collections.abc import Sequence

from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from triologue.cli.demo.tally import Tally, percentile

SHOWN_PROBLEMS = 10


class Measures(Struct, frozen=True, kw_only=True):
    """What the demo measured besides its turns."""

    seconds: float
    live: int
    """Agents that were alive at the end of the conversations."""
    own_memory: int
    """Bytes that this process grew by until then."""
    agents_memory: int | None
    """Bytes of the agents' processes then; None where that cannot be known."""
    cost_usd: float | None
    leaks: Sequence[str]


def is_good(tally: Tally, measures: Measures) -> bool:
    """Nothing lost, nothing leaked, nothing answered wrongly."""
    return not (tally.lost() or measures.leaks or tally.problems)


def report(console: Console, tally: Tally, measures: Measures) -> None:
    """Print it."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="bright_black")
    table.add_column()
    for name, value in (*_turns(tally, measures), *_costs(tally, measures), *_ends(tally, measures)):
        table.add_row(name, value)
    console.print(table)
    problems = [*tally.problems, *(f"leaked: {leak}" for leak in measures.leaks)]
    for problem in problems[:SHOWN_PROBLEMS]:
        console.print(f"- {problem}", style="red", markup=False, soft_wrap=True)
    if len(problems) > SHOWN_PROBLEMS:
        console.print(f"- and {len(problems) - SHOWN_PROBLEMS} more", style="red")


def _turns(tally: Tally, measures: Measures) -> list[tuple[str, str]]:
    outcomes = ", ".join(f"{count} {kind}" for kind, count in tally.outcomes().most_common())
    conversations = len({turn.key for turn in tally.turns})
    forks = "fork" if tally.forks == 1 else "forks"
    rate = len(tally.turns) / measures.seconds if measures.seconds else 0
    return [
        ("conversations", f"{conversations}, of them {tally.forks} {forks}; {tally.wakes} hibernated and woken"),
        ("turns", f"{len(tally.turns)} in {measures.seconds:.1f} s ({rate:.0f} a second)"),
        ("outcomes", outcomes or "none"),
        ("recalled", f"{tally.recalls} answers hold what was told before"),
    ]


def _costs(tally: Tally, measures: Measures) -> list[tuple[str, str]]:
    live = max(measures.live, 1)
    memory = f"{_size(measures.own_memory / live)} of this process for each of {measures.live} live ones"
    if measures.agents_memory:
        memory += f"; {_size(measures.agents_memory / live)} (PSS) of agents' processes"
    rows = [
        ("to first words", _latencies(tally.first_text_times())),
        ("to the result", _latencies(tally.whole_times())),
        ("memory", memory),
    ]
    return rows if measures.cost_usd is None else [*rows, ("cost", f"${measures.cost_usd:.4f}")]


def _ends(tally: Tally, measures: Measures) -> list[tuple[str, str]]:
    wrong = len(tally.problems)
    return [
        ("lost turns", _mark(tally.lost(), str(tally.lost()))),
        ("leaks", _mark(len(measures.leaks), str(len(measures.leaks) or "none"))),
        ("problems", _mark(wrong, str(wrong or "none"))),
    ]


def _mark(count: int, shown: str) -> str:
    return f"[bold red]{shown}[/]" if count else f"[green]{shown}[/]"


def _latencies(seconds: Sequence[float]) -> str:
    return "   ".join(f"p{percent} {_duration(percentile(seconds, percent))}" for percent in (50, 95, 99))


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(count: float) -> str:
    return f"{count / 1024:.0f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"
