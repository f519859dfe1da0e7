"""`Client`: a conversation held open, under the names of the vendors' SDKs."""

import warnings
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import final

import trio

from triologue.actors import Turn
from triologue.errors import CallerError
from triologue.manager import Session, default_agent
from triologue.messages import Message, Prompt, ResultMessage, TurnEnded, is_of_agent
from triologue.options import Options, check_options
from triologue.ports import Agent
from triologue.sdk.feed import Prompts, cause_of
from triologue.sdk.root import Root


@final
class Client:
    """One conversation, turn by turn.

    `async with Client() as client` is preferred. `connect()` and `disconnect()` may be called from any task, for
    objects that outlive a block; forgetting to disconnect warns, and is made up for before `trio.run` returns.

    Args:
        options: how, and which conversation; copied at `connect`.
        agent: who answers; None: `$TRIOLOGUE_AGENT`, else Claude Code.
    """

    def __init__(self, options: Options | None = None, agent: Agent | None = None) -> None:
        self._options = options or Options()
        self._agent = agent or default_agent()
        self._root: Root | None = None
        self._session: Session | None = None
        self._last_session_id: str | None = None
        self._unread: deque[tuple[Turn, AsyncIterator[Message]]] = deque()

    @property
    def session_id(self) -> str | None:
        """The conversation's id, also after `disconnect`; None before the agent told it."""
        return self._session.session_id if self._session is not None else self._last_session_id

    async def __aenter__(self) -> "Client":
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def connect(self, prompt: Prompts | None = None) -> None:
        """Open the conversation. The agent starts with the first prompt.

        Raises:
            InvalidOption, UnsupportedOption: options that cannot be.
            CallerError: it is connected already.
        """
        if self._session is not None:
            raise CallerError("this client is connected already; disconnect it first, or make another one")
        options = self._options.copy()
        check_options(options)
        self._agent.check(options)
        self._root = Root.current()
        self._session = await self._root.session(self._agent, options)
        if prompt is not None:
            await self.query(prompt)

    async def disconnect(self) -> None:
        """Let the agent go; from any task, as often as you like."""
        root, session = self._root, self._session
        self._root = self._session = None
        self._unread.clear()
        if root is None or session is None:
            await trio.lowlevel.checkpoint()
            return
        self._last_session_id = session.session_id
        session.wake_readers()
        await root.let_go(session)

    async def query(self, prompt: Prompts) -> None:
        """Send a prompt, or each of an async iterable of prompts; return when it is accepted.

        Raises:
            MailboxFull, InvalidOption: it was not accepted.
            CallerError: the client is not connected.
        """
        session = self._connected()
        # Whoever has not read a reply by now does not want it: a later `receive_response` must not give a stale one.
        self._unread = deque(item for item in self._unread if item[0].outcome is None)
        prompts = prompt if isinstance(prompt, AsyncIterable) else _one(prompt)
        async for item in prompts:
            turn = await session.send(item)
            self._unread.append((turn, turn.__aiter__()))

    def receive_response(self) -> AsyncIterator[Message]:
        """The messages of the oldest turn that is not read yet, up to its result.

        Left early and called again, it goes on where it was. With no such turn it ends at once. A turn without a
        result raises what ended it.
        """
        self._connected()
        return _Response(self._unread)

    def receive_messages(self) -> AsyncIterator[Message]:
        """Everything that is said, from the oldest turn that is not read yet, until the client is disconnected."""
        session = self._connected()
        return _Everything(self, session, self._unread[0][0].begin if self._unread else None)

    async def interrupt(self) -> str:
        """Stop the turn that runs; the conversation goes on. See `Session.interrupt`."""
        return await self._connected().interrupt()

    async def set_model(self, model: str | None = None) -> None:
        """Use this model from now on."""
        await self._connected().set_model(model)

    async def set_permission_mode(self, mode: str) -> None:
        """Use this permission mode from now on."""
        await self._connected().set_permission_mode(mode)

    @property
    def is_connected(self) -> bool:
        """Between `connect` and `disconnect`?"""
        return self._session is not None

    def _connected(self) -> Session:
        if self._session is None:
            raise CallerError("this client is not connected; use `async with Client(...)`, or call connect() first")
        return self._session

    def __del__(self) -> None:
        root, session = getattr(self, "_root", None), getattr(self, "_session", None)
        if root is not None and session is not None:
            warnings.warn("a Client was never disconnected; use `async with`", ResourceWarning, stacklevel=2)
            root.let_go_soon(session)


async def _one(prompt: Prompt) -> AsyncIterator[Prompt]:
    yield prompt


@final
class _Response:
    """One turn's messages; the turn stays unread until its end was reached."""

    def __init__(self, unread: deque[tuple[Turn, AsyncIterator[Message]]]) -> None:
        self._unread = unread
        self._turn = unread[0] if unread else None

    def __aiter__(self) -> "_Response":
        return self

    async def __anext__(self) -> Message:
        if self._turn is None:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        turn, messages = self._turn
        try:
            message = await messages.__anext__()
        except StopAsyncIteration:
            self._finish(turn)
            if turn.outcome is not None and turn.outcome.result is None and turn.outcome.error is not None:
                raise cause_of(turn.outcome.error) from None
            raise
        if isinstance(message, ResultMessage):
            self._finish(turn)
        return message

    def _finish(self, turn: Turn) -> None:
        self._turn = None
        if self._unread and self._unread[0][0] is turn:
            self._unread.popleft()


@final
class _Everything:
    """All that a session says, turn after turn, as long as its client is connected."""

    def __init__(self, client: Client, session: Session, begin: int | None) -> None:
        self._client = client
        self._reader = session.open_reader(begin)
        self._ready: deque[Message] = deque()

    def __aiter__(self) -> "_Everything":
        return self

    async def __anext__(self) -> Message:
        while not self._ready:
            if not self._client.is_connected:
                raise StopAsyncIteration
            for batch in await self._reader.receive():
                for message in batch.messages:
                    if is_of_agent(message):
                        self._ready.append(message)
                    elif type(message) is TurnEnded and message.outcome.result is None:
                        self._raise(message)
        return self._ready.popleft()

    @staticmethod
    def _raise(message: TurnEnded) -> None:
        if message.outcome.error is not None:
            raise cause_of(message.outcome.error)
