"""Running on a virtual clock: in no time, in an order that the seed decides, and never for ever."""

import random
import time
from pathlib import Path

import pytest
import trio

import triologue as tri
from triologue.testing import Hung, ScriptedAgent, Wait, run_virtual


async def sleep_long() -> float:
    await trio.sleep(86_400)
    return trio.current_time()


def test_a_day_takes_no_time() -> None:
    assert run_virtual(sleep_long) == 86_400


async def race() -> tuple[list[int], float]:
    order: list[int] = []

    async def runner(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(runner, number)
    return order, random.random()


def test_the_seed_decides_the_order_and_nothing_else_does() -> None:
    assert run_virtual(race, seed=1) == run_virtual(race, seed=1)
    assert len({str(run_virtual(race, seed=seed)) for seed in range(10)}) > 1


def test_the_dice_of_the_program_are_left_as_they_were() -> None:
    random.seed(7)
    first = random.random()
    random.seed(7)
    run_virtual(race, seed=3)
    assert random.random() == first


async def fail() -> None:
    await trio.sleep(1)
    raise KeyError("mine")


def test_errors_come_out_as_they_are() -> None:
    with pytest.raises(KeyError, match="mine"):
        run_virtual(fail)


async def work_in_a_thread() -> float:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 3600)
        await trio.to_thread.run_sync(time.sleep, 0.01, limiter=trio.CapacityLimiter(1))
        return trio.current_time()
    raise AssertionError


def test_time_stands_still_while_a_thread_works() -> None:
    assert run_virtual(work_in_a_thread) == 0


async def keep_what_is_said(path: Path) -> list[float]:
    agent = ScriptedAgent()
    agent.on("think", Wait(60))
    times: list[float] = []
    async with tri.open_manager(agent, store=path, deadlines=tri.Deadlines(first_event=120)) as manager:
        for prompt in ("hello", "think", "hello"):
            await manager.session("k").ask(prompt)
            times.append(trio.current_time())
    return times


def test_time_stands_still_while_a_store_writes(tmp_path: Path) -> None:
    assert run_virtual(keep_what_is_said, tmp_path / "sessions.db") == [0, 60, 60]


async def wait_in_a_child() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.Event().wait, name="the one that waits")


def test_a_hang_says_what_each_task_waits_for() -> None:
    with pytest.raises(Hung) as raised:
        run_virtual(wait_in_a_child, max_seconds=100)
    assert str(raised.value) == (
        "it did not end within 100 virtual seconds. What each task waited for:\n" + raised.value.tasks
    )
    first, second = raised.value.tasks.splitlines()
    assert first.startswith("run: ")
    assert first.endswith("wait_in_a_child > NurseryManager.__aexit__")
    assert second == "  the one that waits: Event.wait"


async def wait_under_a_shield() -> None:
    with trio.CancelScope(shield=True):
        while True:
            try:
                await trio.sleep_forever()
            except Exception:  # noqa: BLE001 - what a program should not do either
                continue


async def spin() -> None:
    while True:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("fn", [wait_under_a_shield, spin])
def test_what_does_not_heed_its_cancellation_ends_too(fn: object) -> None:
    with pytest.raises(Hung):
        run_virtual(fn, max_passes=1000)  # type: ignore[arg-type]
