"""How long `interrupt()` takes while messages are unread: a few, and ten thousand.

The agent has said everything and waits, its reader has stopped after the first message, and the turn is interrupted.
What has not come back after five seconds is cut off.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, TypedDict

import corpus
import trio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient
from harness import OURS, SDK, SIDES, bench, fresh, medians, open_player, report, usage

import triologue as tri

REPETITIONS = 3
UNREAD = (20, 10_000)
CUT_OFF = 5.0  # s
CUT = "cut off"
STEP, QUIET = (
    0.05,
    0.3,
)  # s: how often it is looked whether the host is still taking messages in, and for how long it must be quiet


class Cell(TypedDict):
    """One measurement."""

    side: str
    unread: int
    player: str
    environment: dict[str, str]


async def interrupt_sdk(cell: Cell) -> dict[str, Any]:
    options = ClaudeAgentOptions(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    client = ClaudeSDKClient(options)
    await client.connect()
    await client.query("go")
    reader = aiter(client.receive_messages())
    await anext(reader)
    await _settle(asyncio.sleep)
    start = time.perf_counter()
    try:
        async with asyncio.timeout(CUT_OFF):
            await client.interrupt()
        answer = "returned"
    except TimeoutError:
        answer = CUT
    row = _row(cell, start, answer)
    await client.disconnect()
    return row


async def interrupt_triologue(cell: Cell) -> dict[str, Any]:
    options = tri.Options(cli_path=cell["player"], env=cell["environment"], include_partial_messages=True)
    async with tri.open_manager(tri.ClaudeCode(), options=options) as manager:
        session = manager.session("bench")
        # A reader that has begun, and stopped: with none at all the partials would not even be kept.
        reader = aiter(await session.send("go"))
        await anext(reader)
        await _settle(trio.sleep)
        start = time.perf_counter()
        answer = CUT
        with trio.move_on_after(CUT_OFF):
            answer = await session.interrupt()
        return _row(cell, start, answer)


async def _settle(sleep: Callable[[float], Any]) -> None:
    """Wait until this process has been idle for a while: it has then taken in all that it will."""
    quiet, before = 0.0, -1.0
    while quiet < QUIET:
        await sleep(STEP)
        now = usage(os.getpid()).cpu_s
        quiet = quiet + STEP if now - before < STEP / 2 else 0.0
        before = now


def _row(cell: Cell, start: float, answer: str) -> dict[str, Any]:
    milliseconds = (time.perf_counter() - start) * 1e3
    return {"unread": cell["unread"], "side": cell["side"], "interrupt ms": milliseconds, "answer": answer}


def measure(cell: Cell) -> dict[str, Any]:
    return asyncio.run(interrupt_sdk(cell)) if cell["side"] == SDK else trio.run(interrupt_triologue, cell)


def main() -> None:
    samples: dict[tuple[int, str], list[dict[str, Any]]] = {(n, side): [] for n in UNREAD for side in SIDES}
    with open_player() as player:
        for _ in range(REPETITIONS):
            for (unread, side), taken in samples.items():
                environment = player.environment(corpus.flood(unread), mode="hold")
                taken.append(
                    fresh(__file__, **Cell(side=side, unread=unread, player=str(player.path), environment=environment))
                )
    rows = {cell: medians(taken) for cell, taken in samples.items()}
    report("interrupt with unread messages", list(rows.values()), [])
    answers = {sample["answer"] for unread in UNREAD for sample in samples[unread, OURS]}
    if answers != {"stopped"}:
        raise SystemExit(f"interrupt() should have stopped the turn: {answers}")


if __name__ == "__main__":
    bench(main, measure)
