"""What `query()` and `Client` live under: one manager per `trio.run` and store, opened when it is first needed.

With a store it is closed a while after the last of them.

It runs as a system task of trio, so it holds no scope in anyone's frame, and trio ends it, cleaned up, before `trio.run`
returns. That is what lets a query be left by `break` inside somebody's async generator, and a client be connected in
one task and disconnected in another.
"""

import logging
import os
import signal
from collections.abc import Awaitable, Callable, Hashable
from math import inf
from pathlib import Path
from typing import Any, final
from uuid import uuid4

import trio

from triologue.actors import log_extra
from triologue.agents import Embedded
from triologue.errors import ManagerClosed, SessionIdInUse, StoreError, TriologueError
from triologue.loops import refuse_elsewhere, refuse_outside
from triologue.manager import Session, SessionManager, open_manager
from triologue.options import Deadlines, Limits, Options
from triologue.ports import Agent, SessionStore
from triologue.sdk.feed import Feed
from triologue.sdk.kept import begin, find_kept

logger = logging.getLogger("triologue.sdk")

# A client holds its agent until it disconnects, however many clients there are and however long an agent takes: so it is
# with the vendors' SDKs, and their programs rely on it.
LIMITS = Limits(max_live=100_000)
DEADLINES = Deadlines(first_event=None, silence=None, idle=None)

GRACE = 5.0
"""Seconds for which a store that nobody uses stays open, for the next query."""

_roots: "trio.lowlevel.RunVar[dict[Hashable, Root]]" = trio.lowlevel.RunVar("triologue.sdk.roots")


@final
class Hold:
    """That a query or a client has a conversation, from its beginning until it is let go; no other one is meant by it."""

    def __init__(self, session: Session, begin: int, left_behind: frozenset[str]) -> None:
        self.session = session
        self.begin = begin
        """The `seq` that its log had got to by then, where a store has it."""
        self.left_behind = left_behind
        """The ids of turns that a host which died had not ended: no one who holds it now has asked for them."""
        self.is_let_go = False
        self.is_over = trio.Event()
        """It is let go, and the agent is gone."""


def _has_interrupt(error: BaseException) -> bool:
    """Was it Ctrl-C, among others?"""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt)


@final
class Root:
    """The manager behind every query and client of one `trio.run` that have the same store.

    Args:
        store: where their conversations are kept.
    """

    def __init__(self, store: SessionStore | Path | None) -> None:
        self._store = store
        self._keys: set[str] = set()
        """Of the conversations that are held."""
        self._users = 0
        """Who holds a conversation, or is about to."""
        self._grace = trio.CancelScope()
        """In which it waits for the next one to use it; ends where there is a store, and nobody has used it for a while."""
        self._is_open = trio.Event()
        self._manager: SessionManager | None = None
        self._nursery: trio.Nursery | None = None
        self._failure: Exception | None = None
        self._token = trio.lowlevel.current_trio_token()

    @classmethod
    def current(cls, store: SessionStore | str | Path | None = None) -> "Root":
        """The root of the running `trio.run` for this store; begun at the first call.

        Raises:
            RuntimeError: this is not called inside `trio.run`.
        """
        if isinstance(store, str | Path):
            store = Path(os.path.realpath(store))
        name = store if isinstance(store, Path) or store is None else id(store)
        roots = cls._all()
        if name not in roots:
            root = roots[name] = cls(store)
            trio.lowlevel.spawn_system_task(root._run, name="triologue.sdk root")
        return roots[name]

    def refuse_elsewhere(self) -> None:
        """Serve only the `trio.run` whose root this is.

        Raises:
            RuntimeError: this is called in another one, or in none.
        """
        refuse_elsewhere(self._token)

    @staticmethod
    def _all() -> "dict[Hashable, Root]":
        refuse_outside()
        try:
            return _roots.get()
        except LookupError:
            _roots.set({})
            return _roots.get()

    async def _run(self) -> None:
        try:
            # Every session brings its own agent, so which one the manager has does not matter.
            async with open_manager(Embedded(), limits=LIMITS, deadlines=DEADLINES, store=self._store) as manager:
                self._manager = manager
                await self._host()
        except StoreError as error:  # it is told to who waits; the next one may find the file mended
            self._failure = error
            if self._is_open.is_set():  # nobody waits: it came as the store was closed
                logger.warning("what query() and Client have kept: %s", error)
            self._retire()
        except Exception as error:  # a system task must not raise: trio would take it for a bug of its own
            logger.exception("what query() and Client live under broke")
            self._failure = error
        except BaseException as error:
            if not _has_interrupt(error):
                raise
            # Ctrl-C came while a callback of the program ran, which is below this task. It is for the main one.
            signal.raise_signal(signal.SIGINT)
        finally:
            self._manager = None
            self._is_open.set()

    async def _host(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._is_open.set()
            try:
                await self._wait_unused()
                self._retire()
            finally:
                self._nursery = None  # while it ends, nothing new begins

    async def _wait_unused(self) -> None:
        with self._grace:
            await trio.sleep_forever()
        while self._users:  # somebody came as the time was up
            with trio.CancelScope() as self._grace:
                await trio.sleep_forever()

    def _retire(self) -> None:
        """The next one who names the store opens it anew."""
        roots = self._all()
        for name in [name for name, root in roots.items() if root is self]:
            del roots[name]

    async def hold(self, agent: Agent, options: Options) -> Hold:
        """A session of its own for a query or a client, which is to let it go.

        Raises:
            ManagerClosed: `trio.run` is about to return.
            StoreError: the store cannot be opened, or read.
            SessionIdInUse: another query or client holds the conversation.
            InvalidOption: it is with another agent, or in another folder.
        """
        self._users += 1
        self._grace.deadline = inf
        try:
            return await self._begin(agent, options)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self._users -= 1
        if not self._users and self._store is not None:
            self._grace.deadline = trio.current_time() + GRACE

    async def _begin(self, agent: Agent, options: Options) -> Hold:
        await self._is_open.wait()
        manager = self._manager
        if manager is None or self._nursery is None:
            if isinstance(self._failure, StoreError):
                raise self._failure
            raise ManagerClosed("trio.run is ending, so no conversation can begin") from self._failure
        head = await find_kept(manager, agent, options) if self._store is not None else None
        if head is not None and head.key in self._keys and not options.fork_session:
            raise SessionIdInUse(
                f"the conversation {head.session_id} is held by another query or client; wait until that is over, or "
                "copy it with fork_session=True"
            )
        session = await begin(manager, agent, options, key=f"sdk/{uuid4().hex}", head=head)
        self._keys.add(session.key)
        if head is None:
            return Hold(session, 0, frozenset())
        last = head.last_seq if session.key == head.key else 0
        return Hold(session, last, frozenset(turn.id for turn in head.unfinished))

    def start_soon(self, work: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run something that must not raise, until it is done or `trio.run` ends."""
        if self._nursery is not None:
            self._nursery.start_soon(work, *args)

    async def let_go(self, hold: Hold) -> None:
        """Close a session and forget it; shielded, and bounded by the deadlines of its manager.

        Once only: whoever asks again waits for the first, since another one may have the conversation by then.
        """
        if self._manager is None:  # then it ended with `trio.run`
            await trio.lowlevel.checkpoint()
            return
        # What the agent waits for is cancelled by what it would wait for here, so it must not be shielded from that.
        is_inside = self._manager.is_waiting_for_caller(hold.session.key)
        if not hold.is_let_go:
            hold.is_let_go = True
            if not is_inside:
                await self._close(hold)
                return
            self.start_soon(self._close, hold)
        with trio.CancelScope(shield=not is_inside):
            await hold.is_over.wait()

    async def _close(self, hold: Hold) -> None:
        key = hold.session.key
        try:
            with trio.CancelScope(shield=True):
                if self._manager is not None:
                    await self._manager.put_away(key)
        except TriologueError as error:
            logger.warning("closing %r: %s", key, error, extra=log_extra(key))
        finally:
            self._keys.discard(key)
            self._leave()
            hold.is_over.set()

    def abandon(self, feed: Feed | None, hold: Hold) -> None:
        """The same from where nobody can wait: a finalizer, which may run at any point of any thread."""
        try:
            self._token.run_sync_soon(self._abandon, feed, hold)
        except trio.RunFinishedError:
            pass  # then it has ended already

    def _abandon(self, feed: Feed | None, hold: Hold) -> None:
        if feed is not None:
            feed.cancel()
        self.start_soon(self.let_go, hold)
