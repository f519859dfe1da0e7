"""What an agent says about its surroundings, told to the callbacks that the options name for it."""

import inspect
import logging
from collections.abc import Callable
from typing import Any, final

import trio

from triologue.actors.log_extra import log_extra
from triologue.exits import no_exit
from triologue.hosting import result_callbacks, result_of, run_callback
from triologue.messages import AssistantMessage, AuthStatus, McpStatusChange, Message
from triologue.options import Options
from triologue.session import LogSampler

logger = logging.getLogger("triologue.session")

# What may wait behind a callback that takes its time: an agent says a handful of such things.
MAX_WAITING = 1_000

# How Qoder's CLI leaves when its account is no longer good.
EXIT_AUTH_EXPIRED = 41


@final
class Notices:
    """Calls them one after the other, in the order in which things were said. What they raise is logged."""

    __slots__ = ("_failures", "_inbox", "_key", "_on_auth_expired", "_on_mcp_status", "_on_result", "_over", "_post")

    def __init__(self, options: Options, key: str) -> None:
        self._on_mcp_status = options.on_mcp_status_change
        self._on_auth_expired = options.on_auth_expired
        self._key = key
        self._failures = LogSampler()
        self._on_result = result_callbacks(options)
        self._post, self._inbox = trio.open_memory_channel[Callable[[], Any]](MAX_WAITING)
        self._over = trio.Event()

    def look(self, batch: list[Message]) -> None:
        """Look through what one read gave. Never waits."""
        for message in batch:
            kind = type(message)
            if kind is McpStatusChange:
                self._tell_mcp_status(message)
            elif kind in self._on_result:
                self._tell_result(message)
            elif (kind is AuthStatus or kind is AssistantMessage) and _is_logged_out(message):
                self._tell_auth_expired()

    async def run(self) -> None:
        """Make the calls until `finish`."""
        async for call in self._inbox:
            try:
                with no_exit():
                    given = call()
                    if inspect.isawaitable(given):
                        await given
            except* Exception as errors:  # noqa: BLE001 - it is logged with its trace
                self._log("a callback of the session %r raised%s", errors.exceptions[0])
        self._over.set()

    async def finish(self, exit_code: int | None, patience: float) -> None:
        """The agent is gone: make the calls that are left, for at most `patience` seconds."""
        if exit_code == EXIT_AUTH_EXPIRED:
            self._tell_auth_expired()
        self._post.close()
        with trio.move_on_after(patience):
            await self._over.wait()

    def _tell_mcp_status(self, message: Message) -> None:
        tell = self._on_mcp_status
        if tell is not None:
            self._put(lambda: tell(message))

    def _tell_result(self, message: Message) -> None:
        tell = self._on_result[type(message)]
        self._put(lambda: run_callback(tell, result_of(message)))

    def _tell_auth_expired(self) -> None:
        tell, self._on_auth_expired = self._on_auth_expired, None  # once
        if tell is not None:
            self._put(tell)

    def _put(self, call: Callable[[], Any]) -> None:
        if self._post.statistics().current_buffer_used < MAX_WAITING:
            self._post.send_nowait(call)
        else:
            self._log(f"a call of the session %r is dropped, since {MAX_WAITING} wait already%s")

    def _log(self, text: str, error: BaseException | None = None) -> None:
        suffix = self._failures.suffix(text)
        if suffix is not None:
            logger.error(text, self._key, suffix, exc_info=error, extra=log_extra(self._key))


def is_told(options: Options) -> bool:
    """Does somebody want to be told of such things?"""
    return bool(options.on_mcp_status_change or options.on_auth_expired or result_callbacks(options))


def _is_logged_out(message: Message) -> bool:
    if isinstance(message, AuthStatus):
        return bool(message.error)
    return isinstance(message, AssistantMessage) and message.error == "authentication_failed"
