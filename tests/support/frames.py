"""What an agent says, in one line each."""

from typing import Any

from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    CommandLifecycle,
    ControlError,
    ControlResponse,
    ControlSuccess,
    InitMessage,
    ResultMessage,
    StreamEvent,
    TextBlock,
    UserMessage,
    user_message,
)

SESSION_ID = "5e551011-0000-4000-8000-000000000001"
LIFECYCLE = {"capabilities": ["msg_lifecycle_v1"]}


def prompt(text: str, uuid: str | None = None) -> UserMessage:
    """A prompt; its uuid is its text, unless another is given."""
    frame = user_message(text)
    frame.uuid = uuid or text
    return frame


def init(session_id: str = SESSION_ID) -> InitMessage:
    return InitMessage(subtype="init", session_id=session_id)


def assistant(text: str, **more: Any) -> AssistantMessage:
    return AssistantMessage(message=AssistantBody(content=[TextBlock(text=text)], model="m"), **more)


def partial(text: str, index: int = 0, **more: Any) -> StreamEvent:
    delta = {"type": "text_delta", "text": text}
    return StreamEvent.of({"type": "content_block_delta", "index": index, "delta": delta}, **more)


def result(*uuids: str, **more: Any) -> ResultMessage:
    """A result that answers these prompts; none for an agent that does not tell."""
    fields: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": SESSION_ID,
        "user_message_uuids": list(uuids) or None,
    }
    return ResultMessage(**{**fields, **more})


def aborted(*uuids: str, **more: Any) -> ResultMessage:
    """The result of a turn that was interrupted."""
    fields = {"subtype": "error_during_execution", "is_error": True, "terminal_reason": "aborted_streaming"}
    return result(*uuids, **{**fields, **more})


def of_background(**more: Any) -> ResultMessage:
    """The result of a turn that the agent began by itself."""
    return result(origin={"kind": "task-notification"}, **more)


def lifecycle(uuid: str, state: str) -> CommandLifecycle:
    return CommandLifecycle(command_uuid=uuid, state=state)


def success(request_id: str, response: dict[str, Any] | None = None) -> ControlResponse:
    return ControlResponse(response=ControlSuccess(request_id=request_id, response=response))


def refusal(request_id: str, error: str = "no", code: str | None = None) -> ControlResponse:
    return ControlResponse(response=ControlError(request_id=request_id, error=error, error_code=code))
