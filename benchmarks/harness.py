"""What every benchmark needs: the machine's facts, the player, fresh processes for cells, a JSON line and a table."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import corpus

SDK: Final = "claude-agent-sdk"
OURS: Final = "triologue"
SIDES: Final = (SDK, OURS)

# A ratio this far under its target fails the run: a busy machine is not a regression.
SLACK: Final = 0.3


class Target(NamedTuple):
    """A ratio that was promised, and what this run gave."""

    what: str
    ratio: float
    at_least: float | None
    """None: nothing was promised; the ratio is shown all the same."""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.at_least is None:
            return "no target"
        if self.ratio >= self.at_least:
            return "met"
        return "missed" if self.ratio < self.at_least * (1 - SLACK) else "missed, within the slack"


def machine() -> dict[str, Any]:
    """The facts without which a number means nothing."""
    cpus = [
        line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in (SDK, "anyio", "apsw", "msgspec", "trio")},
    }


def report(name: str, rows: Sequence[dict[str, Any]], targets: Sequence[Target]) -> None:
    """Print the table and the JSON line; exit with 1 if a target is missed by more than the slack."""
    print(f"\n{name}\n{table(rows)}\n")
    for target in targets:
        wanted = "" if target.at_least is None else f", target {target.at_least:g}x"
        print(f"{target.what}: {target.ratio:.2f}x{wanted}: {target.verdict}")
    facts = {"benchmark": name, "machine": machine(), "rows": rows, "targets": [target._asdict() for target in targets]}
    print(json.dumps(facts), flush=True)
    if any(target.verdict == "missed" for target in targets):
        sys.exit(1)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as aligned columns; numbers to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    right = [isinstance(rows[0].get(name), int | float) for name in names]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def medians(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each field's median; what is no number is that of the first sample."""
    first = samples[0]
    numbers = [name for name, value in first.items() if isinstance(value, int | float)]
    return {**first, **{name: statistics.median(sample[name] for sample in samples) for name in numbers}}


def fresh(script: str, **cell: Any) -> dict[str, Any]:
    """Run one cell in a process of its own, so that no heap, cache or collector is shared between the sides."""
    command = [sys.executable, script, "--cell", json.dumps(cell)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=600, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nthe cell {cell!r} ended with exit code {done.returncode}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def bench(main: Callable[[], None], measure: Callable[[Any], dict[str, Any]]) -> None:
    """Run the benchmark; or, in a process that `fresh` has started, measure its cell."""
    if sys.argv[1:2] == ["--cell"]:
        print(json.dumps(measure(json.loads(sys.argv[2]))))
    else:
        main()


@final
class Player:
    """The compiled player and the files that it plays, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "claude"
        source = Path(__file__).with_name("player.c")
        subprocess.run(["cc", "-O2", "-o", str(self.path), str(source)], check=True)
        (folder / "initialize.json").write_bytes(corpus.initialize_response())

    def environment(self, *turns: bytes, mode: str = "burst") -> dict[str, str]:
        """The environment with which it plays these turns; the last one again and again."""
        paths = [self._kept(turn) for turn in turns]
        init = self.folder / "initialize.json"
        return {"PLAYER_TURNS": ":".join(map(str, paths)), "PLAYER_INIT": str(init), "PLAYER_MODE": mode}

    def _kept(self, turn: bytes) -> Path:
        path = self.folder / f"turn-{len(turn)}.ndjson"
        if not path.exists():
            path.write_bytes(turn)
        return path


@contextmanager
def open_player() -> Iterator[Player]:
    """Compile the player into a temporary folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Player(Path(folder))


class Usage(NamedTuple):
    """What a process has used."""

    rss_kib: int
    cpu_s: float


def usage(pid: int) -> Usage:
    """Resident memory and processor time of a process; zeros for one that is gone."""
    try:
        pages = int(_read(f"/proc/{pid}/statm").split()[1])
        ticks = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return Usage(0, 0.0)
    seconds = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(pages * os.sysconf("SC_PAGE_SIZE") // 1024, seconds)


def helpers(agent: str) -> list[int]:
    """The processes below this one that are not the agent's: what a side runs besides itself."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_read(f"{entry}/stat").rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, frontier = [], [os.getpid()]
    while frontier:
        children = [pid for pid, parent in parents.items() if parent in frontier]
        found += children
        frontier = children
    return [pid for pid in found if not _runs(pid, agent)]


def _runs(pid: int, program: str) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink() == Path(program).resolve()
    except OSError:
        return True  # gone meanwhile: nothing to count


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _read(path: str) -> str:
    return Path(path).read_text()
