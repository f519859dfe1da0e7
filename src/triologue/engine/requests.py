"""Control requests: what the host asks of the built-in agent beside the conversation."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias, final

from triologue.engine.conversation import (
    CHARACTERS_PER_TOKEN,
    COMMANDS,
    CONTEXT_TOKENS,
    Conversation,
)
from triologue.engine.equipment import equip
from triologue.engine.subagents import read_agents
from triologue.engine.thread import appended
from triologue.errors import InvalidOption
from triologue.messages import (
    AnyRequest,
    CancelAsyncMessage,
    ControlRequest,
    GetContextUsage,
    Initialize,
    Interrupt,
    McpReconnect,
    McpSetServers,
    McpStatus,
    McpToggle,
    Request,
    RewindFiles,
    SetMaxThinkingTokens,
    SetModel,
    SetPermissionMode,
    StopTask,
    UnknownRequest,
    subtype_of,
)
from triologue.wire import Asked, decode_line, encode

Job: TypeAlias = Callable[[], Awaitable[None]]


class Answer(NamedTuple):
    """What is answered, and what happens right after the answer went out."""

    response: dict[str, Any] | None
    then: Callable[[], None] | None = None


class Denial(NamedTuple):
    """Why not."""

    error: str
    code: str | None = None


class Later(NamedTuple):
    """The answer takes its time."""

    reply: "Callable[[], Awaitable[Answer | Denial]]"


Reply: TypeAlias = Answer | Denial | Later


@final
class Requests:
    """Answers what one host asks."""

    __slots__ = ("_conversation", "_jobs")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._jobs: list[Job] = []

    def answer(self, asked: Asked) -> None:
        """Answer one request: at once, or by a job."""
        request = asked.request
        if isinstance(request, UnknownRequest):
            request = _read(request)
        handler: Callable[[Conversation, Any], Reply] = _HANDLERS.get(subtype_of(request), _unsupported)
        reply = handler(self._conversation, request)
        if isinstance(reply, Later):
            self._jobs.append(partial(self._reply_later, asked.request_id, reply))
        else:
            self._reply(asked.request_id, reply)

    @property
    def has_jobs(self) -> bool:
        """Is there something for `take_jobs`?"""
        return bool(self._jobs)

    def take_jobs(self) -> list[Job]:
        """What is to be done beside the conversation for the requests that were heard."""
        jobs, self._jobs = self._jobs, []
        return jobs

    async def _reply_later(self, request_id: str, later: Later) -> None:
        self._reply(request_id, await later.reply())

    def _reply(self, request_id: str, reply: Answer | Denial) -> None:
        dialogue = self._conversation.host.dialogue
        if isinstance(reply, Answer):
            frame = dialogue.answer(request_id, reply.response)
        else:
            frame = dialogue.refuse(request_id, reply.error, code=reply.code)
        if frame is not None:
            self._conversation.say(frame)
        if isinstance(reply, Answer) and reply.then is not None:
            reply.then()


def _read(request: UnknownRequest) -> AnyRequest:
    """A request that a host in this process gave as a dict, as a wire would have brought it."""
    frame = decode_line(encode(ControlRequest(request_id="", request=request)))
    return frame.request if isinstance(frame, ControlRequest) else request


def _initialize(conversation: Conversation, request: Initialize) -> Reply:
    """May come more than once; the last one holds."""
    before = (conversation.agents, conversation.output_schema)
    try:
        conversation.hooks.register(request.hooks or None)
        if request.agents is not None:
            conversation.agents = read_agents(request.agents)
        if request.json_schema is not None:
            conversation.output_schema = request.json_schema
        equip(conversation)
    except (InvalidOption, ValueError) as error:
        conversation.agents, conversation.output_schema = before
        equip(conversation)
        return Denial(str(error), "invalid_request")
    if request.system_prompt is not None:
        conversation.system_prompt = request.system_prompt
    if request.append_system_prompt:
        conversation.system_prompt = appended(conversation.system_prompt, request.append_system_prompt)
    if request.forward_subagent_text is not None:
        conversation.forwards_text = request.forward_subagent_text
    conversation.servers.declare(_declared(request), request.sdk_mcp_tool_definitions)
    profile, name = conversation.setup.profile, conversation.setup.model.name
    return Answer(
        {
            "commands": [
                {"name": command, "description": what, "argumentHint": ""} for command, what in COMMANDS.items()
            ],
            "agents": [{"name": each, "description": agent.description} for each, agent in conversation.agents.items()],
            "output_style": "default",
            "available_output_styles": ["default"],
            "models": [
                {"value": "default", "resolvedModel": name, "displayName": name, "description": "The only model"}
            ],
            "account": {"tokenSource": "none", "apiKeySource": "none", "apiProvider": profile.provider},
            "pid": os.getpid(),
            "current_permission_mode": conversation.permissions.mode,
            "hook_on_failure_supported": True,
            "session_state": "idle" if conversation.scope is None else "running",
            "capabilities": list(profile.capabilities),
            **profile.initialize,
        },
        (lambda: _greet(conversation)) if profile.greets else None,
    )


def _greet(conversation: Conversation) -> None:
    """Say `init`. A copy is kept by then: hosts make one only to hear its id, and resume it later (Cortex Code)."""
    if conversation.setup.options.fork_session:
        conversation.setup.transcripts.keep(conversation.transcript)
    conversation.say(conversation.init())


def _declared(request: Initialize) -> dict[str, Any]:
    """The MCP servers that an `initialize` brings, in each vendor's way."""
    servers: dict[str, Any] = {name: {"type": "sdk", "name": name} for name in request.sdk_mcp_servers or ()}
    return servers | {name: config for name, config in (request.mcp_servers or {}).items() if isinstance(config, dict)}


def _interrupt(conversation: Conversation, request: Interrupt) -> Reply:
    if conversation.scope is not None:
        conversation.host.withdraw_turn()  # told before the answer, as Claude Code does
    response: dict[str, Any] = {}
    if request.cancel_queued:
        response["cancelled"] = conversation.withdraw()
    response["still_queued"] = [prompt.uuid for prompt in conversation.queue if prompt.uuid]
    return Answer(response, conversation.interrupt)


def _set_model(conversation: Conversation, request: SetModel) -> Reply:
    conversation.model = None if request.model == "default" else request.model
    return Answer({"model": conversation.model_name})


def _set_permission_mode(conversation: Conversation, request: SetPermissionMode) -> Reply:
    known = conversation.setup.profile.permission_modes
    if request.mode not in known:
        modes = ", ".join(known)
        return Denial(f"Cannot set permission mode: must be one of {modes}", "invalid_mode")
    return Answer({"mode": request.mode}, partial(conversation.set_permission_mode, request.mode))


def _set_max_thinking_tokens(conversation: Conversation, request: SetMaxThinkingTokens) -> Reply:
    conversation.max_thinking_tokens = request.max_thinking_tokens
    return Answer(None)


def _cancel_async_message(conversation: Conversation, request: CancelAsyncMessage) -> Reply:
    if conversation.withdraw(request.message_uuid):
        return Answer({"cancelled": True, "message_uuid": request.message_uuid})
    return Answer({"cancelled": False})


def _mcp_status(conversation: Conversation, request: McpStatus) -> Reply:
    return Answer({conversation.setup.profile.mcp_status_key: [server.told() for server in conversation.servers]})


def _mcp_reconnect(conversation: Conversation, request: McpReconnect) -> Reply:
    name = request.server_name
    if name not in conversation.servers:
        return Denial(f"Server not found: {name}")

    async def reconnect() -> Answer | Denial:
        error = await conversation.servers.reconnect(name)
        return Answer({}) if error is None else Denial(f"Server {name} cannot be connected: {error}")

    return Later(reconnect)


def _mcp_toggle(conversation: Conversation, request: McpToggle) -> Reply:
    if request.enabled:
        return _mcp_reconnect(conversation, McpReconnect(server_name=request.server_name))
    if request.server_name not in conversation.servers:
        return Denial(f"Server not found: {request.server_name}")
    conversation.servers.disable(request.server_name)
    return Answer({})


def _mcp_set_servers(conversation: Conversation, request: McpSetServers) -> Reply:
    configs = {name: config for name, config in request.servers.items() if isinstance(config, dict)}

    async def replace() -> Answer | Denial:
        return Answer(await conversation.servers.replace(configs))

    return Later(replace)


def _stop_task(conversation: Conversation, request: StopTask) -> Reply:
    scope = conversation.tasks.get(request.task_id)
    return Answer({}, scope.cancel if scope is not None else None)


def _rewind_files(conversation: Conversation, request: RewindFiles) -> Reply:
    return Denial("File rewinding is not enabled.", "unsupported_request")


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


def _get_session_cost(conversation: Conversation, request: Request) -> Reply:
    return Answer({"text": conversation.cost_text(), "total_cost_usd": conversation.transcript.cost_usd})


def _end_session(conversation: Conversation, request: Request) -> Reply:
    def end() -> None:
        conversation.ended = True

    return Answer(None, end)


def _unsupported(conversation: Conversation, request: Request) -> Reply:
    return Denial(f"Unsupported control request subtype: {subtype_of(request)}", "unsupported_request")


_HANDLERS: dict[str, Callable[[Conversation, Any], Reply]] = {
    "initialize": _initialize,
    "interrupt": _interrupt,
    "set_model": _set_model,
    "set_permission_mode": _set_permission_mode,
    "set_max_thinking_tokens": _set_max_thinking_tokens,
    "cancel_async_message": _cancel_async_message,
    "mcp_status": _mcp_status,
    "mcp_reconnect": _mcp_reconnect,
    "mcp_toggle": _mcp_toggle,
    "mcp_set_servers": _mcp_set_servers,
    "stop_task": _stop_task,
    "rewind_files": _rewind_files,
    "get_context_usage": _get_context_usage,
    "get_session_cost": _get_session_cost,
    "end_session": _end_session,
}
