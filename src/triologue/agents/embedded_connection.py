"""The link to an engine in this process."""

import logging
from typing import Self, final

import trio

from triologue.agents.stderr import ErrorOutput
from triologue.engine import EngineSetup, Server, begin
from triologue.engine.inbox import Inbox
from triologue.messages import Message
from triologue.ports import Exit, Sink

logger = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds that a running turn gets when the connection's block is left normally; then it is cancelled."""

_IN_ORDER = Exit()


@final
class EmbeddedConnection:
    """A link to one engine, which has a task only while it has something to do: ten thousand of them rest.

    A class and not an async generator, which weighs more than all that is in it.

    Args:
        sink: takes what it says.
        setup: what it is made of.
    """

    __slots__ = ("_exit", "_gone", "_inbox", "_nursery", "_opening", "_scope", "_server", "_setup", "_sink")

    _nursery: trio.Nursery

    def __init__(self, sink: Sink, setup: EngineSetup) -> None:
        self._opening = trio.open_nursery()
        self._sink = sink
        self._setup = setup
        self._inbox = Inbox()
        self._server: Server | None = None
        """None before its first step."""
        self._scope: trio.CancelScope | None = None
        """Of its task; None while it rests."""
        self._gone = trio.Event()
        self._exit = _IN_ORDER

    async def __aenter__(self) -> Self:
        self._nursery = await self._opening.__aenter__()
        self._go_on()
        return self

    async def __aexit__(self, kind: object, left_by: BaseException | None, trace: object) -> None:
        self.stop(eof=left_by is None)
        with trio.CancelScope(shield=True):
            with trio.move_on_after(GRACE):
                await self._gone.wait()
            self.stop(eof=False)
            await self._gone.wait()
        # It does not hear how the block was left, as it would wrap that in a group.
        await self._opening.__aexit__(None, None, None)

    @property
    def pid(self) -> int | None:
        """None: it has no process of its own."""
        return None

    def send(self, message: Message) -> None:
        """Send one frame."""
        self._inbox.put([message])
        self._go_on()

    async def wait_exit(self) -> Exit:
        """Wait until the engine has ended."""
        await self._gone.wait()
        return self._exit

    def stop(self, *, eof: bool) -> None:
        """End the input, so that it finishes what waits; or cancel it."""
        self._inbox.close()
        self._go_on()
        if not eof and self._scope is not None:
            self._scope.cancel()

    def _go_on(self) -> None:
        if self._scope is None and not self._gone.is_set():
            # Shielded, so that the engine ends only by `stop`, and whoever leaves the block sees it end.
            self._scope = trio.CancelScope(shield=True)
            self._nursery.start_soon(self._run, self._scope)

    async def _run(self, scope: trio.CancelScope) -> None:
        """Be the engine until it rests, or ends."""
        ended: Exit | None = self._exit
        try:
            with scope:
                ended = await self._serve()
        except Exception:
            # The sink failed on the very first frame; the host hears of it as a crash.
            logger.exception("an embedded agent failed")
            ended = Exit(code=1, stderr_tail="the built-in agent failed before it began\n")
        finally:
            self._scope = None
            if ended is not None:
                self._end(ended)

    async def _serve(self) -> Exit | None:
        """Hear what came, and do what there is to do; gives its exit when that was the last."""
        if self._server is None:
            server = begin(self._sink, setup=self._setup)
            if isinstance(server, Exit):
                return server
            self._server = server
        ended = None
        while ended is None and not self._inbox.is_drained:
            ended = await self._server.hear(self._inbox)
        return ended

    def _end(self, exit: Exit) -> None:
        self._exit = exit
        self._inbox.close()
        self._gone.set()
        if exit.stderr_tail:
            said = ErrorOutput(self._setup.options.stderr, "embedded")
            said.feed(exit.stderr_tail.encode())
            said.close()
