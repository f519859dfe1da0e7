"""One tool call, from the model's wish to its result: hooks, permission, the tool, hooks again."""

from typing import Any

import msgspec
import trio
from msgspec import UNSET, Raw, Struct, field

from triologue.engine.asking import Permit, deny, permit
from triologue.engine.hooks import NOTHING, HookOutcome
from triologue.engine.thread import Thread
from triologue.engine.toolbox import EngineTool, ToolOutcome, failed
from triologue.messages import ToolUseBlock

_UNANSWERED = "A PreToolUse hook did not answer (its host may be unreachable), so the tool call was not executed."


class Called(Struct, kw_only=True):
    """What became of a call."""

    outcome: ToolOutcome
    contexts: list[str] = field(default_factory=list)
    """What hooks want the model to know beside the result."""
    stopped: str | None = None
    """Why a hook wants the turn to end."""
    interrupts: bool = False
    """The denial stops the turn."""


async def call(thread: Thread, use: ToolUseBlock) -> Called:
    """Make one call. An unknown tool, a denial and a failure are results too."""
    tool = thread.find_tool(use.name)
    if tool is None:
        return Called(outcome=failed(f"No such tool available: {use.name}"))
    hooks = thread.conversation.hooks
    before = await _before(thread, use) if "PreToolUse" in hooks else NOTHING
    allowed = await _decide(thread, tool, use, before)
    called = Called(outcome=_NONE, contexts=list(before.contexts), stopped=before.stopped)
    if allowed.denied is not None:
        called.outcome = failed(allowed.denied)
        called.interrupts = allowed.interrupts
        return called
    started = trio.current_time()
    called.outcome = await tool.run(allowed.given, use.id)
    event = "PostToolUseFailure" if called.outcome.is_error else "PostToolUse"
    if event in hooks:
        await _after(thread, event, use, allowed.given, called, round((trio.current_time() - started) * 1000))
    return called


_NONE = ToolOutcome(content="")


async def _before(thread: Thread, use: ToolUseBlock) -> HookOutcome:
    fields = {"tool_name": use.name, "tool_input": use.input, "tool_use_id": use.id}
    return await thread.fire("PreToolUse", fields, subject=use.name, tool_use_id=use.id)


async def _decide(thread: Thread, tool: EngineTool, use: ToolUseBlock, before: HookOutcome) -> Permit:
    """May it run, by the hooks before it and by the rules."""
    given = use.input if before.updated_input is None else before.updated_input
    if before.missed:
        return Permit(given=given, denied=_UNANSWERED)
    objection = before.reason if before.permission == "deny" else before.blocked
    if objection is not None:
        return deny(thread, use, given, f"PreToolUse:{use.name} hook error: {objection or 'the call was denied'}")
    if before.stopped is not None:
        return Permit(given=given, denied=f"A hook stopped the turn: {before.stopped}")
    return await permit(thread, tool, use, given, before)


async def _after(
    thread: Thread, event: str, use: ToolUseBlock, given: dict[str, Any], called: Called, duration_ms: int
) -> None:
    """Ask the hooks that follow a call, and let them change what it gave."""
    fields: dict[str, Any] = {"tool_name": use.name, "tool_input": given, "tool_use_id": use.id}
    if called.outcome.is_error:
        fields |= {"error": response_text(called.outcome), "is_interrupt": False}
    else:
        fields["tool_response"] = response(called.outcome)
    fields["duration_ms"] = duration_ms
    after = await thread.fire(event, fields, subject=use.name, tool_use_id=use.id)
    called.contexts += after.contexts
    if after.blocked is not None:
        called.contexts.append(f"{event}:{use.name} hook feedback:\n{after.blocked}")
    if called.stopped is None:
        called.stopped = after.stopped
    if after.updated_output is not UNSET and not called.outcome.is_error:
        called.outcome = _replaced(called.outcome, after.updated_output)


def response(outcome: ToolOutcome) -> Any:
    """What a tool gave, as hooks are told it."""
    return msgspec.json.decode(outcome.value) if isinstance(outcome.value, Raw) else outcome.content


def response_text(outcome: ToolOutcome) -> str:
    """What a tool gave, as text."""
    if isinstance(outcome.content, str):
        return outcome.content
    return "\n".join(block.get("text", "") for block in outcome.content if isinstance(block, dict))


def _replaced(outcome: ToolOutcome, output: Any) -> ToolOutcome:
    """The outcome with another content: text, blocks, an MCP result, or any JSON value."""
    content = output.get("content", output) if isinstance(output, dict) else output
    is_blocks = isinstance(content, list) and all(isinstance(each, dict) and "type" in each for each in content)
    encoded = msgspec.json.encode(output)
    told = content if isinstance(content, str) or is_blocks else encoded.decode()
    return ToolOutcome(content=told, value=Raw(encoded), answer=outcome.answer)
