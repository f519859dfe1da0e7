"""The consumer, the same on both sides: it looks at every message as a program does that shows or logs it."""

from collections.abc import AsyncIterable
from typing import Any, NamedTuple


class Kinds(NamedTuple):
    """The classes of one side, under the names that both sides have."""

    stream_event: type[Any]
    assistant: type[Any]
    user: type[Any]
    system: type[Any]
    result: type[Any]


class Tally(NamedTuple):
    """What the consumer saw; equal on both sides, or the comparison is void."""

    messages: int
    seen: int
    """Partials with an event, and blocks of content."""


def sdk_kinds() -> Kinds:
    """The classes of claude-agent-sdk."""
    import claude_agent_sdk as sdk

    return Kinds(sdk.StreamEvent, sdk.AssistantMessage, sdk.UserMessage, sdk.SystemMessage, sdk.ResultMessage)


def our_kinds() -> Kinds:
    """The classes of triologue."""
    import triologue as tri

    return Kinds(tri.StreamEvent, tri.AssistantMessage, tri.UserMessage, tri.SystemMessage, tri.ResultMessage)


async def take(messages: AsyncIterable[Any], kinds: Kinds) -> Tally:
    """Read up to the result, and look at the blocks of complete messages; partials only pass, as in a bot without them."""
    stream_event, assistant, user, system, result = kinds
    talk = (assistant, user)
    count = seen = 0
    async for message in messages:
        if isinstance(message, stream_event):
            count += 1
        elif isinstance(message, talk):
            count += 1
            seen += len(message.content)
        elif isinstance(message, system):
            count += 1
        elif isinstance(message, result):
            count += 1
            break
    return Tally(count, seen)


async def consume(messages: AsyncIterable[Any], kinds: Kinds) -> Tally:
    """The same, and look into every partial's `.event` too, as a program does that shows text while it comes."""
    stream_event, assistant, user, system, result = kinds
    talk = (assistant, user)
    count = seen = 0
    async for message in messages:
        if isinstance(message, stream_event):
            count += 1
            seen += message.event is not None
        elif isinstance(message, talk):
            count += 1
            seen += len(message.content)
        elif isinstance(message, system):
            count += 1
        elif isinstance(message, result):
            count += 1
            break
    return Tally(count, seen)
