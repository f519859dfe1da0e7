"""How late a gateway's loop is, and what a connection costs, with a thousand viewers: one of each session, all of one.

Sessions are on the built-in agent, in the gateway's process, and say five words a second, in turns of ten seconds each, one
behind the other. They begin one after the other, all within the length of a turn, and what is measured is the time in which all
of them talk: so turns begin and end as they do in life, a hundred a second where there are a thousand sessions. What it costs
when a thousand turns begin in the same fifth of a second, and end so, is a case of its own, without a target. Every cell is a
process of its own, and so are its clients.
"""

import gc
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final, TypedDict

import trio
from harness import Target, bench, fresh, report, usage

import triologue as tri
from triologue.cli.serve import GC_THRESHOLDS

EACH: Final = "one of each session"
TOGETHER: Final = "one of each, which begin together"
ALL: Final = "all of one session"
LONG: Final = "all of one session, long words"
STUCK: Final = "the same, and one that never reads"

INTERVAL = 0.2
WORDS = 50
TURN_SECONDS = WORDS * INTERVAL
TURNS = 2
LONG_WORD = 20_000  # characters
LOOK_EVERY = 0.01
MAX_LAG_MS = 50.0
VIEWER_BYTES = 256 * 1024


class Cell(TypedDict):
    """One measurement."""

    case: str
    viewers: int


CELLS: Final = [
    Cell(case=EACH, viewers=1_000),
    Cell(case=TOGETHER, viewers=1_000),
    Cell(case=ALL, viewers=1_000),
    Cell(case=LONG, viewers=100),
    Cell(case=STUCK, viewers=100),
]


async def measure(cell: Cell) -> dict[str, Any]:
    gc.set_threshold(*GC_THRESHOLDS)  # as `triologue serve` does
    case, viewers = cell["case"], cell["viewers"]
    agent = tri.Embedded(model=tri.OfflineModel(piece_delay=INTERVAL))
    limits = tri.Limits(max_live=viewers, max_starting=viewers)
    gateway_limits = tri.GatewayLimits(viewer_bytes=VIEWER_BYTES)
    options = tri.Options(include_partial_messages=True)
    async with (
        tri.open_manager(agent, options=options, limits=limits) as manager,
        tri.open_gateway(manager, port=0, limits=gateway_limits) as gateway,
    ):
        keys = [f"s:{number}" for number in range(viewers if case in (EACH, TOGETHER) else 1)]
        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(manager.session(key).ask, "hello")
        command = clients_command(cell, gateway.url)
        gc.collect()
        before = usage(os.getpid()).rss_kib
        process = await trio.lowlevel.open_process(command, stdout=-1)
        assert process.stdout is not None
        await process.stdout.receive_some()
        memory = (usage(os.getpid()).rss_kib - before) / viewers
        lags: list[float] = []
        cpu, start = time.process_time(), time.perf_counter()
        spread = INTERVAL if case == TOGETHER else TURN_SECONDS
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, lags, 0.0 if case == TOGETHER else TURN_SECONDS)
            for number, key in enumerate(keys):
                nursery.start_soon(talk, manager.session(key), prompt(case), spread * number / len(keys))
            told = b""
            while not told.endswith(b"\n"):
                told += await process.stdout.receive_some()
            nursery.cancel_scope.cancel()
        seconds, events = time.perf_counter() - start, gateway.statistics().events
        row = {
            "case": case,
            "viewers": viewers,
            "events/s": events / seconds,
            "CPU us/event": (time.process_time() - cpu) / events * 1e6,
            "loop lag p50 ms": statistics.median(lags) * 1e3,
            "loop lag p99 ms": statistics.quantiles(lags, n=100)[98] * 1e3,
            "KiB/connection": memory,
            "fell behind": gateway.statistics().gaps,
            **json.loads(told),
        }
        await process.wait()
    return row


def prompt(case: str) -> str:
    return f"say {' '.join(['x' * LONG_WORD] * WORDS)}" if case in (LONG, STUCK) else f"Count to {WORDS}"


async def talk(session: tri.Session, said: str, after: float) -> None:
    await trio.sleep(after)
    for _ in range(TURNS):
        await session.ask(said)


async def look(lags: list[float], after: float) -> None:
    """How late the loop is, from then on until the first session has said all."""
    begun = trio.current_time()
    await trio.sleep_until(begun + after)
    while trio.current_time() < begun + TURNS * TURN_SECONDS:
        due = trio.current_time() + LOOK_EVERY
        await trio.sleep(LOOK_EVERY)
        lags.append(trio.current_time() - due)


def clients_command(cell: Cell, url: str) -> list[str]:
    key = "s:{n}" if cell["case"] in (EACH, TOGETHER) else "s:0"
    hello = [{"type": "hello"}, {"type": "attach", "id": 1, "key": key}]
    job = {
        "url": f"{url}/v1",
        "clients": cell["viewers"],
        "hello": list(map(json.dumps, hello)),
        "answers": 2,
        "turns": TURNS,
        "stuck": int(cell["case"] == STUCK),
    }
    return [sys.executable, str(Path(__file__).with_name("viewers.py")), json.dumps(job)]


def main() -> None:
    rows = [fresh(__file__, **cell) for cell in CELLS]
    targets = [
        Target(
            f"{MAX_LAG_MS:g} ms against the p99 of the lag, {row['case']}",
            MAX_LAG_MS / row["loop lag p99 ms"],
            None if row["case"] == TOGETHER else 1.0,
        )
        for row in rows
    ]
    report("viewers", rows, targets)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    bench(main, lambda cell: trio.run(measure, cell))
