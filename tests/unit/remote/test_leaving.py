"""What is left behind when the block of `open_remote` is left, in any way: turns as they are, but for those withdrawn."""

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from types import FrameType

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from tests.support.gateway import house
from tests.support.remote import Line, remote
from tests.unit.remote.model_gateway import ModelGateway, open_model
from triologue.protocol import asked
from triologue.remote.link import Carrier
from triologue.testing import Say, ScriptedAgent, Wait, run_virtual


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300), Say("at last"))
    agent.on("story", Say("once upon a time", every=1.0))
    return agent


async def kind_of(manager: tri.SessionManager, id: str) -> str:
    """How the turn of this id ended."""
    turn = await manager.session("k").find(id)
    assert turn is not None
    return (await turn.wait()).kind


async def test_leaving_the_block_leaves_the_turns_alone(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway, AsyncExitStack() as outlives:
        async with remote(Line(gateway).connect) as far:
            turn = await far.session("k").send("story", id="t")
            events = await outlives.enter_async_context(far.session("k").subscribe())
        with pytest.raises(tri.ManagerClosed):
            await turn.wait()
        with pytest.raises(tri.ManagerClosed):
            async for _ in turn:
                pass
        shown = list[int]()
        for _ in range(3):
            with pytest.raises(tri.ManagerClosed) as over:
                async for _ in events:
                    pass
            shown.append(len(over.traceback))
        assert shown == shown[:1] * 3, "it does not grow"
        with pytest.raises(tri.ManagerClosed):
            await far.session("k").send("hello")
        assert await kind_of(manager, "t") == "answered"


async def test_a_turn_that_was_found_and_not_told_to_its_end_says_so(autojump_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.on("much", Say(50_000 * "x"))
    async with tri.open_manager(agent) as manager, house(manager) as gateway:
        await manager.session("k").ask("much", id="t")
        async with remote(Line(gateway, rate=1e4).connect) as far:
            turn = await far.session("k").find("t")
        assert turn is not None
        assert (await turn.wait()).kind == "answered"
        with trio.fail_after(1), pytest.raises(tri.ManagerClosed):
            async for _ in turn:
                pass


async def test_a_withdrawal_is_said_before_the_block_is_left(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        async with remote(Line(gateway).connect) as far:
            turn = await far.session("k").send("long", id="t")
            turn.withdraw()
        assert await kind_of(manager, "t") == "interrupted"


async def test_so_it_is_when_the_block_is_left_by_an_exception(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        with pytest.raises(KeyError):
            async with remote(Line(gateway).connect) as far, far.session("k").turn("long", id="t"):
                raise KeyError
        assert await kind_of(manager, "t") == "interrupted"


async def test_or_by_a_cancellation_from_outside(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        with trio.move_on_after(1) as timeout:
            async with remote(Line(gateway).connect) as far:
                await far.session("k").ask("long", id="t")
        assert timeout.cancelled_caught
        assert await kind_of(manager, "t") == "interrupted"
        assert trio.current_time() < 10


async def test_a_prompt_that_is_withdrawn_before_its_receipt_is_waited_for(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    async with open_model(gateway) as far:
        await far.session("k").send("busy")
        gateway.answers[asked.Prompt] = [None]
        with trio.move_on_after(0.05):
            await far.session("k").ask("hello", id="t")
        gateway.cut()
    assert gateway.begun["t"] == 0
    assert gateway.session("k").outcomes["t"].kind == "cancelled"


async def test_leaving_is_bounded(autojump_clock: MockClock) -> None:
    gateway = ModelGateway()
    gateway.answers[asked.Prompt] = [None]
    began = trio.current_time()
    async with open_model(gateway) as far:
        with trio.move_on_after(1):
            await far.session("k").ask("hello")  # of which nothing is heard
    assert trio.current_time() - began == pytest.approx(3)
    async with open_model(gateway):
        gateway.is_down = True
        gateway.cut()
        await trio.sleep(1)
    assert trio.current_time() - began == pytest.approx(4)


async def test_so_is_leaving_a_gateway_from_which_nothing_is_heard_any_more(autojump_clock: MockClock) -> None:
    async with tri.open_manager(new_agent()) as manager, house(manager) as gateway:
        line = Line(gateway, rate=1e6)
        async with remote(line.connect) as far:
            await far.session("k").send("long")
            line.fall_silent()
            with trio.move_on_after(1):
                await far.session("k").send("hello")  # of which nothing is heard
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(2.5)


def test_a_ctrl_c_while_it_is_left_ends_it_and_tells_why_it_was_left() -> None:
    gateway = ModelGateway()
    gateway.answers[asked.Prompt] = [None]

    async def press() -> None:
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)

    async def story() -> None:
        async with remote(gateway.connect) as far:
            with trio.move_on_after(1):
                await far.session("k").ask("hello")  # of which nothing is heard
            trio.lowlevel.spawn_system_task(press)
            raise KeyError("of the block")

    with pytest.raises(KeyboardInterrupt) as stopped:
        run_virtual(story)
    assert isinstance(stopped.value.__context__, KeyError)


def test_a_ctrl_c_as_it_is_connected_ends_it() -> None:
    def press(frame: FrameType, event: str, given: object) -> None:
        if frame.f_code is trio.Nursery.start.__code__ and event == "return" and given is None:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    async def story() -> None:
        sys.setprofile(press)
        async with remote(ModelGateway().connect):
            raise AssertionError("it was not pressed")

    with pytest.raises(KeyboardInterrupt):
        run_virtual(story)


async def test_who_is_cancelled_while_it_connects_waits_for_nothing(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def connect() -> AsyncGenerator[Carrier]:
        await trio.sleep(9)
        async with ModelGateway().connect() as carrier:
            yield carrier

    with trio.move_on_after(1) as timeout:
        async with remote(connect):
            await trio.sleep_forever()
    assert timeout.cancelled_caught
    assert trio.current_time() == pytest.approx(1)
