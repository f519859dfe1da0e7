"""The clients of `bench_relay` and `bench_viewers`: a process of its own, with many WebSockets, the same for all sides.

Prints a line when all are connected, and one with what they saw when all have had their result. Only then do they close.
"""

import asyncio
import json
import re
import resource
import statistics
import sys
import time
from typing import Any, TypedDict

from websockets.asyncio.client import ClientConnection, connect

STAMP = re.compile(r'"uuid":\s?"[0-9a-f-]{23}-([0-9a-f]{12})"')
PARTIAL, RESULT = '"stream_event"', '"subtype":"success"'
CONNECTING = 16  # at a time
LATEST_US = 60_000_000  # text that was joined has no time in its uuid, and other players than `player.c` write none
WATCHED = 10  # one client in so many looks how late its events come


class Job(TypedDict):
    """What to do."""

    url: str
    clients: int
    hello: list[str]
    """What each says when it is connected; `{n}` is its number."""
    answers: int
    """Frames that come back for it."""
    turns: int
    """Results that each waits for."""
    stuck: int
    """So many more say the same, and never read."""


class Seen:
    """What all clients saw."""

    def __init__(self) -> None:
        self.frames = self.bytes = self.connected = self.done = 0
        self.delays_us: list[int] = []
        self.all_connected, self.all_done = asyncio.Event(), asyncio.Event()


async def opened(job: Job, number: int) -> ClientConnection:
    """A connection that has said what is to be said, and has had its answers."""
    socket = await connect(
        job["url"].replace("{n}", str(number)),
        subprotocols=["triologue.v1"],  # type: ignore[list-item]
        compression=None,
        max_size=None,
        proxy=None,
        open_timeout=60,
    )
    for text in job["hello"]:
        await socket.send(text.replace("{n}", str(number)))
    for _ in range(job["answers"]):
        await socket.recv()
    return socket


async def client(job: Job, number: int, seen: Seen, connecting: asyncio.Semaphore) -> None:
    async with connecting:
        socket = await opened(job, number)
    seen.connected += 1
    if seen.connected == job["clients"]:
        seen.all_connected.set()
    is_watched, turns = number % WATCHED == 0, job["turns"]
    async for text in socket:
        seen.frames += 1
        seen.bytes += len(text)
        if is_watched and PARTIAL in text:  # type: ignore[operator]
            now = time.monotonic_ns() // 1000
            seen.delays_us += [
                delay
                for stamp in STAMP.findall(text)  # type: ignore[arg-type]
                if 0 <= (delay := now - int(stamp, 16)) < LATEST_US
            ]
        turns -= RESULT in text  # type: ignore[operator]
        if not turns:
            break
    seen.done += 1
    if seen.done == job["clients"]:
        tell(seen)
        seen.all_done.set()
    await seen.all_done.wait()
    await socket.close()


def tell(seen: Seen) -> None:
    told: dict[str, Any] = {"frames": seen.frames, "MB": seen.bytes / 1e6}
    if seen.delays_us:
        told["delay p50 ms"] = statistics.median(seen.delays_us) / 1e3
        told["delay p99 ms"] = statistics.quantiles(seen.delays_us, n=100)[98] / 1e3
    print(json.dumps(told), flush=True)


async def main(job: Job) -> None:
    seen, connecting = Seen(), asyncio.Semaphore(CONNECTING)
    stuck = [await opened(job, number) for number in range(job["stuck"])]
    async with asyncio.TaskGroup() as group:
        for number in range(job["clients"]):
            group.create_task(client(job, number, seen, connecting))
        await seen.all_connected.wait()
        print("connected", flush=True)
        await seen.all_done.wait()
    for socket in stuck:
        socket.transport.abort()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(json.loads(sys.argv[1])))
