"""Small programs that play an agent, and an ear for what they say."""

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import trio

from tests.support.leftovers import is_alive
from triologue.messages import Message, StrayText, UserBody, UserMessage
from triologue.ports import Command

ENV = {"PATH": os.environ["PATH"]}
PATIENCE = 20.0
"""Seconds until a test that waits for what never comes fails."""

HERD = """
sleep 1000 & echo $!
(setsid sleep 1001 & echo $!)
setsid sh -c 'sleep 1002 & echo $!; (setsid sh -c "trap : TERM HUP; echo \\$\\$; while :; do sleep 1003; done" &)'
"""
"""Starts four processes: below it, in a session of their own, orphaned, and deaf to SIGTERM; a pid per line."""
HERD_SIZE = 4


def shell(script: str, **fields: Any) -> Command:
    """A shell script as an agent."""
    return Command(argv=["sh", "-c", script], **{"env": ENV, **fields})


def python(script: str, **fields: Any) -> Command:
    """A Python program as an agent; it has `os`, `sys`, `signal` and `time`."""
    source = f"import os, signal, sys, time\n{script}"
    return Command(argv=[sys.executable, "-I", "-S", "-c", source], **{"env": ENV, **fields})


def quoted(*argv: str) -> str:
    """A command line for `shell`."""
    return shlex.join(argv)


def prompt(text: str) -> UserMessage:
    return UserMessage(message=UserBody(content=text))


class Ear:
    """A sink that remembers, and that can be waited for."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._lot = trio.lowlevel.ParkingLot()

    def __call__(self, batch: list[Message]) -> None:
        self.messages += batch
        self._lot.unpark_all()

    @property
    def texts(self) -> list[str]:
        """Lines that are no frames, and the prompts among the frames."""
        return [text_of(message) for message in self.messages]

    async def wait_texts(self, count: int) -> list[str]:
        """Wait until there are so many messages, all of them text."""
        await self.wait_count(count)
        return self.texts

    async def wait_count(self, count: int) -> None:
        """Wait until there are so many messages."""
        with trio.fail_after(PATIENCE):
            while len(self.messages) < count:
                await self._lot.park()

    async def wait_pids(self, count: int) -> list[int]:
        return [int(text) for text in await self.wait_texts(count)]


def text_of(message: Message) -> str:
    match message:
        case StrayText():
            return message.text
        case UserMessage(message=UserBody(content=str(text))):
            return text
        case _:
            raise AssertionError(f"unexpected: {message!r}")


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Poll what only the kernel knows."""
    with trio.fail_after(PATIENCE):
        while not is_so():
            await trio.sleep(0.002)


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]
