"""Appends a second that are on disk, by 100 producers and by one: `SqliteStore`, SQLite with a commit per row, bare fsyncs.

Each producer waits until its record is durable before it writes the next one (`synchronous=FULL`). `commit per row` is the
same store with one append a transaction. `bare insert` is what a program does by itself: an `INSERT` of the same
record into one table, each in a thread and committed, with no lease, no head and nothing to find it by; the target is
against that. Where an fsync takes milliseconds, what counts is how many share one. Where it takes a tenth of that, the
processor decides: an append costs some 15 us, most of it for waking the task that waits for it and for SQLite's own
work, and a bare insert some 250. Every cell is a process of its own, on a file of its own; they take turns.
"""

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypedDict

import apsw
import trio
from harness import OURS, Target, bench, fresh, medians, report

from triologue.ports import Append, Record, StoredSession, UnfinishedTurn
from triologue.stores import SqliteStore, grouping

PER_ROW: Final = "commit per row"
INSERT: Final = "bare insert"
FSYNC: Final = "fsync"
MANY: Final = 100
CELLS: Final = {
    (OURS, MANY): 300,
    (PER_ROW, MANY): 15,
    (INSERT, MANY): 15,
    (OURS, 1): 1000,
    (INSERT, 1): 1000,
    (FSYNC, 1): 1000,
}
"""Appends of each producer."""
REPETITIONS: Final = 3
TURN: Final = 20
"""Records a turn: one in ten changes the head."""
LINE: Final = b'{"type":"assistant","message":"' + b"x" * 567 + b'"}'

RATIO, P99_MS, FSYNCS = 20.0, 10.0, 4.0

Write = Callable[[], Awaitable[None]]


class Cell(TypedDict):
    """One measurement."""

    side: str
    producers: int
    appends: int


async def measure_store(path: Path, cell: Cell) -> dict[str, Any]:
    if cell["side"] == PER_ROW:
        grouping.MAX_TOGETHER = 1  # type: ignore[misc]
    async with SqliteStore(path) as store:

        async def writes(key: str) -> Sequence[Write]:
            lease, _ = await store.acquire(key, owner="benchmark", ttl=3600.0)
            head = StoredSession(key=key, session_id=key, agent="claude-code", cwd="/work", settings={"model": "opus"})
            return [partial(store.append, append(head, lease, seq)) for seq in range(1, cell["appends"] + 1)]

        def append(head: StoredSession, lease: Any, seq: int) -> Append:
            turn, step = divmod(seq, TURN)
            head = StoredSession(
                key=head.key,
                session_id=head.session_id,
                agent=head.agent,
                cwd=head.cwd,
                settings=head.settings,
                turns=turn,
                unfinished=(UnfinishedTurn(id=f"turn-{turn}", seq=seq - step),) if step else (),
                last_seq=seq,
                last_active=float(seq),
            )
            record = Record(seq=seq, turn_id=f"turn-{turn}", kind="assistant", time=float(seq), line=LINE)
            return Append(lease=lease, session=head, records=(record,))

        prepared = [await writes(f"slack:C{number}:1700000000") for number in range(cell["producers"])]
        return await produce(cell, prepared)


async def measure_insert(path: Path, cell: Cell) -> dict[str, Any]:
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.execute(
        "CREATE TABLE log (position INTEGER PRIMARY KEY, key TEXT, seq INTEGER, turn_id TEXT, kind TEXT, time REAL, "
        "line BLOB)"
    )
    limiter = trio.CapacityLimiter(1)

    def insert(*row: Any) -> None:
        db.execute("INSERT INTO log VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)

    def write(key: str, seq: int) -> Write:
        row = (key, seq, f"turn-{seq // TURN}", "assistant", float(seq), LINE)
        return partial(trio.to_thread.run_sync, insert, *row, limiter=limiter)

    keys = [f"slack:C{number}:1700000000" for number in range(cell["producers"])]
    measured = await produce(cell, [[write(key, seq) for seq in range(1, cell["appends"] + 1)] for key in keys])
    db.close()
    return measured


async def produce(cell: Cell, prepared: Sequence[Sequence[Write]]) -> dict[str, Any]:
    """Let the producers go, and take the time."""
    latencies: list[float] = []

    async def produce_one(writes: Sequence[Write]) -> None:
        for write in writes:
            begun = time.perf_counter()
            await write()
            latencies.append(time.perf_counter() - begun)

    gc.collect()
    gc.freeze()  # what was prepared is no part of what is measured
    cpu, begun = time.process_time(), time.perf_counter()
    async with trio.open_nursery() as nursery:
        for writes in prepared:
            nursery.start_soon(produce_one, writes)
    return row(cell, time.perf_counter() - begun, time.process_time() - cpu, latencies)


def measure_fsync(path: Path, cell: Cell) -> dict[str, Any]:
    block, latencies = b"x" * 1024, []
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(cell["appends"]):
        begun = time.perf_counter()
        os.write(file, block)
        os.fsync(file)
        latencies.append(time.perf_counter() - begun)
    measured = row(cell, time.perf_counter() - start, time.process_time() - cpu, latencies)
    os.close(file)
    return measured


def row(cell: Cell, seconds: float, cpu: float, latencies: Sequence[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "side": cell["side"],
        "producers": cell["producers"],
        "appends/s": len(latencies) / seconds,
        "p50 ms": cuts[49] * 1e3,
        "p99 ms": cuts[98] * 1e3,
        "cpu us/append": cpu / len(latencies) * 1e6,
    }


def measure(cell: Cell) -> dict[str, Any]:
    # Beside this file: where a temporary folder is kept in memory, an fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".store-") as folder:
        path = Path(folder) / "sessions.db"
        if cell["side"] == FSYNC:
            return measure_fsync(path, cell)
        return trio.run(measure_insert if cell["side"] == INSERT else measure_store, path, cell)


def main() -> None:
    samples: dict[tuple[str, int], list[dict[str, Any]]] = {cell: [] for cell in CELLS}
    for _ in range(REPETITIONS):
        for (side, producers), appends in CELLS.items():
            cell = Cell(side=side, producers=producers, appends=appends)
            samples[side, producers].append(fresh(__file__, **cell))
    rows = {cell: medians(taken) for cell, taken in samples.items()}
    ours, per_row, insert = (rows[side, MANY]["appends/s"] for side in (OURS, PER_ROW, INSERT))
    fsyncs = rows[OURS, 1]["p50 ms"] / rows[FSYNC, 1]["p50 ms"]
    targets = [
        Target(f"{MANY} producers: appends a second to a commit per row", ours / per_row, None),
        Target(f"{MANY} producers: appends a second to a bare insert", ours / insert, RATIO),
        Target(f"{MANY} producers: {P99_MS:g} ms to the p99 of an append", P99_MS / rows[OURS, MANY]["p99 ms"], 1.0),
        Target(f"one producer: {FSYNCS:g} bare fsyncs to an append", FSYNCS / fsyncs, 1.0),
    ]
    report("durable appends", list(rows.values()), targets)


if __name__ == "__main__":
    bench(main, measure)
