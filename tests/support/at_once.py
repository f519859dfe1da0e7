"""An agent that has answered before it is known that the prompt was accepted."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

import triologue as tri
from tests.support.frames import aborted, init, partial, result, success
from tests.support.other_agent import OtherAgent
from triologue.messages import ControlRequest, Interrupt


class AtOnce(OtherAgent):
    """It has no task: it answers before `send` returns. A prompt `wait` it leaves unanswered until it is interrupted."""

    def __init__(self) -> None:
        super().__init__(tri.Embedded())

    @asynccontextmanager
    async def connect(
        self, options: tri.Options, *, sink: tri.Sink, carrier: tri.Carrier
    ) -> AsyncGenerator[tri.Connection]:
        yield AtOnceConnection(sink)


class AtOnceConnection:
    pid = None

    def __init__(self, sink: tri.Sink) -> None:
        self._sink = sink
        self._gone = trio.Event()

    def send(self, message: tri.Message) -> None:
        match message:
            case ControlRequest(request_id=id, request=Interrupt()):
                self._sink([success(id)])
                self._sink([aborted()])
            case ControlRequest(request_id=id):
                self._sink([success(id)])
            case tri.UserMessage(content=asked):
                self._sink([init(), partial("so ")])
                self._sink([partial("be it")])
                if asked != "wait":
                    self._sink([result(result="so be it")])
            case _:
                pass

    async def wait_exit(self) -> tri.Exit:
        await self._gone.wait()
        return tri.Exit()

    def stop(self, *, eof: bool) -> None:
        self._gone.set()
