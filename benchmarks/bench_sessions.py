"""Memory and processor time of 1,000, 3,000 and 10,000 sessions on the built-in agent, in one process.

Opened, three turns each, hibernated, woken by a fourth turn, closed. What a session weighs is what the resident memory of
the process has grown by, divided by their number; cells in which each took one turn tell how much of that is history (the
log and the agent's transcript grow by the same with each turn), and what is beyond it. Resident memory does not shrink
when sessions hibernate together, so what a hibernated one weighs is measured where each hibernates after its own turns.
"""

import gc
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import trio
from harness import Target, bench, fresh, report, usage
from models import Terse

import triologue as tri

SIZES = (1_000, 3_000, 10_000)
TURNS = 3
CALLERS = 50  # tasks that talk at the same time
LIVE_KIB, HIBERNATED_KIB = 25.0, 2.0
LINEAR = 0.75  # of what a turn costs with many sessions, with few


class Cell(TypedDict):
    """One measurement."""

    sessions: int
    turns: int
    stays: bool
    """All are live at the same time; or else each hibernates after its turns."""


Step = Callable[[tri.Session], Awaitable[Any]]


async def measure(cell: Cell) -> dict[str, Any]:
    limits = tri.Limits(
        log_bytes=2**20, max_live=cell["sessions"] + CALLERS
    )  # the whole history stays, so that it can be told
    # With the usual deadlines: a session at rest has the timer that it would hibernate by, and that weighs something too.
    async with tri.open_manager(tri.Embedded(model=Terse()), limits=limits) as manager:

        async def talk(session: tri.Session, turns: int = cell["turns"]) -> None:
            for _ in range(turns):
                await session.ask("Remember this, please.")
            if not cell["stays"]:
                await session.hibernate()

        async def each(step: Step, sessions: int = cell["sessions"]) -> float:
            """Take a step with every session; returns the seconds of processor time that took in all."""
            numbers = iter(range(sessions))

            async def caller() -> None:
                for number in numbers:
                    await step(manager.session(f"session:{number}/{sessions}"))

            start = time.process_time()
            async with trio.open_nursery() as nursery:
                for _ in range(CALLERS):
                    nursery.start_soon(caller)
            return time.process_time() - start

        # As many as are awake at a time in the end have come and gone: what they took is here already.
        await each(talk, CALLERS)
        await each(lambda session: session.hibernate(), CALLERS)
        baseline = resident_kib()
        measured: dict[str, Any] = {"talk CPU s": await each(talk)}
        measured["KiB"] = (resident_kib() - baseline) / cell["sessions"]
        if cell["stays"]:
            measured["hibernate CPU s"] = await each(lambda session: session.hibernate())
            measured["wake CPU s"] = await each(lambda session: talk(session, 1))
            measured["close CPU s"] = await each(lambda session: session.close())
        return measured


def resident_kib() -> int:
    gc.collect()
    return usage(os.getpid()).rss_kib


def row(sessions: int) -> dict[str, Any]:
    """All that is known of so many sessions."""
    cells = {
        (stays, turns): fresh(__file__, sessions=sessions, turns=turns, stays=stays)
        for stays in (True, False)
        for turns in (1, TURNS)
    }
    live, hibernated = cells[True, TURNS], cells[False, TURNS]
    a_turn = {stays: (cells[stays, TURNS]["KiB"] - cells[stays, 1]["KiB"]) / (TURNS - 1) for stays in (True, False)}
    return {
        "sessions": sessions,
        "CPU us/turn": live["talk CPU s"] / sessions / TURNS * 1e6,
        "talk CPU s": live["talk CPU s"],
        "hibernate CPU s": live["hibernate CPU s"],
        "wake CPU s": live["wake CPU s"],
        "close CPU s": live["close CPU s"],
        "live KiB": live["KiB"],
        "history KiB": a_turn[True] * TURNS,
        "live beyond KiB": live["KiB"] - a_turn[True] * TURNS,
        "hibernated KiB": hibernated["KiB"],
        "hibernated beyond KiB": hibernated["KiB"] - a_turn[False] * TURNS,
    }


def main() -> None:
    rows = [row(sessions) for sessions in SIZES]
    few, many = rows[0], rows[-1]
    targets = [
        Target("25 KiB against a live session", LIVE_KIB / many["live beyond KiB"], 1.0),
        Target("2 KiB against a hibernated one", HIBERNATED_KIB / max(many["hibernated beyond KiB"], 0.01), 1.0),
        Target("CPU a turn, 1,000 sessions against 10,000", few["CPU us/turn"] / many["CPU us/turn"], LINEAR),
    ]
    report("many sessions in one process", rows, targets)


if __name__ == "__main__":
    bench(main, lambda cell: trio.run(measure, cell))
