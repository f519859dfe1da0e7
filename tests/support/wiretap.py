"""An agent with a tap on its line: all that passed between it and the session, in both directions and in order."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, final

from triologue.errors import TriologueError
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    HookCallback,
    McpMessage,
    Message,
    PermissionResult,
    Request,
    ResultMessage,
    UserMessage,
)
from triologue.options import Options
from triologue.ports import Agent, Carrier, Connection, Exit, Sink


@final
class Wiretap:
    """Another agent, unchanged, whose frames are kept. For one connection at a time, or what is said of ids is unsure."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.heard: list[Message] = []
        """What the agent said."""
        self.sent: list[Message] = []
        """What it was told."""

    @property
    def asked(self) -> list[tuple[str, AnyRequest]]:
        """The agent's own control requests: id and request."""
        return [(frame.request_id, frame.request) for frame in self.heard if isinstance(frame, ControlRequest)]

    @property
    def withdrawn(self) -> list[str]:
        """The ids of those that it took back."""
        return [frame.request_id for frame in self.heard if isinstance(frame, ControlCancel)]

    @property
    def answered(self) -> list[str]:
        """The ids of those that were answered, in the order of the answers."""
        return [frame.response.request_id for frame in self.sent if isinstance(frame, ControlResponse)]

    def unanswered(self) -> list[str]:
        """What was asked and never answered, each by its name: `can_use_tool`, `hook PreToolUse`, `calc tools/call`."""
        answered = set(self.answered)
        return [_name(request) for request_id, request in self.asked if request_id not in answered]

    # The agent's.

    @property
    def name(self) -> str:
        return self._agent.name

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        return self._agent.requests

    def check(self, options: Options) -> None:
        self._agent.check(options)

    def initialize(self, options: Options) -> AnyRequest:
        return self._agent.initialize(options)

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        return self._agent.permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        return self._agent.user_frame(prompt, options)

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        return self._agent.diagnose(exit, refusal, options)

    @asynccontextmanager
    async def connect(self, options: Options, *, sink: Sink, carrier: Carrier) -> AsyncGenerator[Connection]:
        def hear(batch: list[Message]) -> None:
            self.heard += batch
            sink(batch)

        async with self._agent.connect(options, sink=hear, carrier=carrier) as connection:
            yield _Tapped(connection, self.sent)


@final
@dataclass
class _Tapped:
    connection: Connection
    sent: list[Message]

    @property
    def pid(self) -> int | None:
        return self.connection.pid

    def send(self, message: Message) -> None:
        self.sent.append(message)
        self.connection.send(message)

    async def wait_exit(self) -> Exit:
        return await self.connection.wait_exit()

    def stop(self, *, eof: bool) -> None:
        self.connection.stop(eof=eof)


def _name(request: AnyRequest) -> str:
    match request:
        case HookCallback(input=given):
            return f"hook {given['hook_event_name']}"
        case McpMessage(server_name=server, message=message):
            return f"{server} {message.get('method')}"
        case _:
            return str(type(request).__struct_config__.tag)
