"""Coming back to a gateway: how long 300 missed events take, and how long a ping and an interrupt wait during 20 MB of them.

The session is on a scripted agent, which echoes, and keeps its log in memory. The client is a process of its own, made with the
`websockets` library; a time is from its first byte, or from its request, to the last frame that belongs to it.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from typing import Any, Final

import trio
from harness import Target, report
from websockets.asyncio.client import ClientConnection, connect

import triologue as tri
from triologue.testing import ScriptedAgent

MISSED = 300
TIMES = 200
TEXT_CHARACTERS = 20_000
LONG_TURNS = 250  # about 20 MB
ASK_EVERY = 0.002  # seconds
COMING_BACK_TARGET_MS, ANSWER_TARGET_MS = 50.0, 10.0

REPLIES: Final = {"ping": "pong", "interrupt": "interrupted"}


async def fill() -> tuple[dict[str, Any], dict[str, Any]]:
    """A gateway with a session that has said much, and what its client measured: coming back, and asking meanwhile."""
    limits = tri.Limits(log=1 << 20, log_bytes=1 << 28)
    async with (
        tri.open_manager(ScriptedAgent(), limits=limits) as manager,
        tri.open_gateway(manager, port=0) as gateway,
    ):
        short, long = manager.session("short"), manager.session("long")
        while short.statistics().records < MISSED:
            await short.ask("hello")
        for _ in range(LONG_TURNS):
            await long.ask("x" * TEXT_CHARACTERS)
        job = {"url": f"{gateway.url}/v1", "short": short.statistics().records, "long": long.statistics().records}
        done = await trio.run_process([sys.executable, __file__, "--client", json.dumps(job)], capture_stdout=True)
    coming, asking = json.loads(done.stdout)
    return coming, asking


async def opened(url: str, key: str, after: int) -> ClientConnection:
    protocols: Any = ["triologue.v1"]
    socket = await connect(url, subprotocols=protocols, compression=None, max_size=None, proxy=None)
    await socket.send('{"type":"hello"}')
    await socket.send(json.dumps({"type": "attach", "id": 0, "key": key, "after": after}))
    return socket


async def come_back(url: str, last: int) -> float:
    """Read what was missed; gives milliseconds."""
    began = time.perf_counter()
    socket = await opened(url, "short", last - MISSED)
    seen: list[int] = []
    while len(seen) < MISSED:
        frame = json.loads(await socket.recv())
        seen += [event["seq"] for event in frame.get("events", [])]
    took = (time.perf_counter() - began) * 1e3
    if seen != list(range(last - MISSED + 1, last + 1)):
        raise SystemExit(f"not what was missed: {seen}")
    await socket.close()
    return took


async def ask_meanwhile(url: str, last: int) -> dict[str, Any]:
    """Read a long log, and ask all the time; gives milliseconds."""
    socket = await opened(url, "long", 0)
    asked: dict[int, tuple[str, float]] = {}
    took: dict[str, list[float]] = {kind: [] for kind in REPLIES}

    async def ask() -> None:
        for number, kind in zip(itertools.count(1), itertools.cycle(REPLIES)):
            asked[number] = (kind, time.perf_counter())
            await socket.send(json.dumps({"type": kind, "id": number, "key": "long"}))
            await asyncio.sleep(ASK_EVERY)

    began, position, size = time.perf_counter(), 0, 0
    asking = asyncio.create_task(ask())
    while position < last:
        text = await socket.recv(decode=False)
        now = time.perf_counter()
        size += len(text)
        if text.startswith(b'{"type":"events"'):
            position = json.loads(text)["events"][-1]["seq"]
        elif (number := json.loads(text).get("re")) in asked:
            kind, at = asked.pop(number)
            took[kind].append((now - at) * 1e3)
    asking.cancel()
    seconds = time.perf_counter() - began
    await socket.close()
    return {
        "what": "asking while much is read",
        "MB": size / 1e6,
        "MB/s": size / 1e6 / seconds,
        **{f"{kind} {name}": value for kind in took for name, value in spread(took[kind])},
    }


def spread(values: list[float]) -> list[tuple[str, float]]:
    return [
        ("p50 ms", statistics.median(values)),
        ("p99 ms", statistics.quantiles(values, n=100)[98]),
        ("times", len(values)),
    ]


async def client(job: dict[str, Any]) -> None:
    coming = [await come_back(job["url"], job["short"]) for _ in range(TIMES)]
    row = {"what": f"coming back over {MISSED} events", **dict(spread(coming))}
    print(json.dumps([row, await ask_meanwhile(job["url"], job["long"])]))


def main() -> None:
    coming, asking = trio.run(fill)
    targets = [Target("50 ms against the p99 of coming back", COMING_BACK_TARGET_MS / coming["p99 ms"], 1.0)]
    targets += [
        Target(f"10 ms against the p99 of {kind}", ANSWER_TARGET_MS / asking[f"{kind} p99 ms"], 1.0) for kind in REPLIES
    ]
    report("coming back", [coming, asking], targets)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        asyncio.run(client(json.loads(sys.argv[2])))
    else:
        main()
