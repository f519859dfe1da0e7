"""What the agent asks of its host: permissions, hooks, the tools that live over there."""

from typing import Any, final

import trio

from triologue.messages import ControlFrame, Message, Request
from triologue.ports import Sink
from triologue.wire import Answered, Asked, Dialogue, Refused

GONE = "stream closed before response received"


class HostRefused(Exception):
    """The host answered with an error, or is gone.

    Args:
        error: the host's words.
        is_gone: there is no host any more, so nothing was answered.
    """

    def __init__(self, error: str, *, is_gone: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.is_gone = is_gone


class _Wait:
    """One request on its way."""

    __slots__ = ("answer", "done", "error", "survives")

    def __init__(self, *, survives: bool) -> None:
        self.survives = survives
        self.done = trio.Event()
        self.answer: dict[str, Any] = {}
        self.error: HostRefused | None = None


@final
class Host:
    """The other end of one connection, in both directions of the control dialogue."""

    __slots__ = ("_emit", "_waits", "dialogue")

    def __init__(self, emit: Sink) -> None:
        self.dialogue = Dialogue("ask_")
        self._emit = emit
        self._waits: dict[str, _Wait] = {}

    async def ask(self, request: Request, *, survives: bool = False) -> dict[str, Any]:
        """Ask, and wait for the answer. Cancelling withdraws the request.

        Args:
            request: what is asked.
            survives: an interrupt of the turn does not touch it.

        Raises:
            HostRefused: the answer is an error, or there is no host any more.
        """
        try:
            frame = self.dialogue.ask(request)
        except ConnectionError:
            raise HostRefused(GONE, is_gone=True) from None
        wait = self._waits[frame.request_id] = _Wait(survives=survives)
        try:
            self._emit([frame])
            await wait.done.wait()
        finally:
            del self._waits[frame.request_id]
            self._withdraw(frame.request_id)
        if wait.error is not None:
            raise wait.error
        return wait.answer

    def tell(self, request: Request) -> None:
        """Ask without waiting; the answer is dropped. Nothing happens when the host is gone."""
        try:
            self._emit([self.dialogue.ask(request)])
        except ConnectionError:
            pass

    def hear(self, frame: ControlFrame) -> Asked | None:
        """Take in a control frame; what the host asks is given back."""
        match self.dialogue.hear(frame):
            case Asked() as asked:
                return asked
            case Answered(request_id=request_id, response=response) if wait := self._waits.get(request_id):
                wait.answer = response
                wait.done.set()
            case Refused(request_id=request_id, error=error) if wait := self._waits.get(request_id):
                wait.error = HostRefused(error)
                wait.done.set()
            case _:
                pass
        return None

    def withdraw_turn(self) -> None:
        """The turn is interrupted: take back what was asked for it. Whoever waits is to be cancelled next."""
        for request_id, wait in self._waits.items():
            if not wait.survives:
                self._withdraw(request_id)

    def close(self) -> None:
        """The host is gone: what waits for it fails, and so does what is asked later."""
        for request_id in self.dialogue.close():
            if wait := self._waits.get(request_id):
                wait.error = HostRefused(GONE, is_gone=True)
                wait.done.set()

    def _withdraw(self, request_id: str) -> None:
        frame: Message | None = self.dialogue.withdraw(request_id)
        if frame is not None:
            self._emit([frame])
