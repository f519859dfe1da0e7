"""What serves one connection: its callbacks, its MCP servers, and who is told of what the agent says of itself."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation
from triologue.actors.inside import at_home
from triologue.actors.notices import Notices
from triologue.actors.world import World
from triologue.hosting import Tokens, open_service
from triologue.options import Options
from triologue.session import inputs as on

logger = logging.getLogger("triologue.session")


@final
class Servants:
    """Makes what serves each connection of a session.

    They run beside the session, in the manager's nursery: a callback that shields itself from its cancellation goes on
    there, and holds up neither the session nor who closes it.

    Args:
        world: what is shared: the nursery, and how long is waited for what is cancelled.
        conversation: whose they are.
        post: takes what came of callbacks.
        fail: takes what is a bug, here or in a replaceable part.
    """

    __slots__ = ("_fail", "_home", "_key", "_nursery", "_patience", "_post")

    def __init__(
        self,
        world: World,
        conversation: Conversation,
        *,
        post: Callable[[on.Input], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._nursery = world.nursery
        self._patience = world.deadlines.close
        self._key, self._home = conversation.key, conversation.home
        self._post, self._fail = post, fail

    @asynccontextmanager
    async def open(self, options: Options, tokens: Tokens | None) -> AsyncGenerator[tuple[Callbacks, Notices]]:
        """Serve until the block is left.

        Raises:
            TriologueError: the options name what cannot be served.
        """
        scope, ended = trio.CancelScope(), trio.Event()
        try:
            yield await self._nursery.start(self._serve, options, tokens, scope, ended)
        finally:
            scope.cancel()
            with trio.CancelScope(shield=True), trio.move_on_after(self._patience):
                await ended.wait()
            if not ended.is_set():
                told = {"session_key": self._key}
                text = "a callback of the session %r shields itself from its cancellation; it is waited for no longer"
                logger.error(text, self._key, extra=told)

    async def _serve(
        self,
        options: Options,
        tokens: Tokens | None,
        scope: trio.CancelScope,
        ended: trio.Event,
        *,
        task_status: trio.TaskStatus[tuple[Callbacks, Notices]],
    ) -> None:
        is_open = False
        try:
            with scope, at_home(self._home):
                async with open_service(options, tokens=tokens) as service, trio.open_nursery() as nursery:
                    notices = Notices(options, self._key)
                    if notices.is_wanted:
                        nursery.start_soon(notices.run)
                    task_status.started((Callbacks(nursery, service, self._post, self._key), notices))
                    is_open = True
                    await trio.sleep_forever()
        except Exception as error:  # a bug ends this conversation, and not the others
            if not is_open:
                raise
            self._fail(error)
        finally:
            ended.set()
