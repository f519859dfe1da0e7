"""The end that is asked for while the block runs: by a signal, by `manager.drain()`, from inside a turn."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.support.ctrl_c import Press
from tests.support.scripted_agent import ScriptedAgent
from tests.support.slow_store import SlowStore, kinds
from tests.unit.manager.stage import scripted
from triologue.actors import Turn
from triologue.agents import Embedded
from triologue.engine import OfflineModel
from triologue.errors import InvalidOption, ManagerClosed, TurnInterrupted
from triologue.manager import open_manager
from triologue.options import Deadlines
from triologue.ports import Record
from triologue.testing import run_virtual

NIGHT = Deadlines(drain=30)


async def serve() -> None:
    """What a bot does in its manager's block."""
    await trio.sleep_forever()


async def test_what_runs_may_end_and_then_the_block_does(autojump_clock: MockClock) -> None:
    told: list[str] = []
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        running, waiting = await session.send("wait 20"), await session.send("next")
        await wait_all_tasks_blocked()
        manager.drain()
        with pytest.raises(ManagerClosed):
            await session.send("too late")
        try:
            await serve()
        finally:
            told.append(f"left after {trio.current_time():g} s")
    assert told == ["left after 20 s"]
    assert [running.outcome and running.outcome.kind, waiting.outcome and waiting.outcome.kind] == [
        "answered",
        "cancelled",
    ]
    assert isinstance(waiting.outcome and waiting.outcome.error, ManagerClosed)


async def test_what_is_sent_again_under_its_id_is_the_turn_that_runs_or_waits(autojump_clock: MockClock) -> None:
    again: list[Turn] = []
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        turns = [await session.send("wait 20", id="1"), await session.send("next", id="2")]
        await wait_all_tasks_blocked()
        manager.drain()
        again += [await session.send("wait 20", id="1"), await session.send("next", id="2")]
        with pytest.raises(InvalidOption, match="another prompt"):
            await session.send("something else", id="2")
        with pytest.raises(ManagerClosed):
            await session.send("too late", id="3")
        await serve()
    assert again == turns
    with pytest.raises(ManagerClosed):
        await session.send("wait 20", id="1")


async def test_what_runs_too_long_is_interrupted(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        turn = await session.send("wait 100")
        await wait_all_tasks_blocked()
        manager.drain()
        with pytest.raises(TurnInterrupted, match=r"interrupted \(drain\)"):
            (await turn.wait()).unwrap()
        await serve()
    assert trio.current_time() == 30
    assert turn.outcome is not None
    assert turn.outcome.reason == "drain"


async def test_so_does_one_that_has_to_be_killed_and_one_that_was_stopped_before_was_not_stopped_for_that(
    autojump_clock: MockClock,
) -> None:
    async with scripted(deadlines=Deadlines(drain=30, interrupt=5)) as (session, _, manager):
        turn, before = await session.send("deaf"), await manager.session("other").send("deaf")
        await wait_all_tasks_blocked()
        manager.drain()
        await trio.sleep(28)
        before.withdraw()
        await serve()
    assert trio.current_time() == 35
    assert [outcome and (outcome.kind, outcome.reason) for outcome in (turn.outcome, before.outcome)] == [
        ("interrupted", "drain"),
        ("interrupted", "killed: it did not stop within Deadlines.interrupt"),
    ]


async def test_asked_twice_it_interrupts_at_once(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        turn = await session.send("wait 100")
        await wait_all_tasks_blocked()
        manager.drain()
        await trio.sleep(1)
        manager.drain()
        manager.drain()
        await serve()
    assert trio.current_time() == 1
    assert turn.outcome is not None
    assert turn.outcome.kind == "interrupted"


async def test_leaving_the_block_meanwhile_waits_for_the_drain(autojump_clock: MockClock) -> None:
    async with scripted(deadlines=NIGHT) as (session, _, manager):
        turn = await session.send("wait 20")
        await wait_all_tasks_blocked()
        manager.drain()
        await session.send("a handler that did not expect it")
    assert trio.current_time() == 20
    assert turn.outcome is not None
    assert turn.outcome.kind == "answered"


class Library(SlowStore):
    """Somebody does something while it looks a turn up."""

    reading: Callable[[], None] = staticmethod(lambda: None)

    async def read(self, key: str, *, after: int = 0, limit: int = 1000, turn_id: str | None = None) -> list[Record]:
        records = await self.kept.read(key, after=after, limit=limit, turn_id=turn_id)
        self.reading()
        return records


async def test_what_comes_in_while_the_store_is_read_is_refused_once_the_drain_has_begun(
    autojump_clock: MockClock,
) -> None:
    store = Library()
    async with scripted(deadlines=NIGHT, store=store.as_store) as (session, _, manager):
        await session.ask("a", id="1")
        await session.hibernate()
        store.reading = manager.drain
        with pytest.raises(ManagerClosed):
            await session.send("wait 100", id="2")
        await serve()
    assert await kinds(store.kept, "k") == ["#turn_accepted", "#turn_started", "#turn_ended"]


async def test_who_recovers_meanwhile_hears_of_it_and_the_rest_stays_as_it_is(autojump_clock: MockClock) -> None:
    store, agent = Library(), ScriptedAgent()
    async with scripted(agent, deadlines=Deadlines(drain=0), store=store.kept) as (_, _, manager):
        for key in "abc":
            await manager.session(key).send("wait 100")
            await manager.session(key).send("next")
    async with scripted(agent, store=store.as_store) as (_, _, manager):
        store.reading = manager.drain
        with pytest.raises(ManagerClosed):
            await manager.recover()
        await serve()
    async with scripted(agent, store=store.kept) as (_, _, manager):
        assert [(await each.turn.wait()).kind for each in await manager.recover()] == ["answered"] * 3


async def test_an_error_of_the_block_comes_out_after_the_drain(autojump_clock: MockClock) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with scripted(deadlines=NIGHT) as (session, _, manager):
            await session.send("wait 20")
            await wait_all_tasks_blocked()
            manager.drain()
            raise ExceptionGroup("handlers", [ManagerClosed("too late"), LookupError("a bug")])
    assert trio.current_time() == 20
    assert list(map(repr, caught.value.exceptions)) == [repr(LookupError("a bug"))]


async def test_whoever_cancels_the_block_does_not_wait_for_the_drain(autojump_clock: MockClock) -> None:
    with trio.move_on_after(5) as scope:
        async with scripted(deadlines=NIGHT) as (session, _, manager):
            await session.send("wait 20")
            await wait_all_tasks_blocked()
            manager.drain()
            await serve()
    assert trio.current_time() == 5
    assert scope.cancelled_caught


@pytest.mark.parametrize(("presses", "seconds", "kind"), [((1,), 3, "interrupted"), ((1, 2), 2, "failed")])
def test_ctrl_c_interrupts_what_the_drain_waits_for_and_again_it_waits_for_nothing(
    presses: tuple[int, ...], seconds: int, kind: str
) -> None:
    async def press() -> None:
        for moment in presses:
            await trio.sleep_until(moment)
            signal.raise_signal(signal.SIGINT)

    async def story() -> None:
        try:
            async with scripted(deadlines=Deadlines(drain=30, interrupt=2)) as (session, _, _):
                turn = await session.send("deaf")
                await wait_all_tasks_blocked()
                trio.lowlevel.spawn_system_task(press)
        finally:
            assert turn.outcome is not None
            ends.append((trio.current_time(), turn.outcome.kind))

    ends: list[tuple[float, str]] = []
    with pytest.raises(KeyboardInterrupt):
        run_virtual(story)
    assert ends == [(seconds, kind)]


@pytest.mark.parametrize("at", range(1, 12))
def test_ctrl_c_while_it_is_opened_ends_it(at: int) -> None:
    async def story() -> None:
        async with open_manager(Embedded()):
            await trio.sleep_forever()

    with pytest.raises(BaseException) as stopped:
        run_virtual(story, instruments=[Press(at)])
    assert BaseExceptionGroup("", [stopped.value]).split(KeyboardInterrupt)[1] is None


def test_ctrl_c_does_not_hide_the_error_that_the_block_is_left_by() -> None:
    async def press() -> None:
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)

    async def story() -> None:
        async with scripted(deadlines=NIGHT) as (session, _, _):
            await session.send("deaf")
            await wait_all_tasks_blocked()
            trio.lowlevel.spawn_system_task(press)
            raise LookupError("a bug")

    with pytest.raises(KeyboardInterrupt) as stopped:
        run_virtual(story)
    assert repr(stopped.value.__context__) == repr(LookupError("a bug"))


async def test_a_drain_that_a_turn_asks_for_ends(autojump_clock: MockClock) -> None:
    async def shut_down() -> str:
        """End the program."""
        manager.drain()
        await trio.sleep(3)
        return "good night"

    async with open_manager(Embedded(model=OfflineModel(), tools=[shut_down]), deadlines=NIGHT) as manager:
        result = await manager.session("k").ask("Call shut_down()")
        assert result.result == "The tool shut_down says: good night."
        await serve()
    assert trio.current_time() == 3


async def test_a_drain_that_a_plain_function_asks_for_in_its_thread_ends() -> None:
    def shut_down() -> str:
        """Stop the bot."""
        manager.drain()
        return "good night"

    async with open_manager(Embedded(model=OfflineModel(), tools=[shut_down])) as manager:
        turn = await manager.session("k").send("Call shut_down()")
        await serve()
    assert (await turn.wait()).kind == "answered"
    await trio.to_thread.run_sync(manager.drain)  # changes nothing any more


@pytest.mark.parametrize("wrong", [signal.SIGTERM, "SIGTERM", (signal.SIGKILL,), ("SIGTERM",), (4711,)])
async def test_only_signals_that_can_be_heard_drain(wrong: object) -> None:
    with pytest.raises(InvalidOption, match=r"drain_on=.*: give a tuple of signals"):
        async with open_manager(Embedded(), drain_on=wrong):  # type: ignore[arg-type]
            pass


def test_only_the_main_thread_hears_signals() -> None:
    async def main() -> None:
        with pytest.raises(InvalidOption, match="only the main thread hears of signals"):
            async with open_manager(Embedded(), drain_on=(signal.SIGTERM,)):
                pass
        ran.append(True)

    ran: list[bool] = []
    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    thread.join()
    assert ran == [True]


# Real signals.

BOT = """
import logging, os, signal, sys, trio
import triologue as tri
from triologue.engine import OfflineModel

async def stop():
    os.kill(os.getpid(), signal.SIGTERM)
    await trio.sleep(0.2)
    return "stopping"

async def work(prompt):
    turn = await manager.session("k").send(prompt)
    async for message in turn:
        print("on it", flush=True)
        break
    outcome = await turn.wait()
    print(outcome.kind, flush=True)

async def main(prompt):
    global manager
    agent = tri.Embedded(model=OfflineModel(), tools=[stop])
    async with tri.open_manager(agent, drain_on=(signal.SIGTERM, signal.SIGINT)) as manager:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, prompt)
            await trio.sleep_forever()
    print("good night", flush=True)

logging.basicConfig(level=logging.INFO, format="%(message)s")
trio.run(main, sys.argv[1])
"""


@contextmanager
def bot(prompt: str) -> Iterator[subprocess.Popen[str]]:
    """A bot in the middle of a turn."""
    argv, pipe = [sys.executable, "-c", BOT, prompt], subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "on it\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_bot_in_good_order(number: signal.Signals) -> None:
    with bot("Wait 0.5 seconds") as process:
        process.send_signal(number)
        assert process.communicate()[0] == "answered\ngood night\n"
        assert process.returncode == 0


def test_the_second_signal_does_not_wait() -> None:
    with bot("Wait 3600 seconds") as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        said, logged = process.communicate()
        assert said == "interrupted\ngood night\n"
        first, second = logged.splitlines()[-2:]
        assert {first[:3], second[:3]} == {"SIG"}  # two that come at once may come in any order
        assert (first.partition(": ")[2], second.partition(": ")[2]) == (
            "the manager begins to drain",
            "what still runs is interrupted",
        )
        assert process.returncode == 0


def test_a_signal_that_a_tool_sends_ends_it_too() -> None:
    with bot("Call stop()") as process:
        assert process.communicate()[0] == "answered\ngood night\n"
        assert process.returncode == 0
