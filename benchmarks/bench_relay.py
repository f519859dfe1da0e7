"""From the agents' pipes to WebSockets: processor time an event, and how late it comes, with 400 sessions at 50 events a second.

The peer is what a team writes around the vendor's SDK: `ClaudeSDKClient`, and the `websockets` library with lean JSON (of a
partial its event, and no copy of it by `asdict`). Ours is a gateway. Every cell is a process of its own, and so are its
clients, which are the same program for both sides.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final, TypedDict, final

import corpus
import trio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage, StreamEvent
from harness import Target, bench, fresh, helpers, medians, open_player, report, usage
from websockets.asyncio.server import ServerConnection, serve

import triologue as tri

PEER: Final = "claude-agent-sdk + websockets"
AT_ONCE: Final = "triologue, at once"
GATHERED: Final = "triologue, text gathered for 50 ms"
GATHERED_MS = 50

REPETITIONS = 3
SESSIONS = 400
INTERVAL_MS = 20
DELTAS = 490  # and ten lines around them: ten seconds
STARTING = 8  # sessions that are opened at a time
AT_ONCE_TARGET, GATHERED_TARGET = 2.0, 5.0
LOOK_EVERY = 0.05  # seconds between two looks at how late the loop is


class Cell(TypedDict):
    """One measurement."""

    side: str
    sessions: int
    player: str
    environment: dict[str, str]


@final
class Meter:
    """Takes the numbers of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.events = 0
        self._lags_ms: list[float] = []

    def begin(self) -> None:
        """The clock runs."""
        gc.collect()
        self._cpu, self._besides, self._start = time.process_time(), self._besides_cpu(), time.perf_counter()

    def looked(self, late: float) -> None:
        """The loop came so many seconds late to a timer."""
        self._lags_ms.append(late * 1e3)

    def end(self, told: str) -> dict[str, Any]:
        """The row; with what the clients have told."""
        seconds = time.perf_counter() - self._start
        cpu = time.process_time() - self._cpu + self._besides_cpu() - self._besides
        return {
            "side": self._cell["side"],
            "sessions": self._cell["sessions"],
            "events/s": self.events / seconds,
            "CPU us/event": cpu / self.events * 1e6,
            "CPU %": cpu / seconds * 100,
            "loop lag p99 ms": statistics.quantiles(self._lags_ms, n=100)[98],
            **json.loads(told),
        }

    def _besides_cpu(self) -> float:
        return sum(usage(pid).cpu_s for pid in helpers(self._cell["player"]) if pid != self.clients)

    clients = 0
    """The process of the clients, which is not counted."""


def clients_command(cell: Cell, url: str, hello: list[dict[str, Any]], answers: int) -> list[str]:
    job = {
        "url": url,
        "clients": cell["sessions"],
        "hello": list(map(json.dumps, hello)),
        "answers": answers,
        "turns": 1,
        "stuck": 0,
    }
    return [sys.executable, str(Path(__file__).with_name("viewers.py")), json.dumps(job)]


async def measure_peer(cell: Cell) -> dict[str, Any]:
    meter = Meter(cell)
    options = ClaudeAgentOptions(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    starting, go = asyncio.Semaphore(STARTING), asyncio.Event()
    clients: dict[int, ClaudeSDKClient] = {}

    async def open_one(number: int) -> None:
        async with starting:
            clients[number] = ClaudeSDKClient(options)
            await clients[number].connect()
        await clients[number].query("go")
        async for _ in clients[number].receive_response():
            pass

    async def relay(socket: ServerConnection) -> None:
        client = clients[int(socket.request.path.removeprefix("/"))]  # type: ignore[union-attr]
        await go.wait()
        await client.query("go")
        async for message in client.receive_response():
            meter.events += 1
            await socket.send(lean(message))
        await socket.wait_closed()

    async def look() -> None:
        while True:
            due = time.perf_counter() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            meter.looked(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(cell["sessions"]):
            group.create_task(open_one(number))
    async with serve(relay, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        command = clients_command(cell, f"ws://127.0.0.1:{port}/{{n}}", [], 0)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        meter.clients = process.pid
        await process.stdout.readline()
        meter.begin()
        looking = asyncio.create_task(look())
        go.set()
        told = await process.stdout.readline()
        row = meter.end(told.decode())
        looking.cancel()
        await process.wait()
    for client in clients.values():
        await client.disconnect()
    return row


def lean(message: Any) -> str:
    """As JSON, with no copy of what is large."""
    if isinstance(message, StreamEvent):
        return json.dumps({"type": "stream_event", "event": message.event, "uuid": message.uuid}, separators=(",", ":"))
    kind = "result" if isinstance(message, ResultMessage) else type(message).__name__
    fields = {name: value for name, value in vars(message).items() if value is not None}
    return json.dumps({"type": kind, **fields}, default=vars, separators=(",", ":"))


async def measure_triologue(cell: Cell) -> dict[str, Any]:
    meter = Meter(cell)
    options = tri.Options(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    limits = tri.Limits(max_starting=STARTING, max_live=cell["sessions"])
    gateway_limits = tri.GatewayLimits(connections=cell["sessions"] + 8)
    gathered = GATHERED_MS if cell["side"] == GATHERED else 0
    hello = [
        {"type": "hello"},
        {"type": "attach", "id": 1, "key": "session:{n}", "coalesce_ms": gathered},
    ]
    async with (
        tri.open_manager(tri.ClaudeCode(), options=options, limits=limits) as manager,
        tri.open_gateway(manager, port=0, limits=gateway_limits) as gateway,
        trio.open_nursery() as nursery,
    ):
        sessions = [manager.session(f"session:{number}") for number in range(cell["sessions"])]
        async with trio.open_nursery() as starting:
            for session in sessions:
                starting.start_soon(session.ask, "go")
        command = clients_command(cell, f"ws://127.0.0.1:{gateway.port}/v1", hello, 2)
        process = await trio.lowlevel.open_process(command, stdout=-1)
        assert process.stdout is not None
        meter.clients = process.pid
        await a_line(process.stdout)
        meter.begin()
        nursery.start_soon(look, meter)
        for session in sessions:
            await session.send("go")
        told = await a_line(process.stdout)
        meter.events = cell["sessions"] * corpus.flood(DELTAS).count(b"\n")
        row = meter.end(told.decode())
        await process.wait()
        nursery.cancel_scope.cancel()
    return row


async def a_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive_some()
    return line


async def look(meter: Meter) -> None:
    while True:
        due = trio.current_time() + LOOK_EVERY
        await trio.sleep(LOOK_EVERY)
        meter.looked(trio.current_time() - due)


def measure(cell: Cell) -> dict[str, Any]:
    return asyncio.run(measure_peer(cell)) if cell["side"] == PEER else trio.run(measure_triologue, cell)


def main() -> None:
    sides = (PEER, AT_ONCE, GATHERED)
    samples: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with open_player() as player:
        turns = corpus.flood(1), corpus.flood(DELTAS)
        environment = player.environment(*turns, mode="trickle") | {"PLAYER_INTERVAL": str(INTERVAL_MS)}
        for _ in range(REPETITIONS):
            for side, taken in samples.items():
                taken.append(
                    fresh(__file__, side=side, sessions=SESSIONS, player=str(player.path), environment=environment)
                )
    rows = {side: medians(taken) for side, taken in samples.items()}
    cost: dict[str, float] = {side: row["CPU us/event"] for side, row in rows.items()}
    targets = [
        Target("CPU an event, at once", cost[PEER] / cost[AT_ONCE], AT_ONCE_TARGET),
        Target("CPU an event, gathered for 50 ms", cost[PEER] / cost[GATHERED], GATHERED_TARGET),
    ]
    report("from pipe to WebSocket", list(rows.values()), targets)


if __name__ == "__main__":
    bench(main, measure)
