"""Sub-agents: a tool that gives a task to another thread of talk, and its answer back as the result."""

from typing import Any

import msgspec
import trio

from triologue.engine.conversation import AgentDefinition, Conversation
from triologue.engine.ending import Ending, Tally
from triologue.engine.loop import Loop
from triologue.engine.thread import Thread
from triologue.engine.toolbox import EngineTool, ToolOutcome, failed
from triologue.errors import InvalidOption
from triologue.messages import TaskNotificationMessage, TaskStartedMessage

TOOL = "Task"


def read_agents(agents: dict[str, Any] | None) -> dict[str, AgentDefinition]:
    """The definitions of `Options.agents`, or of an `initialize`.

    Raises:
        InvalidOption: one of them has no description or no prompt, or a field of another type.
    """
    read: dict[str, AgentDefinition] = {}
    for name, given in (agents or {}).items():
        fields = msgspec.to_builtins(given)
        try:
            known = {key: value for key, value in fields.items() if value is not None}
            read[name] = msgspec.convert(known, AgentDefinition)
        except (AttributeError, msgspec.ValidationError) as error:
            raise InvalidOption(f"agents[{name!r}] is no description of a sub-agent: {error}") from error
    return read


def task_tool(conversation: Conversation) -> EngineTool:
    """The tool that begins one of the conversation's sub-agents."""
    offered = "\n".join(f"- {name}: {agent.description}" for name, agent in conversation.agents.items())

    async def run(given: dict[str, Any], use_id: str) -> ToolOutcome:
        return await _run(conversation, given, use_id)

    return EngineTool(
        name=TOOL,
        description=f"Give a task to a sub-agent, which works by itself and reports back. There are:\n{offered}",
        input_schema={
            "type": "object",
            "properties": {
                "description": {"type": "string", "description": "The task in a few words"},
                "prompt": {"type": "string", "description": "The task"},
                "subagent_type": {"type": "string", "enum": list(conversation.agents)},
            },
            "required": ["description", "prompt", "subagent_type"],
        },
        run=run,
        is_free=True,
        is_concurrent=True,
    )


async def _run(conversation: Conversation, given: dict[str, Any], use_id: str) -> ToolOutcome:
    name, prompt = given.get("subagent_type"), given.get("prompt")
    definition = conversation.agents.get(name) if isinstance(name, str) else None
    if definition is None or not isinstance(name, str):
        return failed(f"Agent type {name!r} not found. Available agents: {', '.join(conversation.agents)}")
    if not isinstance(prompt, str):
        return failed("A task needs a prompt.")
    task = conversation.new_id()
    description = str(given.get("description") or "")
    thread = Thread(conversation, agent=(name, definition, use_id, task), description=description)
    conversation.say(
        TaskStartedMessage(
            subtype="task_started",
            task_id=task,
            description=description,
            tool_use_id=use_id,
            task_type="local_agent",
            subagent_type=name,
            prompt=prompt,
            session_id=conversation.session_id,
            uuid=conversation.new_id(),
        )
    )
    tally = Tally()
    ending: Ending | None = None
    conversation.tasks[task] = scope = trio.CancelScope()
    try:
        with scope:
            ending = await _work(thread, prompt, tally)
    finally:
        del conversation.tasks[task]
        _notify(thread, description, tally, ending)
    return _told(ending)


async def _work(thread: Thread, prompt: str, tally: Tally) -> Ending:
    contexts: list[str] = []
    if "SubagentStart" in thread.conversation.hooks:
        contexts = (await thread.fire("SubagentStart", {}, subject=thread.agent_type or "")).contexts
    thread.transcript.add("user", prompt, [thread.conversation.new_id()])
    thread.add_contexts(contexts)
    try:
        return await Loop(thread, tally, trio.lowlevel.checkpoint).run()
    finally:
        thread.keep()


def _notify(thread: Thread, description: str, tally: Tally, ending: Ending | None) -> None:
    """Say that it ended; it was stopped when it has no ending."""
    conversation = thread.conversation
    status = "stopped" if ending is None else "failed" if ending.is_error else "completed"
    conversation.say(
        TaskNotificationMessage(
            subtype="task_notification",
            task_id=thread.agent_id or "",
            status=status,
            output_file="",
            summary=description,
            tool_use_id=thread.parent_tool_use_id,
            usage={
                "total_tokens": tally.input_tokens + tally.output_tokens,
                "tool_uses": tally.tool_uses,
                "duration_ms": round((trio.current_time() - tally.started) * 1000),
            },
            session_id=conversation.session_id,
            uuid=conversation.new_id(),
        )
    )


def _told(ending: Ending | None) -> ToolOutcome:
    if ending is None:
        return failed("The task was stopped.")
    if ending.is_error:
        return failed(ending.result or "; ".join(ending.errors or ()) or "The sub-agent failed.")
    return ToolOutcome(content=[{"type": "text", "text": ending.result or ""}])
