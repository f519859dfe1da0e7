"""`query()`: a prompt in, messages out."""

import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import final

import trio

from triologue.errors import WouldDeadlock
from triologue.manager import check_for, check_store, default_agent
from triologue.messages import Message
from triologue.options import Options, check_kinds
from triologue.ports import Agent, SessionStore
from triologue.sdk.feed import Prompts, Replies
from triologue.sdk.root import Hold, Root


def query(
    prompt: Prompts,
    *,
    options: Options | None = None,
    agent: Agent | None = None,
    store: SessionStore | str | Path | None = None,
) -> "Query":
    """Ask something and read everything that is said, with `async for`.

    It ends after the result; with an async iterable of prompts, after the result of its last item (none: at once). An
    exception in the iterable is raised from the loop. Error results are messages like any other; a turn that has no
    result raises what ended it.

    Prefer `async with query(...) as q`, which has let everything go when its block is left. Without it the query is
    closed soon after it was abandoned, with a `ResourceWarning`, and in any case before `trio.run` returns.

    Args:
        prompt: a `Prompt`, or an async iterable of them.
        options: how, and which conversation; copied here.
        agent: who answers; None: `$TRIOLOGUE_AGENT`, else Claude Code.
        store: where the conversation is kept, and looked for by `resume` and `continue_conversation`: the path of an
            SQLite file, or a `SessionStore`. None: as long as this process lives, or wherever the agent's program does.

    Raises, here: `InvalidOption`, `UnsupportedOption`. Raises, from the loop: `AgentNotFound`, `AgentStartError`,
    `SessionNotFound`, `SessionIdInUse`, `SessionElsewhere`, `StoreError`, `AgentCrashed`, `TurnInterrupted`,
    `InvalidOption` for what is no prompt, or what the iterable raised.
    """
    if options is not None:
        check_kinds(options)
    return Query(
        prompt,
        options.copy() if options is not None else Options(),
        agent if agent is not None else default_agent(),
        store,
    )


@final
class Query:
    """A running query. Made by `query()`; one task reads it, any task may call `interrupt` and `aclose`."""

    def __init__(
        self, prompt: Prompts, options: Options, agent: Agent, store: SessionStore | str | Path | None
    ) -> None:
        self._prompt = prompt
        self._options = options
        self._agent = agent
        self._store = store
        self._root: Root | None = None
        self._hold: Hold | None = None
        self._replies: Replies | None = None
        self._is_closed = False
        check_for(agent, options)
        check_store(store)

    @property
    def session_id(self) -> str | None:
        """The conversation's id; None before the agent told it."""
        return self._hold.session.session_id if self._hold is not None else None

    async def __aenter__(self) -> "Query":
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        if not self._is_closed:
            await self._begin()
        if self._is_closed or self._replies is None:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        try:
            return await self._replies.__anext__()
        except (trio.Cancelled, WouldDeadlock):  # whoever else reads it goes on
            raise
        except BaseException:  # the end, or a failure: either way there is nothing more
            await self.aclose()
            raise

    async def interrupt(self) -> str:
        """Stop the turn that runs; the loop goes on to its result. See `Session.interrupt`."""
        if self._hold is None or self._is_closed:
            await trio.lowlevel.checkpoint()
            return "nothing_running"
        return await self._hold.session.interrupt()

    async def aclose(self) -> None:
        """End the loop, close the input and let the agent go; from any task, as often as you like."""
        self._is_closed = True
        if self._root is None or self._hold is None or self._replies is None:
            await trio.lowlevel.checkpoint()
            return
        self._replies.end()
        self._replies.feed.cancel()
        with trio.CancelScope(shield=True):
            await self._replies.feed.wait_over()
        await self._root.let_go(self._hold)

    async def _begin(self) -> None:
        if self._replies is not None:
            return
        root = Root.current(self._store)
        hold = await root.hold(self._agent, self._options)
        if self._is_closed:  # by another task, meanwhile
            await root.let_go(hold)
            return
        self._root, self._hold = root, hold
        self._replies = Replies(hold.session, self._prompt, hold.begin, hold.left_behind)
        root.start_soon(self._replies.feed.run)

    def __del__(self) -> None:
        if self._is_closed or self._root is None or self._hold is None or self._replies is None:
            return
        if not self._replies.is_over:
            warnings.warn(
                f"{self.session_id or 'a query'} was abandoned before its result; "
                "use `async with query(...) as q`, or `await q.aclose()`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        self._root.abandon(self._replies.feed, self._hold)
