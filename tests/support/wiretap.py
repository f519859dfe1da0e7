"""An agent with a tap on its line: all that passed between it and the session, in both directions and in order."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import final

from tests.support.other_agent import OtherAgent
from triologue.messages import (
    AnyRequest,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    HookCallback,
    McpMessage,
    Message,
)
from triologue.options import Options
from triologue.ports import Agent, Carrier, Connection, Exit, Sink


@final
class Wiretap(OtherAgent):
    """Another agent, unchanged, whose frames are kept. For one connection at a time, or what is said of ids is unsure."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
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
