"""Turns a second with 1 and 100 sessions, processor time a message, memory a live session; a C program plays the CLI.

Every cell is a process of its own; the sides take turns, and are compared round by round. A session is one task, the same on both sides: it prompts, reads
every message of the turn up to the result, and prompts again. A turn is 131 lines, 87 KB, in one write. What a side runs
besides its host process (triologue's warden) is counted as its own.
"""

import asyncio
import gc
import os
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypedDict, final

import corpus
import trio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient
from harness import OURS, SDK, SIDES, Target, bench, fresh, helpers, medians, open_player, report, usage
from reading import Kinds, our_kinds, sdk_kinds, take

import triologue as tri

ROUNDS = 9
WARM_UP = 2  # turns of each session before the clock starts
TURNS = {1: 500, 100: 20}  # timed turns of each session, by the number of sessions
TURNS_TARGET, MEMORY_TARGET = 6.0, 2.0

Turn = Callable[[], Awaitable[int]]
"""Runs one turn; gives the number of its messages."""


Life = Callable[[Turn, "Flag"], Awaitable[None]]
"""What a session does, and the flag that it sets when it is warm."""


class Cell(TypedDict):
    """One measurement."""

    side: str
    sessions: int
    turns: int
    player: str
    environment: dict[str, str]


class Flag(Protocol):
    """What `asyncio.Event` and `trio.Event` have in common."""

    def set(self) -> None:
        """Let everybody pass."""

    async def wait(self) -> Any:
        """Wait until it is set."""


class Memory(NamedTuple):
    """Resident memory, KiB."""

    host: int
    besides: int


@final
class Meter:
    """Takes the numbers of one cell."""

    def __init__(self, cell: Cell, flag: Callable[[], Flag]) -> None:
        self._cell = cell
        self._go, self._all_done, self._leave = flag(), flag(), flag()
        self._running = cell["sessions"]
        self._latencies: list[float] = []
        self._messages = 0

    async def session(self, turn: Turn, warm: Flag) -> None:
        """The life of one session: warm up, wait for the clock, go, and stay until all is measured."""
        for _ in range(WARM_UP):
            await turn()
        warm.set()
        await self._go.wait()
        for _ in range(self._cell["turns"]):
            start = time.perf_counter()
            messages = await turn()
            self._latencies.append(time.perf_counter() - start)
            self._messages += messages
        self._running -= 1
        if not self._running:
            self._all_done.set()
        await self._leave.wait()

    async def watch(self, baseline: Memory) -> dict[str, Any]:
        """Let the sessions go, all of which are warm, and measure.

        Args:
            baseline: what there was when one session had come and gone.
        """
        warm = self.memory()
        host, besides, start = self._host_cpu(), self._besides_cpu(), time.perf_counter()
        self._go.set()
        await self._all_done.wait()
        seconds = time.perf_counter() - start
        host, besides = self._host_cpu() - host, self._besides_cpu() - besides
        used = self.memory()
        self._leave.set()
        sessions = self._cell["sessions"]
        return {
            "sessions": sessions,
            "side": self._cell["side"],
            "turns/s": len(self._latencies) / seconds,
            "p50 ms": statistics.median(self._latencies) * 1e3,
            "p99 ms": statistics.quantiles(self._latencies, n=100)[98] * 1e3,
            "host CPU us/msg": host / self._messages * 1e6,
            "all CPU us/msg": (host + besides) / self._messages * 1e6,
            "host KiB/session": (warm.host - baseline.host) / sessions,
            "all KiB/session": (sum(warm) - sum(baseline)) / sessions,
            "KiB/session at end": (sum(used) - sum(baseline)) / sessions,
            "besides KiB": warm.besides,
            "messages/turn": self._messages / len(self._latencies),
        }

    def memory(self) -> Memory:
        """What is resident now."""
        gc.collect()
        besides = sum(usage(pid).rss_kib for pid in helpers(self._cell["player"]))
        return Memory(usage(os.getpid()).rss_kib, besides)

    def _host_cpu(self) -> float:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return own.ru_utime + own.ru_stime

    def _besides_cpu(self) -> float:
        return sum(usage(pid).cpu_s for pid in helpers(self._cell["player"]))


async def measure_sdk(cell: Cell) -> dict[str, Any]:
    meter = Meter(cell, asyncio.Event)
    kinds = sdk_kinds()
    options = ClaudeAgentOptions(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)

    async def live(run: Life, warm: Flag) -> None:
        async with ClaudeSDKClient(options) as client:
            await run(lambda: sdk_turn(client, kinds), warm)

    await live(come_and_go, asyncio.Event())
    baseline = meter.memory()
    async with asyncio.TaskGroup() as group:
        for _ in range(cell["sessions"]):
            warm = asyncio.Event()
            group.create_task(live(meter.session, warm))
            await warm.wait()
        return await meter.watch(baseline)


async def sdk_turn(client: ClaudeSDKClient, kinds: Kinds) -> int:
    await client.query("go")
    return (await take(client.receive_response(), kinds)).messages


async def measure_triologue(cell: Cell) -> dict[str, Any]:
    meter = Meter(cell, trio.Event)
    kinds = our_kinds()
    options = tri.Options(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    # The other side has no bound either; ours would be twice the cores.
    limits = tri.Limits(max_live=cell["sessions"])
    async with tri.open_manager(tri.ClaudeCode(), options=options, limits=limits) as manager:

        async def live(key: str, run: Life, warm: Flag) -> None:
            session = manager.session(key)
            await run(lambda: our_turn(session, kinds), warm)

        await live("first", come_and_go, trio.Event())
        await manager.session("first").close()
        baseline = meter.memory()
        async with trio.open_nursery() as nursery:
            for number in range(cell["sessions"]):
                warm = trio.Event()
                nursery.start_soon(live, f"session:{number}", meter.session, warm)
                await warm.wait()
            return await meter.watch(baseline)


async def our_turn(session: tri.Session, kinds: Kinds) -> int:
    async with session.turn("go") as turn:
        return (await take(turn, kinds)).messages


async def come_and_go(turn: Turn, warm: Flag) -> None:
    """A session that only warms up the process."""
    await turn()
    warm.set()


def measure(cell: Cell) -> dict[str, Any]:
    return asyncio.run(measure_sdk(cell)) if cell["side"] == SDK else trio.run(measure_triologue, cell)


def main() -> None:
    samples: dict[tuple[int, str], list[dict[str, Any]]] = {(n, side): [] for n in TURNS for side in SIDES}
    with open_player() as player:
        environment = player.environment(corpus.turn())
        for _ in range(ROUNDS):
            for (sessions, side), taken in samples.items():
                cell = Cell(
                    side=side,
                    sessions=sessions,
                    turns=TURNS[sessions],
                    player=str(player.path),
                    environment=environment,
                )
                taken.append(fresh(__file__, **cell))
    rows = {cell: medians(taken) for cell, taken in samples.items()}
    targets = [
        Target("turns/s, 100 sessions", _ratio("turns/s", samples[100, OURS], samples[100, SDK]), TURNS_TARGET),
        Target(
            "memory a live session",
            _ratio("all KiB/session", samples[100, SDK], samples[100, OURS]),
            MEMORY_TARGET,
        ),
    ]
    unequal = [n for n in TURNS if rows[n, SDK]["messages/turn"] != rows[n, OURS]["messages/turn"]]
    report("turns a second", list(rows.values()), [] if unequal else targets)
    if unequal:
        raise SystemExit(f"void: with {unequal} sessions the sides did not see the same messages")


def _ratio(what: str, more: list[dict[str, Any]], less: list[dict[str, Any]]) -> float:
    """The median of the rounds' ratios: a machine that is slow for some seconds is so for both sides of a round."""
    return statistics.median(a[what] / max(b[what], 1.0) for a, b in zip(more, less, strict=True))


if __name__ == "__main__":
    bench(main, measure)
