"""Permission for one call: what the rules say, and whom to ask when they do not."""

from typing import Any

import msgspec
import trio
from msgspec import Struct

from triologue.engine.hooks import HookOutcome
from triologue.engine.host import HostRefused
from triologue.engine.permissions import Verdict
from triologue.engine.thread import Thread
from triologue.engine.toolbox import EngineTool
from triologue.messages import CanUseTool, PermissionDeniedMessage, ToolUseBlock

HOST = "stdio"
"""The permission prompt tool that is the host itself."""

_INVALID = (
    "The permission answer is invalid: it is neither an allow (with an input, if it has one) nor a deny with a message."
)


class Permit(Struct, frozen=True, kw_only=True):
    """May it run: with which input, or why not."""

    given: dict[str, Any]
    denied: str | None = None
    interrupts: bool = False
    """The denial stops the turn too."""


class _Answer(Struct):
    """What a permission request is answered with, on the wire."""

    behavior: str
    updated_input: dict[str, Any] | None = msgspec.field(name="updatedInput", default=None)
    updated_permissions: Any = msgspec.field(name="updatedPermissions", default=None)
    message: str = ""
    interrupt: bool = False


async def permit(
    thread: Thread, tool: EngineTool, use: ToolUseBlock, given: dict[str, Any], before: HookOutcome
) -> Permit:
    """Decide about one call.

    Args:
        thread: where it was made.
        tool: what is called.
        use: the call.
        given: the input that it would run with.
        before: what the hooks before the call said.
    """
    conversation = thread.conversation
    asks_host = conversation.setup.options.permission_prompt_tool_name is not None
    verdict = conversation.permissions.judge(tool, given, is_watched=asks_host)
    if verdict.behavior != "deny":
        if before.permission == "allow":
            return Permit(given=given)
        if before.permission in ("ask", "defer"):
            verdict = Verdict("ask", before.reason, "hook")
    if verdict.behavior == "allow":
        return Permit(given=given)
    if verdict.behavior == "deny":
        return _refuse(thread, use, given, verdict)
    if not asks_host and "PermissionRequest" not in conversation.hooks:
        text = verdict.reason or f"{tool.name} needs permission, and there is nobody to give it."
        return _refuse(thread, use, given, Verdict("deny", text, verdict.reason_type))
    return await _ask(thread, tool, use, given, verdict, asks_host=asks_host)


async def _ask(
    thread: Thread, tool: EngineTool, use: ToolUseBlock, given: dict[str, Any], verdict: Verdict, *, asks_host: bool
) -> Permit:
    """Ask the host and its `PermissionRequest` hooks at once; the first decision counts, the rest is withdrawn."""
    conversation = thread.conversation
    suggestions = conversation.permissions.suggestions(tool, given)
    permits: list[Permit] = []

    async def ask_host() -> None:
        permits.append(await _ask_host(thread, _request(thread, tool, use, given, verdict, suggestions)))
        nursery.cancel_scope.cancel()

    async def ask_hooks() -> None:
        fields = {"tool_name": tool.name, "tool_input": given, "permission_suggestions": suggestions}
        outcome = await thread.fire("PermissionRequest", fields, subject=tool.name, tool_use_id=use.id)
        if outcome.decision is not None:
            permits.append(_read(thread, given, outcome.decision))
            nursery.cancel_scope.cancel()

    # Remembered before it is answered: an interrupt leaves it denied.
    denial = _denial(use, given)
    conversation.denials.append(denial)
    if "PermissionRequest" in conversation.hooks:
        async with trio.open_nursery() as nursery:
            if asks_host:
                nursery.start_soon(ask_host)
            nursery.start_soon(ask_hooks)
    else:
        permits.append(await _ask_host(thread, _request(thread, tool, use, given, verdict, suggestions)))
    permit = permits[0] if permits else Permit(given=given, denied=f"Nobody gave permission to use {tool.name}.")
    if permit.denied is None:
        conversation.denials.remove(denial)
    return permit


def _request(
    thread: Thread,
    tool: EngineTool,
    use: ToolUseBlock,
    given: dict[str, Any],
    verdict: Verdict,
    suggestions: list[dict[str, Any]],
) -> CanUseTool:
    described = tool.guard is not None and tool.guard.description and given.get(tool.guard.description)
    return CanUseTool(
        tool_name=tool.name,
        display_name=tool.title or tool.name,
        input=given,
        description=str(described) if described else None,
        permission_suggestions=suggestions,
        blocked_path=thread.conversation.permissions.blocked_path(tool, given),
        decision_reason=verdict.reason or None,
        decision_reason_type=verdict.reason_type,
        tool_use_id=use.id,
        agent_id=thread.agent_id,
    )


async def _ask_host(thread: Thread, request: CanUseTool) -> Permit:
    """Ask whoever is to be asked: the host, or the MCP tool that answers in its place."""
    conversation = thread.conversation
    name = conversation.setup.options.permission_prompt_tool_name
    try:
        if name == HOST:
            return _read(thread, request.input, await conversation.host.ask(request))
        answer = await _ask_tool(thread, name or "", request)
    except HostRefused as error:
        text = f"Tool permission {error.error}" if error.is_gone else error.error
        return Permit(given=request.input, denied=f"Tool permission request failed: Error: {text}")
    return _read(thread, request.input, answer)


async def _ask_tool(thread: Thread, name: str, request: CanUseTool) -> Any:
    """Ask a tool, which answers with the JSON text of a decision."""
    tool = thread.conversation.tools.get(name)
    if tool is None:
        raise HostRefused(f"the permission prompt tool {name!r} is not there")
    given = {"tool_name": request.tool_name, "input": request.input, "tool_use_id": request.tool_use_id}
    outcome = await tool.run(given, f"{request.tool_use_id}_permission")
    content = outcome.content
    text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    if outcome.is_error:
        raise HostRefused(text)
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _read(thread: Thread, given: dict[str, Any], answer: Any) -> Permit:
    """The decision in an answer, and what it changes."""
    try:
        read = msgspec.convert(answer, _Answer)
    except msgspec.ValidationError:
        return Permit(given=given, denied=_INVALID)
    if read.behavior == "deny":
        return Permit(given=given, denied=read.message or "Permission was denied.", interrupts=read.interrupt)
    if read.behavior != "allow":
        return Permit(given=given, denied=_INVALID)
    conversation = thread.conversation
    mode = conversation.permissions.mode
    if read.updated_permissions:
        conversation.permissions.update(read.updated_permissions)
    if conversation.permissions.mode != mode:
        conversation.say(conversation.status(None, permission_mode=conversation.permissions.mode))
    return Permit(given=given if read.updated_input is None else read.updated_input)


def _refuse(thread: Thread, use: ToolUseBlock, given: dict[str, Any], verdict: Verdict) -> Permit:
    """Denied without asking anyone, and told."""
    conversation = thread.conversation
    conversation.denials.append(_denial(use, given))
    conversation.say(
        PermissionDeniedMessage(
            subtype="permission_denied",
            tool_name=use.name,
            tool_use_id=use.id,
            message=verdict.reason,
            agent_id=thread.agent_id,
            decision_reason_type=verdict.reason_type,
            session_id=conversation.session_id,
            uuid=conversation.new_id(),
        )
    )
    return Permit(given=given, denied=verdict.reason)


def deny(thread: Thread, use: ToolUseBlock, given: dict[str, Any], reason: str) -> Permit:
    """Denied by a hook: nobody was asked, and the result says why."""
    thread.conversation.denials.append(_denial(use, given))
    return Permit(given=given, denied=reason)


def _denial(use: ToolUseBlock, given: dict[str, Any]) -> dict[str, Any]:
    return {"tool_name": use.name, "tool_use_id": use.id, "tool_input": given}
