"""What an agent says, as the frames that Claude Code was seen to write."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    BackgroundTasksMessage,
    CommandLifecycle,
    ControlError,
    ControlResponse,
    ControlSuccess,
    InitMessage,
    Message,
    RateLimitEvent,
    ResultMessage,
    StreamEvent,
    TaskNotificationMessage,
    TaskStartedMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserBody,
    UserMessage,
)

MODEL = "scripted-1"
LIFECYCLE = "msg_lifecycle_v1"
BY_ITSELF = {"kind": "task-notification"}
"""The origin of a turn that nobody asked for."""

API_ERRORS = {401: "authentication_failed", 429: "rate_limit", 500: "server_error", 529: "overloaded"}


def init(session_id: str, model: str | None, mode: str | None) -> InitMessage:
    """How each turn begins."""
    return InitMessage(
        subtype="init", session_id=session_id, model=model or MODEL, permission_mode=mode, capabilities=[LIFECYCLE]
    )


def said(text: str, **more: Any) -> AssistantMessage:
    """A whole text block."""
    return AssistantMessage(message=AssistantBody(content=[TextBlock(text=text)], model=MODEL), **more)


def partial(text: str, index: int = 0) -> StreamEvent:
    """A piece of one."""
    delta = {"type": "text_delta", "text": text}
    return StreamEvent.of({"type": "content_block_delta", "index": index, "delta": delta})


def tool_use(id: str, name: str, arguments: dict[str, Any]) -> AssistantMessage:
    """The model calls a tool."""
    block = ToolUseBlock(id=id, name=name, input=arguments)
    return AssistantMessage(message=AssistantBody(content=[block], model=MODEL))


def tool_result(id: str, content: str, *, is_error: bool = False) -> UserMessage:
    """What the tool gave."""
    return UserMessage(message=UserBody(content=[ToolResultBlock.of(id, content, is_error=is_error)]))


def marker(during_tool: bool) -> UserMessage:  # noqa: FBT001 - the only thing that it tells
    """What an interrupt leaves in the conversation."""
    suffix = " for tool use" if during_tool else ""
    return UserMessage(message=UserBody(content=[TextBlock(text=f"[Request interrupted by user{suffix}]")]))


def result(session_id: str, uuids: Sequence[str], **more: Any) -> ResultMessage:
    """The end of a turn."""
    fields: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": session_id,
        "user_message_uuids": list(uuids) or None,
    }
    return ResultMessage(**{**fields, **more})


def lifecycle(uuid: str, state: str) -> CommandLifecycle:
    """What becomes of a prompt."""
    return CommandLifecycle(command_uuid=uuid, state=state)


def rate_limit(status: str, resets_at: float | None, kind: str) -> RateLimitEvent:
    """How much of the allowance is left."""
    info: dict[str, Any] = {"status": status, "rateLimitType": kind}
    if resets_at is not None:
        info["resetsAt"] = resets_at
    return RateLimitEvent(limits=info)


def tasks(running: Sequence[str]) -> BackgroundTasksMessage:
    """Everything that runs in the background now."""
    described = [{"task_id": id, "task_type": "local_bash", "description": "scripted"} for id in running]
    return BackgroundTasksMessage(subtype="background_tasks_changed", tasks=described)


def task_started(id: str) -> TaskStartedMessage:
    """Something runs in the background from now on."""
    return TaskStartedMessage(subtype="task_started", task_id=id, description="scripted", task_type="local_bash")


def task_ended(id: str) -> TaskNotificationMessage:
    """It has ended."""
    return TaskNotificationMessage(
        subtype="task_notification", task_id=id, status="completed", output_file="", summary="scripted"
    )


def success(request_id: str, response: dict[str, Any] | None = None) -> ControlResponse:
    """A request is granted."""
    return ControlResponse(response=ControlSuccess(request_id=request_id, response=response))


def refusal(request_id: str, error: str) -> ControlResponse:
    """A request is refused."""
    return ControlResponse(response=ControlError(request_id=request_id, error=error))


def oversize_line(size: int) -> bytes:
    """A frame of so many bytes, as a long answer would be."""
    frame = msgspec.json.encode(said(""))
    head, _, tail = frame.partition(b'"text":"')
    return head + b'"text":"' + b"x" * max(size - len(frame), 0) + tail


def shown(content: Any) -> str:
    """The result of a host's tool, as the text that a model would read."""
    match content:
        case {"content": [*blocks]}:
            return "".join(str(block.get("text", "")) for block in blocks)
        case _:
            return json.dumps(content)


def stamped(message: Message, uuid: str, session_id: str) -> Message:
    """The message under an id of its own, where its kind has such."""
    if isinstance(message, StreamEvent):
        return StreamEvent.of(message.event, uuid=uuid, session_id=session_id)
    names = message.__struct_fields__
    fields = {name: value for name, value in (("uuid", uuid), ("session_id", session_id)) if name in names}
    return msgspec.structs.replace(message, **fields)
