"""What the SDKs of Qoder and Cortex Code have in common: the names of their classes, and so the programs with them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, TypeAlias, final

from tests.foreign.table import Place, Suite
from tests.support.standin_program import write_script

Rule: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@final
@dataclass(frozen=True)
class Reply:
    """The messages of one turn."""

    messages: list[Any]

    @property
    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.messages]

    @property
    def text(self) -> str:
        """What the main agent said."""
        return "".join(
            block.text
            for message in self.of("AssistantMessage")
            for block in message.content
            if hasattr(block, "text") and message.parent_tool_use_id is None
        )

    @property
    def result(self) -> Any:
        (result,) = self.of("ResultMessage")
        return result

    @property
    def tool_results(self) -> list[Any]:
        return [block for message in self.of("UserMessage") for block in message.content if hasattr(block, "is_error")]

    @property
    def deltas(self) -> str:
        """The pieces of text that came before the whole."""
        deltas = [event.event.get("delta", {}) for event in self.of("StreamEvent")]
        return "".join(delta.get("text", "") for delta in deltas)

    def of(self, *kinds: str) -> list[Any]:
        return [message for message in self.messages if type(message).__name__ in kinds]


@final
@dataclass(frozen=True)
class Sdk:
    """One of the two SDKs.

    Attributes:
        module: the package.
        client: its client class.
        make_options: its options, with what every program needs.
        suite: takes the programs.
    """

    module: Any
    client: Any
    make_options: Callable[..., Any]
    suite: Suite

    def shows(self, program: "Program", *features: str) -> None:
        """Have a program show features of this SDK."""
        self.suite.shows(*features)(update_wrapper(partial(program, self), program))

    def tool(self, name: str, told: str, schema: dict[str, Any]) -> Callable[[Handler], Any]:
        """The SDK's decorator."""
        decorate: Callable[[Handler], Any] = self.module.tool(name, told, schema)
        return decorate

    def options(self, place: Place, *rules: Rule, **more: Any) -> Any:
        """Options with our agent, and a script for its model if there are rules."""
        env: dict[str, str] = more.pop("env", {})
        if rules:
            env = {**env, "TRIOLOGUE_SCRIPT": str(write_script(place.cwd, *rules))}
        return self.make_options(**{"cli_path": place.agent, "cwd": place.cwd, "env": env, **more})

    @asynccontextmanager
    async def talk(self, place: Place, *rules: Rule, **more: Any) -> AsyncIterator[Any]:
        """A connected client."""
        async with self.client(self.options(place, *rules, **more)) as client:
            yield client

    async def one_shot(self, place: Place, prompt: Any, *rules: Rule, **more: Any) -> Reply:
        """Everything that `query()` gives."""
        options = self.options(place, *rules, **more)
        return Reply([message async for message in self.module.query(prompt=prompt, options=options)])


Program: TypeAlias = Callable[[Sdk, Place], Awaitable[None]]


async def ask(client: Any, prompt: Any) -> Reply:
    """One turn of a client."""
    await client.query(prompt)
    return await hear(client)


async def hear(client: Any) -> Reply:
    """The messages up to the next result."""
    return Reply([message async for message in client.receive_response()])


async def hear_until(client: Any, *kinds: str) -> list[Any]:
    """The messages up to the first one of these kinds."""
    messages = []
    async for message in client.receive_messages():
        messages.append(message)
        if type(message).__name__ in kinds:
            break
    return messages


async def prompts(first: str, *others: str, answered: asyncio.Semaphore) -> AsyncIterator[dict[str, Any]]:
    """Prompts as a program streams them that waits for each answer before it goes on."""
    yield _prompt(first)
    for content in others:
        await answered.acquire()
        yield _prompt(content)


def _prompt(content: str) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": content}, "parent_tool_use_id": None}


def use(tool: str, **given: Any) -> Rule:
    """A step of a script: call a tool."""
    return {"tool": tool, "input": given}
