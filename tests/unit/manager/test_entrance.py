"""Who comes in while the system has no room for one more connection."""

import errno
import logging
import os
from collections import deque
from typing import final

import pytest
import trio
from trio.testing import MockClock

from triologue.manager.entrance import Entrance

logger = logging.getLogger("triologue.gateway")


@final
class FullSystem(trio.abc.Listener[trio.SocketStream]):
    """Fails as it is told, with what `accept(2)` says; then everybody comes in."""

    def __init__(self, *failures: int) -> None:
        self.failures = deque(failures)
        self.is_closed = False

    async def accept(self) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        if self.failures:
            number = self.failures.popleft()
            raise OSError(number, os.strerror(number))
        return trio.SocketStream(trio.socket.socket())

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()


async def test_they_wait_and_that_is_told_once_a_minute(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    full = FullSystem(*[errno.EMFILE] * 605)  # which is a minute, and some more
    entrance = Entrance(full, logger, "clients of the gateway")
    stream = await entrance.accept()
    await stream.aclose()
    await entrance.aclose()
    assert full.is_closed
    told = (
        "clients of the gateway have to wait outside: Too many open files; raise the limit of this program (`ulimit -n`, "
        "LimitNOFILE=), or let fewer in at once"
    )
    said = [(each.name, each.levelname, each.getMessage(), each.exc_info) for each in caplog.records]
    assert said == [("triologue.gateway", "ERROR", told, None)] * 2


async def test_where_the_whole_system_is_full_it_says_so_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    entrance = Entrance(FullSystem(errno.ENFILE), logger, "clients of the gateway")
    await (await entrance.accept()).aclose()
    assert caplog.messages == [f"clients of the gateway have to wait outside: {os.strerror(errno.ENFILE)}"]


async def test_what_else_goes_wrong_is_not_hidden() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        await Entrance(FullSystem(errno.EINVAL), logger, "clients").accept()
