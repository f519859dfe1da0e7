"""The callbacks of one connection: each runs as a task, under the id of the request that it answers."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, final

import trio

from triologue.actors.log_extra import log_extra
from triologue.actors.permissions import Permission, check_result, input_of, suggestions_of
from triologue.errors import InvalidOption, reason_of
from triologue.exits import no_exit
from triologue.hosting import Service, StartSoon, Unsupported, run_callback
from triologue.messages import PermissionResultAllow, PermissionResultDeny, subtype_of
from triologue.options import CanUseToolCallback, ToolPermissionContext
from triologue.session import LogSampler, effects as do, inputs as on

logger = logging.getLogger("triologue.session")


@final
class Callbacks:
    """What this program does for one agent while it works; many at once. What each gives is posted to the session.

    Args:
        start_soon: of a nursery as long-lived as the connection.
        service: answers everything but permission requests.
        post: takes what came of them.
        key: of the session, for the log file.
    """

    __slots__ = ("_begun", "_failures", "_key", "_post", "_running", "_start_soon", "service")

    def __init__(self, start_soon: StartSoon, service: Service, post: Callable[[on.Input], None], key: str) -> None:
        self.service = service
        self._start_soon = start_soon
        self._post = post
        self._key = key
        self._running: dict[str, trio.CancelScope] = {}
        self._failures = LogSampler()
        self._begun: trio.Event | None = None
        """The newest of them has begun; None while there was none."""

    def serve(self, effect: do.Serve) -> None:
        """Begin to answer a request."""

        async def answer() -> on.Input:
            response = await self.service.answer(effect.request)
            return on.Served(effect.generation, effect.request_id, response)

        self._start(effect, subtype_of(effect.request), answer)

    def can_use_tool(self, effect: do.AskPermission, callback: CanUseToolCallback) -> None:
        """Begin to ask the callback of the options, whose result is the answer."""

        async def ask() -> on.Input:
            request = effect.request
            context = ToolPermissionContext(request=request, suggestions=suggestions_of(request))
            result = await run_callback(callback, request.tool_name, input_of(request), context)
            check_result(result)
            return on.Decide(None, effect.permission_id, result, by="can_use_tool")

        self._start(effect, "can_use_tool", ask)

    def on_permission(
        self, effect: do.AskPermission, permission: Permission, callback: Callable[[Permission], Any]
    ) -> None:
        """Begin to tell the callback of the manager, which answers now or later, or somebody else does."""

        async def tell() -> None:
            with no_exit():
                given = callback(permission)
                if inspect.isawaitable(given):
                    given = await given
            if isinstance(given, PermissionResultAllow | PermissionResultDeny):
                raise InvalidOption("on_permission returned an answer; give it by `await request.allow()` or `.deny()`")

        self._start(effect, "on_permission", tell)

    def drop(self, request_id: str) -> None:
        """Cancel the task of a request, if it still runs; nothing of it is posted any more."""
        scope = self._running.pop(request_id, None)
        if scope is not None:
            scope.cancel()

    def _start(
        self, effect: do.AskPermission | do.Serve, name: str, work: Callable[[], Awaitable[on.Input | None]]
    ) -> None:
        # Made here, so that it can be dropped also before its task has made its first step.
        scope = self._running[effect.request_id] = trio.CancelScope()
        before, self._begun = self._begun, (begun := trio.Event())
        running = _in_turn(before, begun, work)
        self._start_soon(self._run, effect, name, scope, running, name=f"triologue callback {name}")

    async def _run(
        self, effect: do.AskPermission | do.Serve, name: str, scope: trio.CancelScope, work: Awaitable[on.Input | None]
    ) -> None:
        event = None
        try:
            with scope:
                event = await work
        # Its failure, of which the agent is told; the session lives on, also where it comes with a cancellation.
        except* Exception as errors:  # noqa: BLE001 - it is logged with its trace
            event = self._failed(effect, name, errors)
        if event is not None and not scope.cancel_called:
            self._post(event)
        if self._running.get(effect.request_id) is scope:
            del self._running[effect.request_id]

    def _failed(self, effect: do.AskPermission | do.Serve, name: str, error: Exception) -> on.Failed:
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if not isinstance(error, Unsupported) and (suffix := self._failures.suffix(name)) is not None:
            told, text = log_extra(self._key, effect.turn_id), "a callback of the session %r raised: %s%s%s"
            about = self.service.about_failure(effect.request)
            logger.error(text, self._key, name, suffix, about, exc_info=error, extra=told)
        code = getattr(error, "code", None)
        return on.Failed(
            effect.generation, effect.request_id, reason_of(error), code if isinstance(code, str) else None
        )


async def _in_turn(
    before: trio.Event | None, begun: trio.Event, work: Callable[[], Awaitable[on.Input | None]]
) -> on.Input | None:
    """Do the work, and begin it after what was asked for before it: trio starts tasks in any order.

    A message to an MCP server must not be overtaken by the one that cancels it.
    """
    try:
        if before is not None and not before.is_set():
            await before.wait()
    finally:
        begun.set()
    await trio.lowlevel.checkpoint_if_cancelled()  # what was withdrawn at once is not begun
    return await work()
