"""Which of an agent's messages the vendors' SDKs give to their callers: the others are for the SDK itself."""

from triologue.messages import (
    AssistantMessage,
    ConversationReset,
    Gap,
    MalformedMessage,
    Message,
    OversizeMessage,
    RateLimitEvent,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    SystemText,
    UserMessage,
)

_SHOWN = (
    StreamEvent,
    AssistantMessage,
    UserMessage,
    SystemMessage,
    ResultMessage,
    RateLimitEvent,
    ConversationReset,
    SystemText,
    # Where something is missing, its reader is to see it. The vendors raise an error there, or say nothing.
    Gap,
    MalformedMessage,
    OversizeMessage,
)


def is_shown(message: Message) -> bool:
    """Is this one for the caller?"""
    if isinstance(message, SystemMessage):
        return not message.sdk_host_only
    return isinstance(message, _SHOWN)
