"""Usage limits on real actors: who waits at the gate, why, and how they come back."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.other_agent import OtherAgent
from tests.support.scripted_agent import ScriptedAgent
from tests.unit.supervision.stage import ask_all, link_of, settled, sharing, states
from triologue.actors import Actor, Turn
from triologue.errors import TurnFailed
from triologue.manager import SessionManager, open_manager
from triologue.messages import RateLimitEvent
from triologue.options import Limits, Options
from triologue.ports import Carrier, Connection, Sink
from triologue.stores import MemoryStore
from triologue.supervision import Overseer
from triologue.supervision.quota import Held


def why(manager: SessionManager, key: str) -> Held | None:
    """Why a session's turn waits at the gate."""
    oversight, conversation = manager._world.oversight, manager._registry.get(key)
    assert isinstance(oversight, Overseer)
    assert conversation is not None
    return oversight.gating.why(conversation)


async def exceed(manager: SessionManager, key: str, seconds: float) -> None:
    """A turn that hits the limit."""
    with pytest.raises(TurnFailed, match="reached your limit"):
        await manager.session(key).ask(f"exceed {seconds}")


def is_about(actual: float, wanted: float) -> bool:
    """The times of the gate are those of the day, so a test knows them to the second."""
    return abs(actual - wanted) < 2


async def test_turns_wait_until_the_time_that_was_named(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        await manager.session("other").ask("hi")
        await exceed(manager, "k", 3600)
        turns = [await manager.session(key).send("hi") for key in ("k", "other", "new")]
        await settled()
        assert [turn.state for turn in turns] == ["waiting"] * 3
        held = [why(manager, key) for key in ("k", "other", "new")]
        assert [each.before for each in held if each] == [0, 1, 2]
        assert held[0] is not None
        assert held[0].opens_at is not None
        assert is_about(held[0].opens_at, time.time() + 3600)
        assert str(held[0]).startswith("the limit 'five_hour' is reached; waits until ")
        assert len(agent.links) == 2  # nothing is started for a turn that cannot begin
        for turn in turns:
            assert (await turn.wait()).kind == "answered"
        assert is_about(trio.current_time(), 3600)
        assert why(manager, "k") is None


async def test_a_429_without_a_time_closes_for_a_minute(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        turn = await manager.session("k").send("silent")
        behind = await manager.session("k").send("hi")
        await settled()
        link = agent.link
        link.say(RateLimitEvent(limits={"status": "allowed_warning", "resetsAt": time.time() + 9999}))
        await settled()
        assert turn.outcome is None
        link._finish(turn.id, "API Error: 429", is_error=True, api_error_status=429)
        assert (await turn.wait()).kind == "failed"
        assert (behind.state, str(why(manager, "k"))[:36]) == ("waiting", "the API answered 429: API Error: 429")
        assert (await behind.wait()).kind == "answered"
        assert is_about(trio.current_time(), 60)


async def test_other_accounts_go_on(autojump_clock: MockClock) -> None:
    other = ScriptedAgent()
    async with sharing(None) as (manager, _):
        by_env = manager.session("env", options=Options(env={"ANTHROPIC_API_KEY": "another"}))
        by_agent = manager.session("agent", agent=other)
        await exceed(manager, "k", 3600)
        assert (await by_env.ask("hi")).result == "1. hi"
        assert (await by_agent.ask("hi")).result == "1. hi"
        assert trio.current_time() < 1
    assert other.live == 0


@dataclass
class Configured(OtherAgent):
    """As users write them: equal to another one with the same fields, and so without a hash."""

    agent: ScriptedAgent

    def __post_init__(self) -> None:
        super().__init__(self.agent)

    def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AbstractAsyncContextManager[Connection]:
        return self.agent.connect(options, sink=sink, carrier=carrier)


async def test_an_agent_without_a_hash_has_a_gate_of_its_own(autojump_clock: MockClock) -> None:
    one, other = Configured(ScriptedAgent()), Configured(ScriptedAgent())
    async with open_manager(one) as manager:
        await exceed(manager, "k", 3600)
        turns = [await manager.session(key).send("hi") for key in ("k", "alike")]
        assert (await manager.session("other", agent=other).ask("hi")).result == "1. hi"
        assert [turn.state for turn in turns] == ["waiting"] * 2
        assert [(await turn.wait()).kind for turn in turns] == ["answered"] * 2


async def test_after_the_reset_one_probe_and_then_slices(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        await exceed(manager, "k", 600)
        agent.begun.clear()
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(manager.session(f"s{number}").ask, "wait 2")
        times = [round(at - agent.begun[0][0]) for at, _ in agent.begun]
        assert times == [0] + [2] * 4 + [7] * 8 + [12] * 16 + [17] * 21


async def test_all_turns_of_one_session_go_on_in_order(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, _):
        await exceed(manager, "k", 600)
        turns = [await manager.session("k").send(f"{number}") for number in range(5)]
        results = [(await turn.wait()).unwrap().result for turn in turns]
        assert results == [f"{number + 2}. {number}" for number in range(5)]
        assert is_about(trio.current_time(), 600)


async def test_the_gate_closes_again_when_the_probe_hits_the_limit(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        await exceed(manager, "k", 600)
        probe = await manager.session("a").send("exceed 1000")
        turn = await manager.session("b").send("hi")
        assert (await probe.wait()).kind == "failed"
        held = why(manager, "b")
        assert held is not None
        assert held.opens_at is not None
        assert is_about(trio.current_time(), 600)
        # The scripted agent names the time by the clock of the machine, which did not jump: 400 s are left of it.
        assert (await turn.wait()).kind == "answered"
        assert is_about(trio.current_time(), 1000)
        assert len(agent.begun) == 3


async def test_those_that_were_let_through_wait_again_when_one_of_them_hits_the_limit(
    autojump_clock: MockClock,
) -> None:
    async with sharing(None) as (manager, agent):
        await exceed(manager, "k", 600)
        keys = [f"s{number}" for number in range(1, 6)]
        await manager.session("probe").send("hi")
        let_through = [await manager.session(key).send("wait 1") for key in keys[:3]]
        await manager.session(keys[3]).send("exceed 700")
        others = [await manager.session(key).send("hi") for key in keys]
        for turn in let_through:
            await turn.wait()
        assert round(trio.current_time()) == 601
        assert {turn.state for turn in others} == {"waiting"}
        for turn in others:
            assert (await turn.wait()).kind == "answered"
        assert is_about(agent.begun[-5][0], 700)


async def test_what_it_takes_when_many_hit_the_limit_together_is_not_more_for_each(autojump_clock: MockClock) -> None:
    async def inputs_of(count: int) -> int:
        inputs = 0

        def profile(frame: FrameType, event: str, _: Any) -> None:
            nonlocal inputs
            inputs += event == "call" and frame.f_code is Actor.apply.__code__

        async with sharing(None) as (manager, agent):
            turns = [await manager.session(f"s{number}").send(f"silent {number:03}") for number in range(count)]
            await settled()
            sys.setprofile(profile)
            try:
                for number, turn in enumerate(turns):
                    link = link_of(agent, f"silent {number:03}")
                    link._finish(turn.id, "API Error: 429", is_error=True, api_error_status=429)
                await settled()
            finally:
                sys.setprofile(None)
            assert {outcome.kind for turn in turns if (outcome := turn.outcome)} == {"failed"}
        return inputs

    assert await inputs_of(40) == 4 * await inputs_of(10)


@pytest.mark.parametrize("prompt", ["die", "fail", "deaf"])
async def test_a_probe_that_tells_nothing_makes_way(autojump_clock: MockClock, prompt: str) -> None:
    async with sharing(None) as (manager, _):
        await exceed(manager, "k", 600)
        probe = await manager.session("a").send(prompt)
        others = [await manager.session(key).send("hi") for key in "bc"]
        with trio.move_on_at(610):
            await probe.wait()
        await manager.session("a").interrupt()
        for turn in others:
            assert (await turn.wait()).kind == "answered"
        assert trio.current_time() < 630


async def test_turns_that_wait_at_the_gate_are_cancelled_and_not_interrupted(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        await exceed(manager, "k", 600)
        turn, kept = [await manager.session("a").send(prompt) for prompt in ("never", "later")]
        closed = await manager.session("b").send("never")
        await settled()
        assert await manager.session("a").interrupt() == "nothing_running"
        assert (await turn.cancel()).kind == "cancelled"
        await manager.session("b").close()
        assert (await closed.wait()).kind == "cancelled"
        assert why(manager, "b") is None
        assert (await kept.wait()).kind == "answered"
        assert [said for _, said in agent.begun] == ["exceed 600", "later"]


async def test_one_that_sleeps_and_is_woken_waits_too(autojump_clock: MockClock) -> None:
    async with sharing(None) as (manager, agent):
        await manager.session("a").ask("hi")
        await manager.session("a").hibernate()
        await exceed(manager, "k", 600)
        turn = await manager.session("a").send("again")
        await settled()
        assert (turn.state, len(agent.links)) == ("waiting", 2)
        assert (await turn.wait()).unwrap().result == "2. again"
        assert is_about(trio.current_time(), 600)


async def test_who_waits_at_the_gate_keeps_no_other_account_from_its_room(autojump_clock: MockClock) -> None:
    other = ScriptedAgent()
    async with sharing(None, limits=Limits(max_live=2)) as (manager, _):
        await ask_all(manager, "ab")
        await exceed(manager, "a", 3600)
        waiting = [await manager.session(key).send("later") for key in "ab"]
        await settled()
        for number in range(3):
            assert (await manager.session(f"o{number}", agent=other).ask("hi")).result == "1. hi"
        assert trio.current_time() < 1
        assert states(manager)["a"] == "hibernated"
        assert [(await turn.wait()).kind for turn in waiting] == ["answered"] * 2


@pytest.mark.parametrize("make_store", [lambda: None, MemoryStore], ids=["no store", "a store"])
async def test_hibernating_does_not_wait_for_the_gate_and_what_waits_there_wakes_the_session(
    autojump_clock: MockClock, make_store: Callable[[], MemoryStore | None]
) -> None:
    async with sharing(None, store=make_store()) as (manager, agent):
        await exceed(manager, "k", 600)
        session = manager.session("k")
        waiting = await session.send("hi")
        for _ in range(2):  # also where there is no agent any more
            await session.hibernate()
            assert (trio.current_time(), session.state, agent.live, waiting.state) == (0, "hibernated", 0, "waiting")
        assert (await waiting.wait()).unwrap().result == "2. hi"
        assert is_about(trio.current_time(), 600)
        assert session.state == "idle"


async def test_a_manager_is_left_while_turns_wait_at_the_gate(autojump_clock: MockClock) -> None:
    waiting: list[Turn] = []
    async with sharing(None) as (manager, _):
        await exceed(manager, "k", 3600)
        waiting += [await manager.session(key).send("never") for key in "ak"]
    assert [(await turn.wait()).kind for turn in waiting] == ["cancelled"] * 2
    assert trio.current_time() < 1


async def test_a_variable_that_is_no_text_is_one_all_the_same(autojump_clock: MockClock) -> None:
    """As a program inherits it whose environment has bytes that are no UTF-8."""
    inherited = {"NAME": b"a\x80b".decode("utf-8", "surrogateescape")}
    async with open_manager(ScriptedAgent(), options=Options(env=inherited)) as manager:
        assert (await manager.session("k").ask("hi")).subtype == "success"
