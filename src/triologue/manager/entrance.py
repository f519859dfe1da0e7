"""Where clients come in, also while the system has no room for one more of them."""

import errno
import logging
import os
from typing import Final, final

import trio

from triologue.actors import OnceAMinute, log_safely

_ADVICE: Final = {
    errno.EMFILE: "; raise the limit of this program (`ulimit -n`, LimitNOFILE=), or let fewer in at once",
    errno.ENFILE: "",  # which says that it is in the whole system
    errno.ENOMEM: "",
    errno.ENOBUFS: "",
}
"""By what `accept` says where there is no room."""

PAUSE: Final = 0.1
"""Seconds until it is tried again."""


@final
class Entrance(trio.abc.Listener[trio.SocketStream]):
    """A listener; who comes while there is no room waits in the system's line, and the log tells of that now and then.

    `trio.serve_listeners` would wait as well, and tell of it with a traceback ten times a second.

    Args:
        listener: where they come.
        logger: who tells.
        who: comes, for people: "clients of the gateway".
    """

    def __init__(self, listener: trio.abc.Listener[trio.SocketStream], logger: logging.Logger, who: str) -> None:
        self._listener = listener
        self._logger = logger
        self._who = who
        self._told = OnceAMinute()

    async def accept(self) -> trio.SocketStream:
        """The next one."""
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in _ADVICE:
                    raise
                self._tell(error.errno)
            await trio.sleep(PAUSE)

    async def aclose(self) -> None:
        """Take nobody in any more."""
        await self._listener.aclose()

    def _tell(self, number: int) -> None:
        if self._told.suffix("full") is not None:  # how often it was tried meanwhile, nobody needs to know
            text, why = "%s have to wait outside: %s%s", os.strerror(number)
            log_safely(self._logger, logging.ERROR, text, self._who, why, _ADVICE[number])
