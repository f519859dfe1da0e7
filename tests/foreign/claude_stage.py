"""What programs with `claude_agent_sdk` share: options, scripts, and how they look at messages."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    ResultError,
    ResultMessage,
    TextBlock,
    ToolResultBlock,
    UserMessage,
    query,
)

from tests.foreign.table import Place, Suite
from tests.support.standin_program import write_script

SUITE = Suite("claude_agent_sdk", loops=("asyncio", "trio"))


def options(place: Place, **more: Any) -> ClaudeAgentOptions:
    """Our agent, in the folder of the program."""
    return ClaudeAgentOptions(cli_path=place.agent, cwd=place.cwd, **more)


def scripted(place: Place, *rules: dict[str, Any], **more: Any) -> ClaudeAgentOptions:
    """The same, with a model that plays these rules."""
    script = write_script(place.cwd, *rules)
    return options(place, env={"TRIOLOGUE_SCRIPT": str(script)}, **more)


async def ask(place: Place, prompt: str | AsyncIterable[dict[str, Any]], **more: Any) -> list[Message]:
    """All that one `query()` gives."""
    return [message async for message in query(prompt=prompt, options=options(place, **more))]


async def turn(client: ClaudeSDKClient, prompt: str) -> list[Message]:
    """One turn of a client."""
    await client.query(prompt)
    return await response(client)


async def response(client: ClaudeSDKClient) -> list[Message]:
    return [message async for message in client.receive_response()]


async def answer(client: ClaudeSDKClient, prompt: str) -> str | None:
    return result(await turn(client, prompt)).result


async def failed(prompt: str, chosen: ClaudeAgentOptions) -> tuple[list[Message], ResultError]:
    """What a `query()` gives before it raises, and what it raises."""
    messages: list[Message] = []
    with pytest.raises(ResultError) as raised:
        async for message in query(prompt=prompt, options=chosen):
            messages.append(message)  # noqa: PERF401 - what came before the error counts
    return messages, raised.value


def closing(messages: AsyncIterator[Message]) -> aclosing[AsyncGenerator[Message, None]]:
    """The SDK's iterators are generators, whatever their types say."""
    assert isinstance(messages, AsyncGenerator)
    return aclosing(messages)


def result(messages: list[Message]) -> ResultMessage:
    """The last message, which is the only result."""
    found = [message for message in messages if isinstance(message, ResultMessage)]
    assert found == messages[-1:], messages
    return found[0]


def results(messages: list[Message]) -> list[str | None]:
    return [message.result for message in messages if isinstance(message, ResultMessage)]


def said(messages: list[Message]) -> list[str]:
    """What the agent said."""
    return [
        block.text
        for message in messages
        if isinstance(message, AssistantMessage)
        for block in message.content
        if isinstance(block, TextBlock)
    ]


def tool_results(messages: list[Message]) -> list[tuple[Any, bool]]:
    """What the tools gave, and whether it is an error."""
    return [
        (block.content, bool(block.is_error))
        for message in messages
        if isinstance(message, UserMessage) and not isinstance(message.content, str)
        for block in message.content
        if isinstance(block, ToolResultBlock)
    ]


def frame(prompt: str) -> dict[str, Any]:
    """A prompt as streamed input has it."""
    return {"type": "user", "message": {"role": "user", "content": prompt}, "parent_tool_use_id": None}


async def frames(*prompts: str) -> AsyncIterator[dict[str, Any]]:
    for prompt in prompts:
        yield frame(prompt)


def use(tool: str, **given: Any) -> str:
    """A prompt that makes the offline model call a tool."""
    return f"Use the tool {tool} with {json.dumps(given)}"


def writes(path: str | Path, content: str = "hello") -> str:
    return use("Write", file_path=str(path), content=content)
