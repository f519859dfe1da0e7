"""How a turn ends: its result frame, and what counts into it."""

from typing import Any

import trio
from msgspec import Struct, field

from triologue.engine.conversation import Conversation
from triologue.errors import ModelError, StoreError
from triologue.messages import AssistantBody, AssistantMessage, ResultMessage, TextBlock, UserMessage
from triologue.ports import ModelReply

# What an error of the API is called, by its HTTP status.
_ERRORS = {
    400: "invalid_request",
    401: "authentication_failed",
    402: "billing_error",
    403: "authentication_failed",
    404: "model_not_found",
    413: "invalid_request",
    429: "rate_limit",
    529: "overloaded",
}


class Ending(Struct, kw_only=True):
    """Why a turn is over."""

    subtype: str
    is_error: bool = False
    result: str | None = None
    errors: list[str] | None = None
    stop_reason: str | None = None
    terminal_reason: str | None = None
    structured_output: Any = None
    api_error_status: int | None = None
    state: str = "completed"
    """What became of the prompt: `completed` or `cancelled`."""


class Tally(Struct):
    """What a turn took."""

    started: float = field(default_factory=trio.current_time)
    api_seconds: float = 0.0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_uses: int = 0
    stop_reason: str | None = None

    def count(self, reply: ModelReply) -> None:
        """Add one model call."""
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        self.stop_reason = reply.stop_reason


def interrupted(tally: Tally, *, is_tool: bool) -> Ending:
    """The end of a turn that was interrupted while it streamed, or while a tool ran."""
    return Ending(
        subtype="error_during_execution",
        is_error=True,
        errors=["The turn was interrupted by the user."],
        stop_reason=tally.stop_reason if is_tool else None,
        terminal_reason="aborted_tools" if is_tool else "aborted_streaming",
        state="cancelled",
    )


def unkept(error: StoreError) -> Ending:
    """The end of a turn that could not be kept, and so of the agent: what is said on would be gone with it."""
    return Ending(
        subtype="error_during_execution",
        is_error=True,
        errors=[str(error)],
        terminal_reason="history_unkept",
        state="cancelled",
    )


def api_error(error: ModelError) -> Ending:
    """The end of a turn whose model failed: a `success` with `is_error`, as Claude Code has it."""
    return Ending(
        subtype="success",
        is_error=True,
        result=error_text(error),
        stop_reason="stop_sequence",
        terminal_reason="api_error",
        api_error_status=error.status,
        state="cancelled",
    )


def error_text(error: ModelError) -> str:
    """What the user is told about a failed model call."""
    return f"API Error: {error}" if error.status is None else f"API Error: {error.status} {error}"


def error_frame(conversation: Conversation, error: ModelError, answers: list[str] | None) -> AssistantMessage:
    """The assistant frame that stands in for the reply."""
    status = error.status
    name = "unknown" if status is None else _ERRORS.get(status, "server_error" if status >= 500 else "unknown")
    return synthetic_frame(conversation, error_text(error), stop_reason="stop_sequence", error=name, answers=answers)


def synthetic_frame(
    conversation: Conversation,
    text: str,
    *,
    stop_reason: str = "end_turn",
    error: str | None = None,
    answers: list[str] | None = None,
) -> AssistantMessage:
    """Text of the agent itself, in the place of the model's."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    body = AssistantBody(
        content=[TextBlock(text=text)],
        model="<synthetic>",
        id=conversation.new_id(),
        stop_reason=stop_reason,
        usage=usage,
    )
    return AssistantMessage(
        message=body,
        error=error,
        session_id=conversation.session_id,
        uuid=conversation.new_id(),
        user_message_uuid=answers[-1] if answers else None,
        user_message_uuids=answers,
    )


def result_message(
    conversation: Conversation, tally: Tally, ending: Ending, prompt: UserMessage, uuids: list[str]
) -> ResultMessage:
    """The frame that ends the turn. Costs and `model_usage` count on; `usage` and the times are this turn's.

    Args:
        conversation: whose turn it is.
        tally: what it took.
        ending: how it ends.
        prompt: what began it.
        uuids: of all the prompts that it answers.
    """
    usage: dict[str, Any] = {
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    return ResultMessage(
        subtype=ending.subtype,
        duration_ms=round((trio.current_time() - tally.started) * 1000),
        duration_api_ms=round(tally.api_seconds * 1000),
        is_error=ending.is_error,
        num_turns=tally.calls if ending.terminal_reason != "budget_exhausted" else max(tally.calls, 1),
        session_id=conversation.session_id,
        result=ending.result,
        errors=ending.errors,
        stop_reason=ending.stop_reason,
        terminal_reason=ending.terminal_reason,
        total_cost_usd=conversation.transcript.cost_usd,
        usage=usage,
        model_usage=conversation.transcript.model_usage,
        model_usage_since_last_result=conversation.recent_usage,
        permission_denials=conversation.denials,
        structured_output=ending.structured_output,
        api_error_status=ending.api_error_status,
        origin=prompt.origin,
        uuid=conversation.new_id(),
        user_message_uuid=prompt.uuid,
        user_message_uuids=uuids or None,
        queued_turn_count=len(conversation.queue),
        result_index=conversation.results,
    )
