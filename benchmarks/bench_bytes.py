"""Bytes to consumer: how many messages a second reach a loop that reads them, from the bytes that the agent wrote.

Both sides in turn, round by round, in one process. Two corpora of 16 MiB, and two ways in: `memory`, where only the pipe
is replaced and everything above it is real on both sides, and `process`, with a real process that writes them. The clock
runs from the prompt (`process`) or the first read after it (`memory`) to the result; a small turn before it has warmed
up the connection.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import corpus
import trio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient
from harness import OURS, SDK, SIDES, Player, Target, open_player, report
from reading import Tally, consume, our_kinds, sdk_kinds, take
from replay_sdk import ReplayTransport
from replay_triologue import ReplayAgent
from script import Script

import triologue as tri

ROUNDS = 9
TARGETS = {("partial", "memory", "takes"): 10.0, ("coarse", "memory", "takes"): 4.5}

Sample = tuple[Tally, float]
Consumer = Callable[[Any, Any], Awaitable[Tally]]

CONSUMERS: dict[str, Consumer] = {"takes": take, "reads": consume}


class Case(NamedTuple):
    """One corpus by one way in."""

    corpus: str
    way: str
    consumer: str
    turns: tuple[bytes, bytes]
    environment: dict[str, str]


async def read_with_sdk(client: ClaudeSDKClient, script: Script | None, consumer: Consumer) -> Sample:
    kinds = sdk_kinds()
    async with client:
        await client.query("warm up")
        await consume(client.receive_messages(), kinds)
        gc.collect()
        start = time.perf_counter()
        await client.query("go")
        tally = await consumer(client.receive_messages(), kinds)
        seconds = time.perf_counter() - (script.first_read if script else start)
    return tally, seconds


async def read_with_triologue(agent: Any, options: tri.Options, script: Script | None, consumer: Consumer) -> Sample:
    kinds = our_kinds()
    async with tri.open_manager(agent, options=options) as manager:
        session = manager.session("bench")
        await session.ask("warm up")
        gc.collect()
        start = time.perf_counter()
        async with session.turn("go") as turn:
            tally = await consumer(turn, kinds)
            seconds = time.perf_counter() - (script.first_read if script else start)
    return tally, seconds


def run_sdk(case: Case, player: Player) -> Sample:
    consumer = CONSUMERS[case.consumer]
    if case.way == "memory":
        script = Script(*case.turns)
        return asyncio.run(read_with_sdk(ClaudeSDKClient(transport=ReplayTransport(script)), script, consumer))
    options = ClaudeAgentOptions(cli_path=str(player.path), env=case.environment, include_partial_messages=True)
    return asyncio.run(read_with_sdk(ClaudeSDKClient(options), None, consumer))


def run_triologue(case: Case, player: Player) -> Sample:
    consumer = CONSUMERS[case.consumer]
    options = tri.Options(include_partial_messages=True)
    if case.way == "memory":
        script = Script(*case.turns)
        return trio.run(read_with_triologue, ReplayAgent(script), options, script, consumer)
    options.cli_path, options.env = str(player.path), case.environment
    return trio.run(read_with_triologue, tri.ClaudeCode(), options, None, consumer)


def measure(case: Case, player: Player) -> tuple[list[dict[str, Any]], Target]:
    """Interleaved rounds of one case; one row a side, and how often ours goes into theirs.

    That is the median of the rounds' ratios: a machine that is slow for some seconds is so for both sides of a round.
    """
    run = {SDK: run_sdk, OURS: run_triologue}
    samples: dict[str, list[Sample]] = {side: [] for side in SIDES}
    for side in SIDES:
        run[side](case, player)
    for _ in range(ROUNDS):
        for side in SIDES:
            samples[side].append(run[side](case, player))
    tallies = {tally for side in SIDES for tally, _ in samples[side]}
    if len(tallies) != 1:
        raise SystemExit(f"{case.corpus}, {case.way}: the sides did not see the same messages: {tallies}")
    messages = tallies.pop().messages
    seconds = {side: [taken for _, taken in samples[side]] for side in SIDES}
    ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds[SDK], seconds[OURS], strict=True))
    what = f"messages/s, {case.corpus}, {case.way}, {case.consumer}"
    target = Target(what, ratio, TARGETS.get((case.corpus, case.way, case.consumer)))
    return [_row(case, side, messages, seconds[side]) for side in SIDES], target


def _row(case: Case, side: str, messages: int, seconds: list[float]) -> dict[str, Any]:
    median = statistics.median(seconds)
    return {
        "corpus": case.corpus,
        "way in": case.way,
        "consumer": case.consumer,
        "side": side,
        "messages": messages,
        "messages/s": messages / median,
        "MB/s": len(case.turns[1]) / median / 1e6,
        "us/message": median / messages * 1e6,
        "slowest/median": max(seconds) / median,
    }


def main() -> None:
    warm_up = corpus.turn()
    rows, targets = list[dict[str, Any]](), list[Target]()
    with open_player() as player:
        for name, data in (("partial", corpus.partial()), ("coarse", corpus.coarse())):
            for way in ("memory", "process"):
                for consumer in CONSUMERS:
                    case = Case(name, way, consumer, (warm_up, data), player.environment(warm_up, data))
                    measured, target = measure(case, player)
                    rows += measured
                    targets.append(target)
    report("bytes to consumer", rows, targets)


if __name__ == "__main__":
    main()
