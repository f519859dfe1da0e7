"""Sub-agents: their own talk, what the host sees of it, and how it ends."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.unit.engine.stage import Scripted, open_engine, said, tell
from triologue.engine import OfflineModel
from triologue.messages import (
    AssistantMessage,
    CanUseTool,
    HookCallback,
    Initialize,
    Interrupt,
    StopTask,
    TaskNotificationMessage,
    TaskStartedMessage,
    ToolUseBlock,
    UserMessage,
)

AGENTS = {
    "counter": {"description": "Counts", "prompt": "You count.", "tools": ["add"], "model": "small"},
    "talker": {"description": "Talks", "prompt": "You talk.", "maxTurns": 2},
}


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def task(kind: str, prompt: str, use: str = "t1", name: str = "Task") -> ToolUseBlock:
    given = {"subagent_type": kind, "prompt": prompt, "description": "some work"}
    return ToolUseBlock(id=use, name=name, input=given)


CALL = ToolUseBlock(id="t1", name="add", input={"a": 1, "b": 2})


async def test_a_sub_agent_works_by_itself_and_reports_back() -> None:
    model = Scripted(said(task("counter", "Count")), said("thinking", CALL), said("It is 3."), said("Done."))
    async with open_engine(model=model, tools=[add], agents=AGENTS) as host:
        host.send(host.request(Initialize()), host.prompt("Go"))
    inner = [
        (tell(message), message.parent_tool_use_id)
        for message in host.said
        if isinstance(message, AssistantMessage | UserMessage)
    ]
    assert inner == [
        (f"assistant: Task{task('counter', 'Count').input}", None),
        ("assistant: add{'a': 1, 'b': 2}", "t1"),
        ("user: gives 3", "t1"),
        ("user: gives [{'type': 'text', 'text': 'It is 3.'}]", None),
        ("assistant: Done.", None),
    ]
    first, second, third, last = model.requests
    assert [tool.name for tool in first.tools] == ["add", "Task"]
    assert ([tool.name for tool in second.tools], second.system, second.model) == (["add"], "You count.", "small")
    assert [message["role"] for message in third.messages] == ["user", "assistant", "user"]
    assert len(last.messages) == 3
    (began,) = [message for message in host.said if isinstance(message, TaskStartedMessage)]
    (ended,) = [message for message in host.said if isinstance(message, TaskNotificationMessage)]
    assert (began.description, began.tool_use_id, began.subagent_type, began.prompt) == (
        "some work",
        "t1",
        "counter",
        "Count",
    )
    assert (ended.task_id, ended.status, ended.usage) == (
        began.task_id,
        "completed",
        {"total_tokens": 30, "tool_uses": 1, "duration_ms": ended.usage["duration_ms"] if ended.usage else 0},
    )
    (result,) = host.results
    assert (result.result, result.num_turns) == ("Done.", 2)
    assert (result.model_usage or {})["scripted"]["inputTokens"] == 40
    (response,) = [message.data["response"]["response"] for message in host.said if tell(message).startswith("r1")]
    assert response["agents"] == [
        {"name": "counter", "description": "Counts"},
        {"name": "talker", "description": "Talks"},
    ]


async def test_its_text_is_told_where_that_is_wanted() -> None:
    model = Scripted(said(task("talker", "Talk", name="Agent")), said("Blah."), said("Done."))
    async with open_engine(model=model) as host:
        host.send(host.request(Initialize(agents=AGENTS, forward_subagent_text=True)), host.prompt("Go"))
    told = [(tell(m), m.parent_tool_use_id) for m in host.said if isinstance(m, AssistantMessage)]
    assert told[1:] == [("assistant: Blah.", "t1"), ("assistant: Done.", None)]


async def test_partials_of_sub_agents_are_not_told() -> None:
    model = Scripted(said(task("talker", "Talk")), said("Blah."), said("Done."), pieces=["x"])
    async with open_engine(model=model, agents=AGENTS, include_partial_messages=True) as host:
        host.send(host.prompt("Go"))
    assert host.story.count("~message_start") == 2


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (
            {"subagent_type": "nobody", "prompt": "x"},
            "Agent type 'nobody' not found. Available agents: counter, talker",
        ),
        ({"subagent_type": "talker"}, "A task needs a prompt."),
    ],
)
async def test_odd_tasks(given: dict[str, Any], error: str) -> None:
    model = Scripted(said(ToolUseBlock(id="t1", name="Task", input=given)), said("Done."))
    async with open_engine(model=model, agents=AGENTS) as host:
        host.send(host.prompt("Go"))
    assert f"user: error {error}" in host.story


async def test_a_sub_agent_has_its_own_limit() -> None:
    model = Scripted(said(task("talker", "Talk")), said(CALL), said(CALL), said("Done."))
    async with open_engine(model=model, tools=[add], agents=AGENTS) as host:
        host.send(host.prompt("Go"))
    assert "user: error Reached maximum number of turns (2)" in host.story
    assert host.results[0].result == "Done."


async def test_hooks_and_permissions_know_the_sub_agent(autojump_clock: MockClock) -> None:
    events = ("SubagentStart", "PreToolUse", "SubagentStop", "Stop")
    hooks = {event: [{"hookCallbackIds": [event]}] for event in events}
    model = Scripted(said(task("counter", "Count")), said(CALL), said("It is 3."), said("Done."))

    def reply(request: Any) -> Any:
        return {} if isinstance(request, HookCallback) else {"behavior": "allow"}

    async with open_engine(
        model=model, tools=[add], agents=AGENTS, permission_prompt_tool_name="stdio", reply=reply
    ) as host:
        host.send(host.request(Initialize(hooks=hooks)), host.prompt("Go"))
        await trio.sleep(1)
    (began,) = [message for message in host.said if isinstance(message, TaskStartedMessage)]
    asked = [
        (request.callback_id, request.input.get("agent_id"), request.input.get("agent_type"))
        for request in host.asked(HookCallback)
    ]
    assert asked == [
        ("PreToolUse", None, None),
        ("SubagentStart", began.task_id, "counter"),
        ("PreToolUse", began.task_id, "counter"),
        ("SubagentStop", began.task_id, "counter"),
        ("Stop", None, None),
    ]
    (question,) = host.asked(CanUseTool)
    assert (question.agent_id, question.tool_use_id) == (began.task_id, "t1_t1")


async def test_tasks_of_one_reply_run_at_once_and_one_can_be_stopped(autojump_clock: MockClock) -> None:
    prompt = (
        'Use the tool Task with {"subagent_type": "talker", "description": "a", "prompt": "Count to 5"} '
        'and use the tool Task with {"subagent_type": "talker", "description": "b", "prompt": "Count to 100"}'
    )
    async with open_engine(model=OfflineModel(piece_delay=1), agents=AGENTS) as host:
        host.send(host.prompt(prompt))
        await trio.sleep(20)
        stopped = [m.task_id for m in host.said if isinstance(m, TaskStartedMessage) and m.description == "b"]
        assert len([m for m in host.said if isinstance(m, TaskNotificationMessage)]) == 1
        host.send(host.request(StopTask(task_id=stopped[0])), host.request(StopTask(task_id="nobody")))
        await trio.sleep(60)
    ends = [(m.summary, m.status) for m in host.said if isinstance(m, TaskNotificationMessage)]
    assert ends == [("a", "completed"), ("b", "stopped")]
    assert [line for line in host.story[-7:] if line.startswith("r")][:2] == ["r1: {}", "r2: {}"]
    assert host.results[0].result == "The tool Task says: 1 2 3 4 5. The tool Task failed: The task was stopped."


async def test_an_interrupt_stops_the_sub_agent_with_its_turn(autojump_clock: MockClock) -> None:
    async with open_engine(model=OfflineModel(piece_delay=1), agents=AGENTS) as host:
        host.send(host.prompt('Use the tool Task with {"subagent_type": "talker", "prompt": "Count to 100"}'))
        await trio.sleep(20)
        host.send(host.request(Interrupt()))
    assert host.story[-5:] == [
        "r1: {'still_queued': []}",
        "task_notification",
        "user: error The user stopped this tool call. It may have taken effect in part or in full.",
        "user: [Request interrupted by user for tool use]",
        "result: error_during_execution aborted_tools ['The turn was interrupted by the user.']",
    ]


async def test_odd_definitions_are_refused() -> None:
    async with open_engine(agents={"x": {"description": "d"}}) as host:
        pass
    assert host.exit is not None
    assert host.exit.stderr_tail == (
        "Error: agents['x'] is no description of a sub-agent: Object missing required field `prompt`\n"
    )
    async with open_engine() as host:
        host.send(host.request(Initialize(agents={"x": 3})))
    assert host.story[0].startswith("r1: agents['x'] is no description of a sub-agent")
