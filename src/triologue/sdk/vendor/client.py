"""The vendors' client over ours: it starts the agent when it connects, and raises the vendor's errors."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Any, Literal, Self, final

import trio

from triologue.errors import TriologueError
from triologue.messages import Message
from triologue.options import Options
from triologue.ports import Agent
from triologue.sdk.client import Client
from triologue.sdk.feed import Prompts
from triologue.sdk.vendor.errors import CLIConnectionError, as_vendor, translated
from triologue.sdk.vendor.shown import is_shown


class VendorClient(ABC):
    """One conversation, turn by turn. What all vendors' clients have."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._early: deque[Message] = deque()

    @abstractmethod
    def _settled(self) -> tuple[Options, Agent]:
        """The options as ours, and who answers. Asked at each `connect`."""

    @property
    def session_id(self) -> str | None:
        """The conversation's id, also after `disconnect`; None before the agent told it."""
        return self._client.session_id if self._client is not None else None

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        await self.disconnect()
        return False

    async def _connect(self, prompt: Prompts | None = None) -> None:
        """Start the agent; send the prompt, or what the async iterable gives, while replies are read."""
        with as_vendor():
            if self._client is not None and self._client.is_connected:
                raise CLIConnectionError("this client is connected already; disconnect it first")
            options, agent = self._settled()
            client = self._client = Client(options, agent)
            await client.connect()
            try:
                early = client.receive_messages()
                await client.get_server_info()
                # Some agents greet before there is a prompt; the vendors give that to who reads first.
                self._early = deque(await early.heard())
                if isinstance(prompt, AsyncIterable):
                    client.feed(prompt)
                elif prompt is not None:
                    await client.query(prompt)
            except BaseException:
                await client.disconnect()
                raise

    async def disconnect(self) -> None:
        """Let the agent go; from any task, as often as you like. The client can be connected again."""
        if self._client is not None:
            await self._client.disconnect()

    def receive_messages(self) -> AsyncIterator[Message]:
        """Everything that is said, from what is not read yet, until the client is disconnected."""
        with as_vendor():
            return Translated(self._connected().receive_messages(), self._early)

    def receive_response(self) -> AsyncIterator[Message]:
        """The messages of the oldest turn that is not read yet, up to its result."""
        with as_vendor():
            return Translated(self._connected().receive_response(), self._early)

    async def interrupt(self) -> None:
        """Stop the turn that runs; read on to its result."""
        with as_vendor():
            await self._connected().interrupt()

    async def set_permission_mode(self, mode: str) -> None:
        """Use this permission mode from now on."""
        with as_vendor():
            await self._connected().set_permission_mode(mode)

    async def set_model(self, model: str | None = None) -> None:
        """Use this model from now on; None: the agent's default."""
        with as_vendor():
            await self._connected().set_model(model)

    async def reconnect_mcp_server(self, server_name: str) -> None:
        """Connect an MCP server again."""
        with as_vendor():
            await self._connected().reconnect_mcp_server(server_name)

    async def toggle_mcp_server(self, server_name: str, enabled: bool) -> None:  # noqa: FBT001 - as the vendors have it
        """Switch an MCP server on or off."""
        with as_vendor():
            await self._connected().toggle_mcp_server(server_name, enabled)

    async def stop_task(self, task_id: str) -> None:
        """Stop one background task."""
        with as_vendor():
            await self._connected().stop_task(task_id)

    async def get_mcp_status(self) -> dict[str, Any]:
        """The MCP servers, under `mcpServers`."""
        with as_vendor():
            status = await self._connected().get_mcp_status()
        return {**status.data, "mcpServers": [server.data for server in status.mcp_servers]}

    async def get_server_info(self) -> dict[str, Any] | None:
        """What the agent told of itself when it started."""
        with as_vendor():
            return (await self._connected().get_server_info()).data

    def _connected(self) -> Client:
        if self._client is None:
            raise CLIConnectionError("not connected; call connect() first, or use `async with`")
        return self._client


@final
class Translated:
    """An iterator that gives what the vendors' SDKs give, and raises the vendor's errors."""

    def __init__(self, messages: AsyncIterator[Message], early: deque[Message] | None = None) -> None:
        self._messages = messages
        self._early = early

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while self._early:
            await trio.lowlevel.checkpoint()
            if self._early and is_shown(message := self._early.popleft()):
                return message
        # Not `as_vendor`: this runs once for every message.
        try:
            while not is_shown(message := await self._messages.__anext__()):
                pass
        except TriologueError as error:
            shown = translated(error)
            if shown is error:
                raise
            raise shown from error
        return message
