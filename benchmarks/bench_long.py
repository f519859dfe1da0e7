"""What turn 1,000 of a session costs the host, against turn 10: one session, one turn after the other, kept by `SqliteStore`.

The built-in agent, whose model says little at once, and the CLI that a C program plays, a turn of which is 131 lines (87 KB).
What a turn costs is the processor time of the host process, with the store's threads; of the built-in agent it is the
agent's work too. Around turn 10 and around turn 1,000 as many turns are measured, and their medians are compared.
"""

import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final, TypedDict

import corpus
import trio
from harness import Target, bench, fresh, medians, open_player, report
from models import Terse

import triologue as tri

REPETITIONS: Final = 3
EARLY: Final = range(5, 35)
LATE: Final = range(985, 1015)
"""The turns that are measured, counted from 1."""
NO_MORE: Final = 1.0
EMBEDDED: Final = "built-in agent"
CLI: Final = "played CLI"


class Cell(TypedDict):
    """One measurement."""

    agent: str
    player: str
    environment: dict[str, str]


async def measure(cell: Cell) -> dict[str, Any]:
    # Beside this file, where the disk is that people have.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".long-") as folder:
        agent: Any = tri.Embedded(model=Terse()) if cell["agent"] == EMBEDDED else tri.ClaudeCode()
        options = tri.Options(cli_path=cell["player"], env=cell["environment"]) if cell["agent"] == CLI else None
        async with tri.open_manager(agent, options=options, store=Path(folder) / "sessions.db") as manager:
            await talk(manager.session("warms the process up"), EARLY.stop)
            costs = await talk(manager.session("long"), LATE.stop)
    early, late = (statistics.median(costs[turn] for turn in turns) * 1e6 for turns in (EARLY, LATE))
    return {"agent": cell["agent"], "CPU us, turn 10": early, "CPU us, turn 1,000": late, "ratio": early / late}


async def talk(session: tri.Session, until: int) -> list[float]:
    """Take turns; returns the seconds of processor time that each took. There is no turn 0."""
    costs = [0.0]
    for _ in range(1, until):
        before = cpu()
        await session.ask("Remember this, please.")
        costs.append(cpu() - before)
    return costs


def cpu() -> float:
    """Processor time of this process, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    samples: dict[str, list[dict[str, Any]]] = {EMBEDDED: [], CLI: []}
    with open_player() as player:
        environment = player.environment(corpus.turn())
        for _ in range(REPETITIONS):
            for agent, taken in samples.items():
                taken.append(fresh(__file__, agent=agent, player=str(player.path), environment=environment))
    rows = [medians(taken) for taken in samples.values()]
    targets = [Target(f"{row['agent']}: turn 10 to turn 1,000", row["ratio"], NO_MORE) for row in rows]
    report("long sessions", rows, targets)


if __name__ == "__main__":
    bench(main, lambda cell: trio.run(measure, cell))
