"""Control with `cortex_code_agent_sdk` over our agent."""

import asyncio

import pytest

from tests.foreign.alike import ask, hear, hear_until, use
from tests.foreign.alike_control import show_control
from tests.foreign.alike_turns import SLOW
from tests.foreign.cortex_turns import SDK, SUITE
from tests.foreign.table import Place

show_control(SDK)


@SUITE.shows("abort-event")
async def abort_event(place: Place) -> None:
    event = asyncio.Event()
    async with SDK.talk(place, SLOW, include_partial_messages=True, abort_event=event) as client:
        await client.query("slowly")
        await hear_until(client, "StreamEvent")
        event.set()
        stopped = await hear(client)
        assert stopped.result.subtype == "error_during_execution"
        assert (await ask(client, "Count to 3")).text == "1 2 3"


@SUITE.shows("abort-event")
async def abort_event_of_a_query(place: Place) -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, event.set)
    reply = await SDK.one_shot(place, "slowly", SLOW, abort_event=event)
    assert reply.result.subtype == "error_during_execution"


@SUITE.shows("stop-task")
async def stop_task(place: Place) -> None:
    agents = {"helper": SDK.module.AgentDefinition(description="Helps", prompt="You are the one below.")}
    task = use("Task", description="slow", prompt="Go slowly", subagent_type="helper")
    rules = ({"prompt": "ask below", "replies": [[task], [{"results": True}]]}, SLOW)
    async with SDK.talk(place, *rules, agents=agents) as client:
        await client.query("ask below")
        (*_, started) = await hear_until(client, "TaskStartedMessage")
        await client.stop_task(started.task_id)
        reply = await hear(client)
    assert [ended.status for ended in reply.of("TaskNotificationMessage")] == ["stopped"]
    assert reply.text == "The task was stopped."


@SUITE.shows("unsupported")
async def what_the_agent_cannot(place: Place) -> None:
    async with SDK.talk(place) as client:
        with pytest.raises(Exception, match="Unsupported control request subtype: mcp_authenticate"):
            await client.authenticate_mcp_server("far")
        assert (await ask(client, "Count to 3")).text == "1 2 3"


@SUITE.shows("system-prompt")
async def system_prompts(place: Place) -> None:
    async with SDK.talk(place, system_prompt="Be kind.", append_system_prompt="Be short.") as client:
        reply = await ask(client, "What are your instructions?")
    assert "Be kind." in reply.text
    assert "Be short." in reply.text


SUITE.lacks("context-usage", "the SDK cannot ask for it")
SUITE.lacks("rewind-files", "the SDK cannot ask for it")
