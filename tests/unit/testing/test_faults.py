"""Faults strike where they were told to, and the session lives on."""

import inspect
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

import triologue as tri
from triologue.ports import (
    Agent,
    ConcludesSessions,
    FindsLatest,
    KeepsLogins,
    LivesInside,
    MirrorsHistories,
    PreparesSessions,
    ProvidesTokens,
)
from triologue.testing import (
    CancelAt,
    CrashTask,
    Fault,
    InjectedCrash,
    ReadFails,
    ScriptedAgent,
    StartFails,
    StartHangs,
    WriteFails,
    run_virtual,
    with_faults,
)

DEADLINES = tri.Deadlines(start=20, interrupt=5, drain=0, close=4)


async def ask_twice(*faults: Fault) -> tuple[list[str], int]:
    """What becomes of two turns, and how often the agent was started."""
    agent = ScriptedAgent()
    async with tri.open_manager(with_faults(agent, *faults), deadlines=DEADLINES) as manager:
        told: list[str] = []
        for _ in range(2):
            outcome = await (await manager.session("k").send("hello")).wait()
            cause = outcome.error.__cause__ if outcome.error is not None else None
            told.append(outcome.kind if cause is None else f"{outcome.kind} by {type(cause).__name__}")
        return told, len(agent.starts)


@pytest.mark.parametrize(
    ("fault", "told", "starts"),
    [
        (WriteFails(99), ["answered", "answered"], 1),
        (StartFails(1), ["failed by AgentStartError", "answered"], 1),
        (StartHangs(1), ["failed by TurnTimeout", "answered"], 2),
        (WriteFails(2), ["failed by AgentCrashed", "answered"], 2),
        (ReadFails(4), ["failed by AgentCrashed", "answered"], 2),
    ],
)
async def test_a_fault_strikes_once(autojump_clock: MockClock, fault: Fault, told: list[str], starts: int) -> None:
    assert await ask_twice(fault) == (told, starts)


def test_an_agent_with_faults_can_what_it_can_without() -> None:
    """Also where Python looks for that in the class only, as it does from 3.12 on."""
    abilities = (
        ConcludesSessions,
        FindsLatest,
        KeepsLogins,
        LivesInside,
        MirrorsHistories,
        PreparesSessions,
        ProvidesTokens,
    )
    for agent in (tri.Embedded(), tri.ClaudeCode(), tri.Qoder(), tri.CortexCode()):
        faulty = with_faults(agent, StartFails(1))
        assert [isinstance(faulty, kind) for kind in abilities] == [isinstance(agent, kind) for kind in abilities]
        static = [inspect.getattr_static(faulty, name, None) for name in dir(agent) if name[0] != "_"]
        assert None not in static


async def test_faults_compose(autojump_clock: MockClock) -> None:
    assert await ask_twice(StartFails(1), StartFails(2)) == (["failed by AgentStartError"] * 2, 0)


async def test_faults_are_for_any_agent_also_for_one_that_has_some_or_that_passes_on_what_it_lacks() -> None:
    class Wrapped:
        inner = ScriptedAgent()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    agent = with_faults(with_faults(cast("Agent", Wrapped()), StartFails(1)), StartFails(1))
    async with tri.open_manager(agent) as manager:
        outcomes = [await (await manager.session("s").send("hello")).wait() for _ in range(3)]
    assert [outcome.kind for outcome in outcomes] == ["failed", "failed", "answered"]


def test_a_task_crashes_at_its_nth_checkpoint() -> None:
    seen: list[int] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count, name="the counter")

    async def count() -> None:
        for number in range(10):
            seen.append(number)
            await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as raised:
        run_virtual(main, instruments=[CrashTask("counter", 3)])
    assert isinstance(raised.value.exceptions[0], InjectedCrash)
    assert seen == [0, 1, 2]


def test_an_actor_that_breaks_harms_only_itself() -> None:
    async def main() -> list[str]:
        async with tri.open_manager(ScriptedAgent(), deadlines=DEADLINES) as manager:
            broken = await manager.session("broken").send("hello")
            whole = await manager.session("whole").send("hello")
            kinds = [(await broken.wait()).kind, (await whole.wait()).kind]
            return [*kinds, (await manager.session("broken").ask("again")).result or ""]

    assert run_virtual(main, instruments=[CrashTask("session 'broken'", 2)]) == ["failed", "answered", "again"]


def test_a_caller_is_cancelled_at_its_nth_checkpoint() -> None:
    async def main() -> int:
        count = 0
        with trio.CancelScope() as scope:
            trio.lowlevel.add_instrument(CancelAt(scope, 3))
            while True:
                await trio.lowlevel.checkpoint()
                count += 1
        return count

    assert run_virtual(main) in (2, 3)
