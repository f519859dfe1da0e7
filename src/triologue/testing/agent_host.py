"""The host's side of one connection to an agent that is checked: asks, answers, and minds what it must not do."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from threading import get_ident
from typing import final
from uuid import uuid4

import trio

from triologue.errors import brief
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    Message,
    PermissionResultAllow,
    ResultMessage,
    user_message,
)
from triologue.options import Options
from triologue.ports import Agent, Carrier, Connection, Exit

_OF_A_CONNECTION = ("pid", "send", "wait_exit", "stop")


class Broken(Exception):
    """The agent does not do what it has to, so that there is no going on."""


@final
class AgentHost:
    """Talks to an agent on one connection.

    Args:
        agent: who.
        options: what it is started with.
        seconds: what anything that it does may take.
        complain: is told of what it must not do.
    """

    def __init__(self, agent: Agent, options: Options, seconds: float, complain: Callable[[str], None]) -> None:
        self._agent = agent
        self._options = options
        self._seconds = seconds
        self._complain = complain
        self._connection: Connection | None = None
        self._news = trio.Event()
        self._thread = get_ident()
        self._asked = 0
        self._answers: dict[str, ControlSuccess | ControlError] = {}
        self._is_gone = False
        self.said: list[Message] = []
        """All but the control dialogue, in order."""

    @asynccontextmanager
    async def open(self, carrier: Carrier) -> AsyncGenerator[Connection]:
        """Open the connection; after the block it has to be silent."""
        with trio.fail_after(self._seconds) as patience:
            try:
                opening = self._agent.connect(self._options, sink=self._hear, carrier=carrier)
                async with opening as connection:
                    patience.deadline = float("inf")
                    if lacking := [name for name in _OF_A_CONNECTION if not hasattr(connection, name)]:
                        raise Broken(f"connect() gave {brief(connection)}, which lacks {', '.join(lacking)}")
                    self._connection = connection
                    try:
                        yield connection
                    finally:
                        patience.deadline = trio.current_time() + self._seconds
            finally:
                if patience.cancel_called:  # also where it has shielded what took so long
                    await trio.lowlevel.checkpoint_if_cancelled()
        self._is_gone = True

    async def greet(self) -> None:
        """Send the handshake, and wait until it is granted."""
        answer = await self.ask(self._agent.initialize(self._options))
        if isinstance(answer, ControlError):
            raise Broken(f"it refused initialize: {answer.error}")

    def request(self, request: AnyRequest) -> str:
        """Send a request; gives its id."""
        self._asked += 1
        id = f"check_{self._asked}"
        self._send(ControlRequest(request_id=id, request=request))
        return id

    async def ask(self, request: AnyRequest) -> ControlSuccess | ControlError:
        """Send a request, and wait for its answer."""
        id = self.request(request)
        await self.wait_until(lambda: id in self._answers, f"it did not answer {type(request).__name__}")
        return self._answers[id]

    def prompt(self, text: str) -> None:
        """Send a prompt."""
        frame = user_message(text)
        frame.uuid = str(uuid4())
        self._send(self._agent.user_frame(frame, self._options))

    async def turn(self, text: str) -> ResultMessage:
        """Send a prompt, and wait for its result."""
        before = len(self.results)
        self.prompt(text)
        return await self.result(before)

    async def result(self, before: int) -> ResultMessage:
        """Wait for one more result than there were."""
        await self.wait_until(lambda: len(self.results) > before, "a prompt had no result")
        return self.results[before]

    @property
    def results(self) -> list[ResultMessage]:
        """All so far."""
        return [message for message in self.said if isinstance(message, ResultMessage)]

    async def wait_until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Wait for something that it says.

        Raises:
            Broken: it did not, in time.
        """
        with trio.move_on_after(self._seconds):
            while not is_so():
                self._news = trio.Event()
                await self._news.wait()
        if not is_so():
            raise Broken(f"{otherwise} within {self._seconds:g} seconds")

    async def exit(self, after: str) -> Exit:
        """Wait until it is gone, as it has to be after this.

        Raises:
            Broken: it is not, in time.
        """
        assert self._connection is not None
        with trio.move_on_after(self._seconds):
            exit: object = await self._connection.wait_exit()
            if not isinstance(exit, Exit):
                raise Broken(f"wait_exit() gave {brief(exit)}, and no Exit")
            self._is_gone = True
            return exit
        raise Broken(f"wait_exit() did not return within {self._seconds:g} seconds after {after}")

    def _send(self, message: Message) -> None:
        assert self._connection is not None
        self._connection.send(message)

    def _hear(self, batch: list[Message]) -> None:
        if get_ident() != self._thread:
            self._complain("it called the sink from another thread; trio.from_thread.run_sync(sink, batch) does it")
            return
        if not isinstance(batch, list) or not all(isinstance(message, Message) for message in batch):
            given = batch if isinstance(batch, list) else [batch]
            odd = sorted({type(each).__name__ for each in given})
            self._complain(f"it gave the sink {odd[0] if given is not batch else odd}, and no list of messages")
            return
        if self._is_gone:
            self._complain(f"it said {[type(message).__name__ for message in batch]} after it was gone")
        for message in batch:
            self._take(message)
        self._news.set()

    def _take(self, message: Message) -> None:
        match message:
            case ControlRequest(request_id=id, request=CanUseTool() as request):
                reply = self._agent.permission_reply(request, PermissionResultAllow())
                self._send(ControlResponse(response=ControlSuccess(request_id=id, response=reply)))
            case ControlRequest(request_id=id):
                self._send(ControlResponse(response=ControlError(request_id=id, error="only permissions are granted")))
            case ControlResponse(response=answer):
                self._settle(answer)
            case _:
                self.said.append(message)

    def _settle(self, answer: ControlSuccess | ControlError) -> None:
        if answer.request_id in self._answers:
            self._complain(f"it answered the request {answer.request_id!r} twice")
        elif answer.request_id not in {f"check_{number + 1}" for number in range(self._asked)}:
            self._complain(f"it answered a request {answer.request_id!r}, which nobody made")
        self._answers[answer.request_id] = answer
