"""The demo: a manager, many conversations, a view of them, and the books at the end."""

import gc
import signal
import sys

import trio
from msgspec import Struct
from rich.console import Console

from triologue.agents import AGENTS
from triologue.cli.demo.machine import Belongings, agents_memory, own_memory
from triologue.cli.demo.play import Player
from triologue.cli.demo.report import Measures, is_good, report
from triologue.cli.demo.story import Story, write_stories
from triologue.cli.demo.tally import Tally
from triologue.cli.demo.view import make_view
from triologue.cli.endings import ExitCode
from triologue.cli.interrupting import draining_on
from triologue.cli.offline import offline_agent
from triologue.engine import Transcripts
from triologue.manager import SessionManager, open_manager
from triologue.options import Deadlines, Limits, Options
from triologue.ports import Agent

SESSIONS = {"embedded": 200}
SESSIONS_OF_A_CLI = 4
"""How many by default. A CLI is a process of some 200 MB, and its turns cost money."""
DEADLINES = Deadlines(drain=2)
"""Who stops a demo does not want to see much more of it."""
RECORDS_PER_TURN = 40
# The whole log of each conversation is checked in the end.
LOG_BYTES = 64 * 1024 * 1024


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    agent: str = "embedded"
    sessions: int | None = None
    turns: int = 5
    seed: int = 1
    pace: float = 0.04
    model: str | None = None


async def run_demo(options: DemoOptions, console: Console) -> ExitCode:
    """Run the conversations, show them, and tell what happened.

    Raises:
        TriologueError: the agent cannot be started.
    """
    stories = _stories(options)
    forks = sum(story.kind == "forked" for story in stories)
    tally = Tally(conversations=len(stories) + forks, turns=sum(_turns_of(story) for story in stories))
    console.print(
        f"{len(stories)} conversations at once on [bold]{options.agent}[/], "
        f"{tally.expected} turns, some interrupted, forked or resumed (seed {options.seed})",
        soft_wrap=True,
    )
    # Earlier garbage would be counted as, or hide, what the conversations use.
    gc.collect()
    memory, before = own_memory(), Belongings.now()
    limits = Limits(log=max(1_000, RECORDS_PER_TURN * options.turns), log_bytes=LOG_BYTES)
    wanted = Options(include_partial_messages=True, model=options.model)
    async with (
        draining_on(signal.SIGINT, signal.SIGTERM) as drain,
        open_manager(_agent(options), options=wanted, limits=limits, deadlines=DEADLINES) as manager,
    ):
        drain.manager = manager
        player = Player(manager, tally)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_view(console, manager, tally).run)
            await player.play_all(stories)
            nursery.cancel_scope.cancel()
        seconds = trio.current_time() - began
        await player.audit()
        used = _measure(manager, memory)
    if drain.code is not None:
        sys.stderr.write("triologue: interrupted; nothing of it is left running\n")
        return drain.code
    leaks = Belongings.now().leaked_since(before, player.pids)
    live, own, agents, cost = used
    if options.agent == "embedded":
        cost = None  # the offline model's prices are made up
    measures = Measures(seconds=seconds, live=live, own_memory=own, agents_memory=agents, cost_usd=cost, leaks=leaks)
    report(console, tally, measures)
    return ExitCode.OK if is_good(tally, measures) else ExitCode.FAILED


def _measure(manager: SessionManager, memory_before: int) -> tuple[int, int, int | None, float | None]:
    """Live agents, bytes of ours, bytes of theirs, dollars: while everything is still alive."""
    sessions = manager.sessions()
    pids = [session.pid for session in sessions if session.pid is not None]
    costs = [session.total_cost_usd for session in sessions if session.total_cost_usd is not None]
    live = manager.statistics().live
    return live, max(0, own_memory() - memory_before), agents_memory(pids) if pids else None, sum(costs) or None


def _stories(options: DemoOptions) -> list[Story]:
    is_embedded = options.agent == "embedded"
    sessions = SESSIONS.get(options.agent, SESSIONS_OF_A_CLI) if options.sessions is None else options.sessions
    return list(
        write_stories(
            sessions,
            options.turns,
            seed=options.seed,
            has_tools=is_embedded,
            spread=options.pace * 50 if is_embedded else 0.0,
        )
    )


def _turns_of(story: Story) -> int:
    extra = {"interrupted": 1, "forked": 2}.get(story.kind, 0)
    return 2 + len(story.chatter) + extra


def _agent(options: DemoOptions) -> Agent:
    if options.agent != "embedded":
        return AGENTS[options.agent]()
    return offline_agent(pace=options.pace, transcripts=Transcripts())
