"""The demo's checks find what they are there to find."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import trio
from rich.console import Console

import triologue as tri
from triologue.cli.demo.machine import Belongings
from triologue.cli.demo.play import Player
from triologue.cli.demo.report import Measures, is_good, report
from triologue.cli.demo.story import write_stories
from triologue.cli.demo.tally import Tally, percentile
from triologue.ports import ModelReply, ModelRequest

MEASURES = Measures(seconds=1.0, live=0, own_memory=0, agents_memory=None, cost_usd=None, leaks=[])


class Forgetful:
    """A model that knows nothing."""

    name = "forgetful"

    async def reply(self, request: ModelRequest, emit: Callable[[str], None]) -> ModelReply:
        await trio.lowlevel.checkpoint()
        return ModelReply(content=[tri.TextBlock(text="Hm.")], stop_reason="end_turn", model=self.name)


def test_the_same_seed_gives_the_same_stories() -> None:
    def write(seed: int) -> list[object]:
        return list(write_stories(20, 5, seed=seed, has_tools=True, spread=1.0))

    assert write(1) == write(1) != write(2)


async def test_an_answer_that_forgot_is_a_problem() -> None:
    tally = Tally(conversations=1, turns=2)
    (story,) = write_stories(1, 2, seed=1, has_tools=False, spread=0.0)
    async with tri.open_manager(tri.Embedded(model=Forgetful())) as manager:
        player = Player(manager, tally)
        await player.play_all([story])
        await player.audit()
    assert tally.lost() == 0
    (problem,) = tally.problems
    assert problem.startswith("chat-001: 'What is my number, and what is my town?' was answered wrongly: ")
    assert not is_good(tally, MEASURES)


async def test_a_turn_that_the_books_lack_is_a_problem() -> None:
    tally = Tally(conversations=1, turns=1)
    async with tri.open_manager(tri.Embedded()) as manager:
        await manager.session("unseen").ask("Hello")
        await Player(manager, tally).audit()
    assert tally.problems == ["the logs have 1 turns, and 0 were accepted"]


def test_a_turn_without_an_outcome_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(conversations=1, turns=2)
    assert is_good(tally, MEASURES)
    tally.accept("chat-001")
    tally.accept("chat-001").outcome = tri.Outcome(kind="interrupted")
    assert (tally.lost(), tally.done(), dict(tally.outcomes())) == (1, 1, {"interrupted": 1})
    assert not is_good(tally, MEASURES)
    report(Console(), tally, MEASURES)
    assert "lost turns" in (printed := capsys.readouterr().out)
    assert [line.split()[-1] for line in printed.splitlines() if "lost turns" in line] == ["1"]


async def test_what_is_left_behind_is_found() -> None:
    before = Belongings.now()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="lingering")
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            await trio.lowlevel.checkpoint()
            leaks = Belongings.now().leaked_since(before, {child.pid})
        nursery.cancel_scope.cancel()
    assert leaks[:2] == [f"process {child.pid}", "task lingering"]
    assert [leak.partition(":")[0].rstrip("0123456789") for leak in leaks[2:]] == ["open file "]
    assert Belongings.now().leaked_since(before, {child.pid}) == []


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert (percentile([], 50), percentile([7.0], 99)) == (0, 7)
