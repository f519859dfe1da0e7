"""One conversation with the real Claude Code CLI without a session above it: frames in, frames out."""

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

import trio

from tests.support.real_cli import CleanPlace
from triologue.agents.claude_code import ClaudeCode
from triologue.agents.process import open_carrier
from triologue.messages import (
    ControlError,
    ControlResponse,
    ControlSuccess,
    Message,
    Request,
    ResultMessage,
    user_message,
)
from triologue.messages.prompts import Prompt
from triologue.options import Options
from triologue.ports import Connection
from triologue.wire import Dialogue

PATIENCE = 60.0
M = TypeVar("M", bound=Message)


@final
class Talk:
    """One connection, without a session above it: frames in, frames out."""

    connection: Connection

    def __init__(self, options: Options, agent: ClaudeCode) -> None:
        self.said: list[Message] = []
        self._options = options
        self._agent = agent
        self._dialogue = Dialogue()
        self._heard = trio.Event()

    def take(self, batch: list[Message]) -> None:
        self.said += batch
        self._heard.set()
        self._heard = trio.Event()

    async def wait(self, kind: type[M], predicate: Callable[[M], bool] = lambda message: True) -> M:
        """The first such message, now or later."""
        with trio.move_on_after(PATIENCE):
            while True:
                for message in self.said:
                    if isinstance(message, kind) and predicate(message):
                        return message
                await self._heard.wait()
        raise AssertionError(f"no such {kind.__name__}; it said {[type(message).__name__ for message in self.said]}")

    async def ask(self, request: Request) -> ControlSuccess | ControlError:
        frame = self._dialogue.ask(request)
        self.connection.send(frame)
        answer = await self.wait(ControlResponse, lambda message: message.response.request_id == frame.request_id)
        return answer.response

    async def initialize(self) -> dict[str, Any]:
        answer = await self.ask(self._agent.initialize(self._options))
        assert isinstance(answer, ControlSuccess)
        return answer.response or {}

    def prompt(self, prompt: Prompt) -> str:
        """Send a prompt; returns its uuid."""
        message = user_message(prompt)
        message.uuid = str(uuid.uuid4())
        self.connection.send(self._agent.user_frame(message, self._options))
        return message.uuid

    async def turn(self, prompt: Prompt) -> ResultMessage:
        """A prompt and its result."""
        return await self.wait_result(self.prompt(prompt))

    async def wait_result(self, prompt_uuid: str) -> ResultMessage:
        return await self.wait(ResultMessage, lambda result: prompt_uuid in (result.user_message_uuids or []))

    def all(self, kind: type[M]) -> list[M]:
        return [message for message in self.said if isinstance(message, kind)]


@asynccontextmanager
async def open_talk(place: CleanPlace, options: Options | None = None) -> AsyncGenerator[Talk]:
    options = options or Options()
    options.cwd = options.cwd or place.cwd
    agent = ClaudeCode(environ=place.env)
    talk = Talk(options, agent)
    async with open_carrier() as carrier, agent.connect(options, sink=talk.take, carrier=carrier) as talk.connection:
        yield talk
