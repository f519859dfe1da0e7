"""Processor time an event when 500 sessions get a token each 20 ms, one a read; and how late the events come.

Every cell is a process of its own; the sides take turns, and so do the two ways in which triologue reads pipes. A session is
one task, the same on all sides, that reads a turn of 200 lines to its result. The C program that plays the CLI writes the time
into each event, and every tenth session looks at it.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, TypedDict, final

import corpus
import trio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient
from harness import OURS, SDK, Target, bench, fresh, helpers, medians, open_player, report, usage
from reading import Kinds, our_kinds, sdk_kinds, take

import triologue as tri
from triologue.manager import opening

PLAIN: Final = f"{OURS}, task per pipe"
SIDES: Final = (SDK, OURS, PLAIN)

REPETITIONS = 3
SESSIONS = 500
INTERVAL_MS = 20
DELTAS = 190  # and ten lines around them: four seconds
STARTING = 8  # sessions that are opened at a time
WATCHED = 10  # one session in so many looks how late its events come
CPU_TARGET = 3.0


class Cell(TypedDict):
    """One measurement."""

    side: str
    sessions: int
    player: str
    environment: dict[str, str]


Turn = Callable[[], AbstractAsyncContextManager[AsyncIterable[Any]]]
"""Begins a turn; inside are its messages."""


@final
class Meter:
    """Takes the numbers of one cell."""

    def __init__(self, cell: Cell, kinds: Kinds, flag: Callable[[], Any]) -> None:
        self._cell = cell
        self._kinds = kinds
        self._go, self._all_done, self._leave = flag(), flag(), flag()
        self._running = cell["sessions"]
        self._messages = 0
        self._delays_us: list[int] = []

    async def session(self, number: int, turn: Turn, warm: Any) -> None:
        """The life of one session: a turn to warm up, one on the clock, and then it stays until all is measured."""
        async with turn() as messages:
            await take(messages, self._kinds)
        warm.set()
        await self._go.wait()
        async with turn() as messages:
            tally = await take(messages if number % WATCHED else self._watched(messages), self._kinds)
        self._messages += tally.messages
        self._running -= 1
        if not self._running:
            self._all_done.set()
        await self._leave.wait()

    async def watch(self) -> dict[str, Any]:
        """Let the sessions go, all of which are warm, and measure."""
        gc.collect()
        cpu, besides, start = time.process_time(), self._besides_cpu(), time.perf_counter()
        self._go.set()
        await self._all_done.wait()
        seconds = time.perf_counter() - start
        cpu, besides = time.process_time() - cpu, self._besides_cpu() - besides
        self._leave.set()
        return {
            "side": self._cell["side"],
            "sessions": self._cell["sessions"],
            "events/s": self._messages / seconds,
            "CPU us/event": (cpu + besides) / self._messages * 1e6,
            "CPU %": (cpu + besides) / seconds * 100,
            "delay p50 ms": statistics.median(self._delays_us) / 1e3,
            "delay p99 ms": statistics.quantiles(self._delays_us, n=100)[98] / 1e3,
            "delay max ms": max(self._delays_us) / 1e3,
            "events/session": self._messages / self._cell["sessions"],
        }

    async def _watched(self, messages: AsyncIterable[Any]) -> AsyncIterable[Any]:
        async for message in messages:
            if isinstance(message, self._kinds.stream_event):
                self._delays_us.append(time.monotonic_ns() // 1000 - int(message.uuid[-12:], 16))
            yield message

    def _besides_cpu(self) -> float:
        return sum(usage(pid).cpu_s for pid in helpers(self._cell["player"]))


async def measure_sdk(cell: Cell) -> dict[str, Any]:
    meter = Meter(cell, sdk_kinds(), asyncio.Event)
    options = ClaudeAgentOptions(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    starting = asyncio.Semaphore(STARTING)

    async def live(number: int, warm: asyncio.Event) -> None:
        async with starting:
            client = ClaudeSDKClient(options)
            await client.connect()

        @asynccontextmanager
        async def turn() -> AsyncGenerator[AsyncIterable[Any]]:
            await client.query("go")
            yield client.receive_response()

        await meter.session(number, turn, warm)
        await client.disconnect()

    async with asyncio.TaskGroup() as group:
        warm = [asyncio.Event() for _ in range(cell["sessions"])]
        for number, flag in enumerate(warm):
            group.create_task(live(number, flag))
        for flag in warm:
            await flag.wait()
        return await meter.watch()


async def measure_triologue(cell: Cell) -> dict[str, Any]:
    if cell["side"] == PLAIN:  # what is chosen by platform has no public switch
        opening.open_carrier = partial(opening.open_carrier, shared_reader=False)
    meter = Meter(cell, our_kinds(), trio.Event)
    options = tri.Options(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    limits = tri.Limits(max_starting=STARTING, max_live=cell["sessions"])
    async with tri.open_manager(tri.ClaudeCode(), options=options, limits=limits) as manager:

        async def live(number: int, warm: trio.Event) -> None:
            session = manager.session(f"session:{number}")
            await meter.session(number, lambda: session.turn("go"), warm)

        async with trio.open_nursery() as nursery:
            warm = [trio.Event() for _ in range(cell["sessions"])]
            for number, flag in enumerate(warm):
                nursery.start_soon(live, number, flag)
            for flag in warm:
                await flag.wait()
            return await meter.watch()


def measure(cell: Cell) -> dict[str, Any]:
    return asyncio.run(measure_sdk(cell)) if cell["side"] == SDK else trio.run(measure_triologue, cell)


def main() -> None:
    samples: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with open_player() as player:
        turns = corpus.flood(1), corpus.flood(DELTAS)
        environment = player.environment(*turns, mode="trickle") | {"PLAYER_INTERVAL": str(INTERVAL_MS)}
        for _ in range(REPETITIONS):
            for side, taken in samples.items():
                taken.append(
                    fresh(__file__, side=side, sessions=SESSIONS, player=str(player.path), environment=environment)
                )
    rows = {side: medians(taken) for side, taken in samples.items()}
    cost = {side: row["CPU us/event"] for side, row in rows.items()}
    targets = [
        Target("CPU an event", cost[SDK] / cost[OURS], CPU_TARGET),
        Target("CPU an event, task per pipe", cost[SDK] / cost[PLAIN], None),
    ]
    unequal = len({row["events/session"] for row in rows.values()}) != 1
    report("tokens that trickle", list(rows.values()), [] if unequal else targets)
    if unequal:
        raise SystemExit("void: the sides did not see the same messages")


if __name__ == "__main__":
    bench(main, measure)
