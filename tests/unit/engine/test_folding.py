"""Prompts that are to steer the turn that runs: folded between a tool's result and the next model call."""

import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Scripted, open_engine, said
from triologue.engine import OfflineModel
from triologue.messages import CancelAsyncMessage, HookCallback, Initialize, Interrupt, ToolUseBlock


async def work() -> str:
    """Work for a while."""
    await trio.sleep(10)
    return "done"


CALL = ToolUseBlock(id="t1", name="work", input={})


async def test_a_prompt_of_the_priority_next_goes_into_the_turn_after_its_tool(autojump_clock: MockClock) -> None:
    model = Scripted(said(CALL), said("as you like"), said("later"))
    async with open_engine(model=model, tools=[work]) as host:
        host.send(host.prompt("begin", "p1"))
        await trio.sleep(5)
        host.send(host.prompt("wait", "p2"), host.prompt("steer", "p3", priority="next"))
    assert host.story == [
        "queued p1",
        "started p1",
        "init",
        "assistant: work{}",
        "queued p2",
        "queued p3",
        "user: gives done",
        "started p3",
        "assistant: as you like",
        "completed p3",
        "result: success completed as you like",
        "completed p1",
        "started p2",
        "init",
        "assistant: later",
        "result: success completed later",
        "completed p2",
    ]
    assert [each.user_message_uuids for each in host.results] == [["p1", "p3"], ["p2"]]
    assert "steer" in str(model.requests[1].messages[-1])


async def test_where_no_model_call_follows_it_is_a_turn_of_its_own(autojump_clock: MockClock) -> None:
    async with open_engine(model=OfflineModel(piece_delay=1)) as host:
        host.send(host.prompt("one", "p1"))
        await trio.sleep(1)
        host.send(host.prompt("two", "p2", priority="next"))
    assert [each.user_message_uuids for each in host.results] == [["p1"], ["p2"]]


async def test_an_interrupt_drops_it_and_it_can_be_asked_back(autojump_clock: MockClock) -> None:
    async with open_engine(model=Scripted(said(CALL)), tools=[work]) as host:
        host.send(host.prompt("begin", "p1"))
        await trio.sleep(5)
        host.send(host.prompt("steer", "p2", priority="next"), host.prompt("steer", "p3", priority="next"))
        host.send(host.request(CancelAsyncMessage(message_uuid="p3")), host.request(Interrupt(cancel_queued=True)))
    assert [line for line in host.story if "p2" in line or "p3" in line] == [
        "queued p2",
        "queued p3",
        "cancelled p3",
        "r1: {'cancelled': True, 'message_uuid': 'p3'}",
        "cancelled p2",
        "r2: {'cancelled': ['p2'], 'still_queued': []}",
    ]
    assert [each.user_message_uuids for each in host.results] == [["p1"]]


async def test_a_uuid_that_was_folded_runs_once(autojump_clock: MockClock) -> None:
    async with open_engine(model=Scripted(said(CALL), said("yes")), tools=[work]) as host:
        host.send(host.prompt("begin", "p1"))
        await trio.sleep(5)
        host.send(host.prompt("steer", "p2", priority="next"))
        await trio.sleep(20)
        host.send(host.prompt("steer", "p2", priority="next"))
    assert [line for line in host.story if "p2" in line] == ["queued p2", "started p2", "completed p2", "completed p2"]


async def test_where_a_hook_looks_at_prompts_nothing_is_folded(autojump_clock: MockClock) -> None:
    hooks = {"UserPromptSubmit": [{"matcher": None, "hookCallbackIds": ["h"]}]}
    async with open_engine(model=Scripted(said(CALL), said("one"), said("two")), tools=[work]) as host:
        host.reply = lambda request: {} if isinstance(request, HookCallback) else None
        host.send(host.request(Initialize(hooks=hooks)))
        host.send(host.prompt("begin", "p1"))
        await trio.sleep(5)
        host.send(host.prompt("steer", "p2", priority="next"))
    assert [each.user_message_uuids for each in host.results] == [["p1"], ["p2"]]
