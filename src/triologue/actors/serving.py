"""What serves one connection: its callbacks, its MCP servers, and who is told of what the agent says of itself."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation
from triologue.actors.inside import AtHome
from triologue.actors.log_extra import log_extra
from triologue.actors.notices import Notices
from triologue.actors.world import World
from triologue.hosting import Service, Tokens
from triologue.options import Options
from triologue.session import inputs as on

logger = logging.getLogger("triologue.session")


@final
class Servants:
    """Serves one connection in its block: in a task of the manager's nursery, which begins with its first work.

    Beside the session, because a callback that shields itself from its cancellation goes on there, and holds up neither
    the session nor who closes it. With its first work, because most connections at rest have not called back yet, and
    each of their tasks with its nursery would weigh a fifth of the whole session.

    Args:
        options: what the connection is started with.
        tokens: what gives the tokens of the agent's log-in.
        world: what is shared: the nursery, and how long is waited for what is cancelled.
        conversation: whose they are.
        post: takes what came of callbacks.
        fail: takes what is a bug, here or in a replaceable part.

    Raises:
        TriologueError: the options name what cannot be served.
    """

    __slots__ = (
        "_ended",
        "_fail",
        "_home",
        "_key",
        "_nursery",
        "_patience",
        "_scope",
        "_service",
        "_waiting",
        "_world_nursery",
        "callbacks",
        "notices",
    )

    def __init__(
        self,
        options: Options,
        tokens: Tokens | None,
        world: World,
        conversation: Conversation,
        *,
        post: Callable[[on.Input], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._world_nursery = world.nursery
        self._patience = world.deadlines.close
        self._key, self._home = conversation.key, conversation.home
        self._fail = fail
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._ended: trio.Event | None = None
        """The task has ended; None before it was begun."""
        self._waiting: tuple[Callable[[trio.Nursery], None], ...] = ()
        """What starts in the nursery as soon as that is open."""
        self._service = Service(options, tokens or {}, self._start_soon)
        self.callbacks = Callbacks(self._start_soon, self._service, post, self._key)
        self.notices = Notices(options, self._key)

    async def __aenter__(self) -> None:
        if self.notices.is_wanted:
            self._start_soon(self.notices.run)
        await trio.lowlevel.checkpoint()

    async def __aexit__(self, *left_by: object) -> None:
        self._scope.cancel()
        if self._ended is not None:
            await self._wait_ended(self._ended)
        else:
            # As when something ends: who has just heard that the agent died, and sends at once, finds this session awake.
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def _wait_ended(self, ended: trio.Event) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(self._patience):
            await ended.wait()
        if not ended.is_set():
            told = log_extra(self._key)
            text = "a callback of the session %r shields itself from its cancellation; it is waited for no longer"
            logger.error(text, self._key, extra=told)

    def _start_soon(self, work: Callable[..., Awaitable[object]], /, *args: Any, name: object = None) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(work, *args, name=name)
            return
        self._waiting += (lambda nursery: nursery.start_soon(work, *args, name=name),)
        if self._ended is None:
            self._ended = trio.Event()
            self._world_nursery.start_soon(self._run, self._ended)

    async def _run(self, ended: trio.Event) -> None:
        try:
            with self._scope, AtHome(self._home):
                async with trio.open_nursery() as self._nursery:
                    waiting, self._waiting = self._waiting, ()
                    for start in waiting:
                        start(self._nursery)
                    try:
                        await trio.sleep_forever()
                    finally:
                        await self._service.close()
        except Exception as error:  # noqa: BLE001 - a bug ends this conversation, and not the others
            self._fail(error)
        finally:
            ended.set()
