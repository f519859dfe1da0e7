"""`Client`: a conversation held open, under the names of the vendors' SDKs."""

import warnings
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, final

import trio

from triologue.actors import Turn
from triologue.errors import CallerError
from triologue.manager import Controls, Session, check_for, check_store, default_agent
from triologue.messages import (
    McpSetServersResult,
    Message,
    Prompt,
    Request,
    ServerInfo,
)
from triologue.options import Options
from triologue.ports import Agent, SessionStore
from triologue.sdk.feed import Feed, Prompts, send_each
from triologue.sdk.root import Hold, Root
from triologue.sdk.unread import Everything, Response, UnreadTurns


@final
class Client(Controls):
    """One conversation, turn by turn.

    `async with Client() as client` is preferred. `connect()` and `disconnect()` may be called from any task, for
    objects that outlive a block; forgetting to disconnect warns, and is made up for before `trio.run` returns.

    Args:
        options: how, and which conversation; copied at `connect`.
        agent: who answers; None: `$TRIOLOGUE_AGENT`, else Claude Code.
        store: where the conversation is kept; see `query`.
    """

    def __init__(
        self,
        options: Options | None = None,
        agent: Agent | None = None,
        store: SessionStore | str | Path | None = None,
    ) -> None:
        self._options = options if options is not None else Options()
        self._agent = agent if agent is not None else default_agent()
        self._store = store
        self._root: Root | None = None
        self._hold: Hold | None = None
        self._session_id: str | None = None
        """Of the conversation that was held last."""
        self._is_connected = False
        self._unread = UnreadTurns()

    @property
    def session_id(self) -> str | None:
        """The conversation's id, also after `disconnect`; None before the agent told it."""
        return self._hold.session.session_id if self._hold is not None else self._session_id

    async def __aenter__(self) -> "Client":
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def connect(self, prompt: Prompts | None = None) -> None:
        """Open the conversation. The agent starts with the first prompt.

        Args:
            prompt: the first one; or an async iterable of them, which is read while their replies are. What it raises
                is raised to whoever reads those.

        Raises:
            InvalidOption, UnsupportedOption: options that cannot be.
            CallerError: it is connected already.
            SessionIdInUse, SessionElsewhere, StoreError: where there is a store.
        """
        if self._is_connected:
            raise CallerError("this client is connected already; disconnect it first, or make another one")
        check_for(self._agent, self._options)
        check_store(self._store)
        options = self._options.copy()
        root = Root.current(self._store)
        self._is_connected = True
        try:
            self._hold = await root.hold(self._agent, options)
            self._root = root
            if not self._is_connected:  # by another task, meanwhile
                raise CallerError("this client was disconnected before it was connected; connect it again")
            self._unread.background.told = self._hold.begin
            if isinstance(prompt, AsyncIterable):
                self.feed(prompt)
            elif prompt is not None:
                await self.query(prompt)
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        """Let the agent go; from any task, as often as you like. The client can be connected again."""
        self._is_connected = False
        unread, self._unread = self._unread, UnreadTurns()
        unread.end()
        root, hold = self._root, self._hold
        if root is None or hold is None:
            await trio.lowlevel.checkpoint()
            return
        hold.session.wake_readers()
        if unread.feed is not None:
            unread.feed.cancel()
            with trio.CancelScope(shield=True):
                await unread.feed.wait_over()
        unread.clear()
        await root.let_go(hold)
        if self._hold is hold:
            self._hold, self._session_id = None, hold.session.session_id

    async def query(self, prompt: Prompts) -> None:
        """Send a prompt, or each of an async iterable of prompts; return when it is accepted.

        Of an iterable only so many are sent ahead of the replies. It does not wait until these are read: of more than
        100 that nobody has read the oldest are dropped. For who reads slowly there is `feed`, which waits.

        Raises:
            MailboxFull, InvalidOption: it was not accepted.
            CallerError: the client is not connected, or not any more when the next one of an iterable is to be sent.
        """
        session, unread = self._connected(), self._unread

        async def send(prompt: Prompt) -> Turn:
            if unread.is_over:  # each would wake the agent again that is to go
                raise CallerError(
                    "this client was disconnected before all prompts were sent; connect it, and send the rest"
                )
            return await unread.send(session, prompt)

        # Who left a reply, or interrupted it, and asks something else does not want the rest of it any more.
        unread.drop_stale()
        await send_each(send, prompt)

    def feed(self, prompts: AsyncIterable[Prompt]) -> None:
        """Send each of an async iterable of prompts from now on, while replies are read; `disconnect` stops it.

        What it raises is raised to whoever reads the replies. Who reads slowly holds it back, once 100 of them wait.

        Raises:
            CallerError: the client is not connected, or is being fed already.
        """
        session, unread = self._connected(), self._unread

        async def send(prompt: Prompt) -> Turn:
            await unread.wait_room()
            return await unread.send(session, prompt)

        if self._root is None or (unread.feed is not None and not unread.feed.is_over):
            raise CallerError("this client is fed by an iterable already; wait until that is over")
        unread.feed = Feed(session, prompts, send=send)
        self._root.start_soon(unread.run, unread.feed)

    def receive_response(self) -> AsyncIterator[Message]:
        """The messages of the oldest turn that is not read yet, up to its result.

        Left early and called again, it goes on where it was. With no such turn it ends at once. A turn without a
        result raises what ended it.
        """
        self._connected()
        return Response(self._unread)

    def receive_messages(self) -> Everything:
        """Everything that is said, from the oldest turn that is not read yet, until the client is disconnected.

        What the agent has said of its own accord since the last reader left comes too, unless `receive_response` has
        read a reply since then. It also ends when the conversation turns out to be deleted; called again, it reads the
        one that the next prompt begins.

        A turn without a result raises what ended it.
        """
        session = self._connected()
        assert self._hold is not None
        reader = session.open_reader(self._unread.begin_at(session.statistics().records))
        return Everything(self, self._unread, reader, self._hold.left_behind)

    async def interrupt(self) -> str:
        """Stop the turn that runs; the conversation goes on. See `Session.interrupt`."""
        return await self._connected().interrupt()

    async def set_model(self, model: str | None = None) -> None:
        """Use this model from now on."""
        await self._connected().set_model(model)

    async def set_permission_mode(self, mode: str) -> None:
        """Use this permission mode from now on."""
        await self._connected().set_permission_mode(mode)

    async def control(self, request: Request | dict[str, Any]) -> dict[str, Any]:
        """Ask anything of the agent; see `Controls.control`."""
        return await self._connected().control(request)

    async def set_mcp_servers(self, servers: dict[str, Any]) -> McpSetServersResult:
        """Replace the MCP servers that were added this way; see `Controls.set_mcp_servers`."""
        return await self._connected().set_mcp_servers(servers)

    async def get_server_info(self) -> ServerInfo:
        """What the agent told of itself when it started; one that sleeps is started."""
        return await self._connected().get_server_info()

    @property
    def is_connected(self) -> bool:
        """Between `connect` and `disconnect`?"""
        return self._is_connected

    def _connected(self) -> Session:
        if not self._is_connected or self._hold is None or self._root is None:
            raise CallerError("this client is not connected; use `async with Client(...)`, or call connect() first")
        self._root.refuse_elsewhere()
        return self._hold.session

    def __del__(self) -> None:
        if getattr(self, "_is_connected", False) and self._root is not None and self._hold is not None:
            name = self.session_id or "a client"
            warnings.warn(
                f"{name} was never disconnected; use `async with Client() as client`, or `await client.disconnect()`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
            self._root.abandon(self._unread.feed, self._hold)
