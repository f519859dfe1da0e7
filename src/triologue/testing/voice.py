"""What a scripted agent says on one connection, as bytes; and what it asks its host."""

from collections.abc import Sequence
from typing import Any, final

import trio

from triologue.messages import AnyRequest, ControlError, ControlRequest, ControlSuccess, Message, ResultMessage
from triologue.options import Options
from triologue.ports import Exit, Sink
from triologue.testing import speech
from triologue.testing.agent_state import AgentState
from triologue.wire import Reader, encode


@final
class Voice:
    """The outgoing half of a connection.

    Args:
        state: the agent's.
        number: the connection's, from 1.
        options: what the agent was started with.
        session_id: of the conversation.
        sink: where all goes.
    """

    def __init__(self, state: AgentState, number: int, options: Options, session_id: str, sink: Sink) -> None:
        self.state = state
        self.number = number
        self.options = options
        self.session_id = session_id
        self.greeted_servers: set[str] = set()
        """Servers of the host that were greeted on this connection."""
        self.gone = trio.Event()
        self.exit = Exit()
        """How it went, once it is gone."""
        self._sink = sink
        self._reader = Reader(state.max_message_bytes)
        self._answers: dict[str, ControlSuccess | ControlError] = {}
        self._answered = trio.lowlevel.ParkingLot()

    @property
    def is_gone(self) -> bool:
        """Has the agent left, or died?"""
        return self.gone.is_set()

    def say(self, *messages: Message, causes: Sequence[str] = ()) -> None:
        """Write frames, as one read of the host.

        Args:
            messages: what is said.
            causes: the uuids of the prompts that are the reason; none for what the agent does by itself.
        """
        if self.is_gone or not messages:
            return
        stamped: list[Message] = []
        for message in messages:
            uuid = self.state.new_id()
            self.state.causes[uuid] = tuple(causes)
            stamped.append(speech.stamped(message, uuid, self.session_id))
        self.write(b"".join(map(encode, stamped)))

    def control(self, message: Message) -> None:
        """Write a frame of the control dialogue."""
        self.write(encode(message))

    def write(self, data: bytes) -> None:
        """Write bytes, as one read of the host: whole lines or pieces of them."""
        if not self.is_gone and (batch := self._reader.feed(data)):
            self._sink(batch)

    def die(self, code: int, stderr: str = "") -> None:
        """Go away."""
        if not self.is_gone:
            self.exit = Exit(code=code, stderr_tail=stderr)
            self.gone.set()
            self.state.ended(self.number)

    def result(self, uuids: Sequence[str], *, is_asked_for: bool, **more: Any) -> ResultMessage:
        """The result of a turn, with the costs of the conversation so far."""
        conversation = self.state.conversation(self.session_id)
        conversation.cost_usd += self.state.cost_usd
        if not is_asked_for:
            more["origin"] = speech.BY_ITSELF
        told = uuids if self.state.tells_lifecycle else ()
        return speech.result(self.session_id, told, total_cost_usd=conversation.cost_usd, **more)

    def new_request_id(self) -> str:
        """An id for a request to the host."""
        return f"agent-{self.state.next_number()}"

    async def ask(self, request_id: str, request: AnyRequest) -> ControlSuccess | ControlError:
        """Ask the host, and wait for its answer."""
        self.control(ControlRequest(request_id=request_id, request=request))
        while request_id not in self._answers:
            await self._answered.park()
        return self._answers[request_id]

    def take_answer(self, answer: ControlSuccess | ControlError) -> None:
        """The host has answered."""
        if answer.request_id in self._answers:
            self.state.complaints.append(f"the host answered {answer.request_id!r} twice")
        self._answers[answer.request_id] = answer
        self._answered.unpark_all()
