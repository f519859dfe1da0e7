"""What serves one connection: its callbacks, its MCP servers, and who is told of what the agent says of itself."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation
from triologue.actors.inside import AtHome
from triologue.actors.log_extra import log_extra
from triologue.actors.notices import Notices, is_told
from triologue.actors.owner import Owner
from triologue.actors.world import World
from triologue.hosting import Service, Tokens
from triologue.options import Options
from triologue.ports import ProvidesTokens

logger = logging.getLogger("triologue.session")


@final
class Servants:
    """Serves one connection in its block: in a task of the manager's nursery, which begins with its first work.

    Beside the session, because a callback that shields itself from its cancellation goes on there, and holds up neither
    the session nor who closes it. With its first work, because most connections at rest have not called back yet, and
    each of their tasks with its nursery would weigh a fifth of the whole session; the callbacks too are made then.

    Args:
        options: what the connection is started with.
        world: what is shared: the nursery, and how long is waited for what is cancelled.
        conversation: whose they are.
        owner: takes what came of callbacks, and what is a bug, here or in a replaceable part.

    Raises:
        TriologueError: the options name what cannot be served.
    """

    __slots__ = (
        "_callbacks",
        "_conversation",
        "_ended",
        "_nursery",
        "_options",
        "_owner",
        "_scope",
        "_waiting",
        "_world",
        "notices",
    )

    def __init__(self, options: Options, world: World, conversation: Conversation, owner: Owner) -> None:
        self._options = options
        self._world = world
        self._conversation = conversation
        self._owner = owner
        self._scope: trio.CancelScope | None = None
        """Of the task; None before it was begun."""
        self._nursery: trio.Nursery | None = None
        self._ended: trio.Event | None = None
        """The task has ended; None before it was begun."""
        self._waiting: tuple[Callable[[trio.Nursery], None], ...] = ()
        """What starts in the nursery as soon as that is open."""
        # What could not be served is to be told now, and not when the agent asks for it.
        self._callbacks = self._new_callbacks() if options.hooks or options.mcp_servers else None
        self.notices = Notices(options, conversation.key) if is_told(options) else None
        """Where somebody wants to be told of what the agent says of itself."""

    @property
    def callbacks(self) -> Callbacks:
        """What the agent may ask for."""
        if self._callbacks is None:
            self._callbacks = self._new_callbacks()
        return self._callbacks

    def _new_callbacks(self) -> Callbacks:
        agent = self._conversation.agent
        tokens: Tokens = agent.tokens if isinstance(agent, ProvidesTokens) else {}
        service = Service(self._options, tokens, self._start_soon)
        return Callbacks(self._start_soon, service, self._owner.post, self._conversation.key)

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()  # first: cancelled here, there is nothing yet that would have to be ended
        if self.notices is not None:
            self._start_soon(self.notices.run)

    async def __aexit__(self, *left_by: object) -> None:
        self._scope = self._scope or trio.CancelScope()  # what is begun later ends at once
        self._scope.cancel()
        if self._ended is not None:
            await self._wait_ended(self._ended)
        else:
            # As when something ends: who has just heard that the agent died, and sends at once, finds this session awake.
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def _wait_ended(self, ended: trio.Event) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(self._world.deadlines.close):
            await ended.wait()
        if not ended.is_set():
            key = self._conversation.key
            told = log_extra(key)
            text = "a callback of the session %r shields itself from its cancellation; it is waited for no longer"
            logger.error(text, key, extra=told)

    def _start_soon(self, work: Callable[..., Awaitable[object]], /, *args: Any, name: object = None) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(work, *args, name=name)
            return
        self._waiting += (lambda nursery: nursery.start_soon(work, *args, name=name),)
        if self._ended is None:
            self._ended = trio.Event()
            self._scope = self._scope or trio.CancelScope()
            self._world.nursery.start_soon(self._run, self._scope, self._ended)

    async def _run(self, scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope, AtHome(self._conversation.home):
                async with trio.open_nursery() as self._nursery:
                    waiting, self._waiting = self._waiting, ()
                    for start in waiting:
                        start(self._nursery)
                    try:
                        await trio.sleep_forever()
                    finally:
                        if self._callbacks is not None:
                            await self._callbacks.service.close()
        except Exception as error:  # noqa: BLE001 - a bug ends this conversation, and not the others
            self._owner.crash(error)
        finally:
            ended.set()
