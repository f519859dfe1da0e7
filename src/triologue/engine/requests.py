"""Control requests: what the host asks of the built-in agent beside the conversation."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from triologue.engine.conversation import (
    CAPABILITIES,
    CHARACTERS_PER_TOKEN,
    COMMANDS,
    CONTEXT_TOKENS,
    PERMISSION_MODES,
    Conversation,
)
from triologue.messages import (
    AnyRequest,
    CancelAsyncMessage,
    GetContextUsage,
    Initialize,
    Interrupt,
    McpStatus,
    SetModel,
    SetPermissionMode,
    UnknownRequest,
)
from triologue.wire import Asked, Dialogue


class Answer(NamedTuple):
    """What is answered, and what happens right after the answer went out."""

    response: dict[str, Any] | None
    then: Callable[[], None] | None = None


class Denial(NamedTuple):
    """Why not."""

    error: str
    code: str | None = None


Reply: TypeAlias = Answer | Denial


def answer(conversation: Conversation, dialogue: Dialogue, asked: Asked) -> None:
    """Answer one request, at once."""
    request: AnyRequest = asked.request
    key = request.subtype if isinstance(request, UnknownRequest) else type(request)
    handler: Callable[[Conversation, Any], Reply] = _HANDLERS.get(key, _unsupported)
    reply = handler(conversation, request)
    if isinstance(reply, Answer):
        frame = dialogue.answer(asked.request_id, reply.response)
    else:
        frame = dialogue.refuse(asked.request_id, reply.error, code=reply.code)
    if frame is not None:
        conversation.say(frame)
    if isinstance(reply, Answer) and reply.then is not None:
        reply.then()


def _initialize(conversation: Conversation, request: Initialize) -> Reply:
    name = conversation.setup.model.name
    return Answer(
        {
            "commands": [
                {"name": command, "description": what, "argumentHint": ""} for command, what in COMMANDS.items()
            ],
            "agents": [],
            "output_style": "default",
            "available_output_styles": ["default"],
            "models": [
                {"value": "default", "resolvedModel": name, "displayName": name, "description": "The only model"}
            ],
            "account": {"tokenSource": "none", "apiKeySource": "none", "apiProvider": "embedded"},
            "pid": os.getpid(),
            "current_permission_mode": conversation.permission_mode,
            "session_state": "idle" if conversation.scope is None else "running",
            "capabilities": CAPABILITIES,
        }
    )


def _interrupt(conversation: Conversation, request: Interrupt) -> Reply:
    response: dict[str, Any] = {}
    if request.cancel_queued:
        response["cancelled"] = conversation.withdraw()
    response["still_queued"] = [prompt.uuid for prompt in conversation.queue if prompt.uuid]
    scope = conversation.scope
    return Answer(response, scope.cancel if scope is not None else None)


def _set_model(conversation: Conversation, request: SetModel) -> Reply:
    conversation.model = None if request.model == "default" else request.model
    return Answer({"model": conversation.model_name})


def _set_permission_mode(conversation: Conversation, request: SetPermissionMode) -> Reply:
    if request.mode not in PERMISSION_MODES:
        modes = ", ".join(PERMISSION_MODES)
        return Denial(f"Cannot set permission mode: must be one of {modes}", "invalid_mode")
    conversation.permission_mode = request.mode
    return Answer(
        {"mode": request.mode}, lambda: conversation.say(conversation.status(None, permission_mode=request.mode))
    )


def _cancel_async_message(conversation: Conversation, request: CancelAsyncMessage) -> Reply:
    if conversation.withdraw(request.message_uuid):
        return Answer({"cancelled": True, "message_uuid": request.message_uuid})
    return Answer({"cancelled": False})


def _mcp_status(conversation: Conversation, request: McpStatus) -> Reply:
    return Answer({"mcpServers": []})


def _get_context_usage(conversation: Conversation, request: GetContextUsage) -> Reply:
    tokens = conversation.transcript.size // CHARACTERS_PER_TOKEN
    return Answer(
        {
            "categories": [{"id": "messages", "name": "Messages", "tokens": tokens, "kind": "used"}],
            "totalTokens": tokens,
            "maxTokens": CONTEXT_TOKENS,
            "percentage": round(100 * tokens / CONTEXT_TOKENS),
            "model": conversation.model_name,
        }
    )


def _get_session_cost(conversation: Conversation, request: UnknownRequest) -> Reply:
    return Answer({"text": conversation.cost_text(), "total_cost_usd": conversation.transcript.cost_usd})


def _end_session(conversation: Conversation, request: UnknownRequest) -> Reply:
    def end() -> None:
        conversation.ended = True

    return Answer(None, end)


def _unsupported(conversation: Conversation, request: AnyRequest) -> Reply:
    subtype = request.subtype if isinstance(request, UnknownRequest) else type(request).__struct_config__.tag
    return Denial(f"Unsupported control request subtype: {subtype}", "unsupported_request")


_HANDLERS: dict[Any, Callable[[Conversation, Any], Reply]] = {
    Initialize: _initialize,
    Interrupt: _interrupt,
    SetModel: _set_model,
    SetPermissionMode: _set_permission_mode,
    CancelAsyncMessage: _cancel_async_message,
    McpStatus: _mcp_status,
    GetContextUsage: _get_context_usage,
    "get_session_cost": _get_session_cost,
    "end_session": _end_session,
}
