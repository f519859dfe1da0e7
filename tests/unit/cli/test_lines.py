"""Lines of a terminal."""

import os
import select
import termios

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from triologue.cli.lines import LineReader


class CtrlC(trio.abc.Instrument):
    """Empties the terminal's line, as Ctrl-C does, once the loop has heard of something to read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def after_io_wait(self, timeout: float) -> None:
        termios.tcflush(self._fd, termios.TCIFLUSH)
        trio.lowlevel.remove_instrument(self)


@pytest.mark.timeout(20)
async def test_a_line_that_ctrl_c_takes_back_stops_nothing() -> None:
    keyboard, terminal = os.openpty()
    lines: list[str | None] = []

    async def read() -> None:
        lines.append(await LineReader(terminal).read())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        os.write(keyboard, b"taken back\n")
        select.select([terminal], [], [])  # it has come through
        trio.lowlevel.add_instrument(CtrlC(terminal))
        await wait_all_tasks_blocked()
        os.write(keyboard, b"stays\n")
    assert lines == ["stays"]
    os.close(keyboard)
    os.close(terminal)
