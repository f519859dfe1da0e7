"""One connection to a scripted agent, seen from the agent's side."""

from typing import Any, final

import trio

from triologue.messages import (
    AnyRequest,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    Initialize,
    Interrupt,
    Message,
    SetModel,
    SetPermissionMode,
    UserMessage,
    text,
)
from triologue.options import Options
from triologue.ports import Exit, Sink
from triologue.testing import speech
from triologue.testing.agent_state import AgentState, AgentStop, HeardPrompt
from triologue.testing.script import Background, Script, Step, Unread
from triologue.testing.turn import AgentTurn, Waiting
from triologue.testing.voice import Voice
from triologue.wire import Reader, encode

GRACE = 5.0
"""Seconds that a turn gets at the end of input, as an agent's carrier gives it."""


@final
class ScriptedConnection:
    """One connection. A test may speak and die in the agent's place: `say`, `write`, `die`.

    Args:
        state: the agent's.
        number: its place among the agent's connections, from 1.
        options: what it was started with.
        session_id: its conversation's.
        sink: where what it says goes.
    """

    def __init__(self, state: AgentState, number: int, options: Options, session_id: str, sink: Sink) -> None:
        self.number = number
        self.options = options
        self.session_id = session_id
        self.model = options.model
        self.permission_mode = options.permission_mode
        self.received: list[Message] = []
        """Every frame that the host sent."""
        self.turn: AgentTurn | None = None
        """The one that runs."""
        self._state = state
        self._voice = Voice(state, number, options, session_id, sink)
        self._ears = Reader()
        self._post, self._inbox = trio.open_memory_channel[bytes](100_000)
        self._queue: list[Waiting] = []
        self._background: list[str] = []
        self._own_turns: list[Script] = []
        self._idle = trio.Event()
        self._is_greeted = False
        self._has_eof = False

    def __repr__(self) -> str:
        state = "gone" if self.is_gone else "running" if self.turn is not None else "idle"
        return f"<ScriptedConnection {self.number} of {self.session_id}: {state}>"

    # The host's side.

    @property
    def pid(self) -> int | None:
        """None: there is no process."""
        return None

    def send(self, message: Message) -> None:
        """Take a frame, as bytes."""
        line = encode(message)
        if not self.is_gone and not self._has_eof:
            self._post.send_nowait(line)

    async def wait_exit(self) -> Exit:
        """Wait until it is gone."""
        await self._voice.gone.wait()
        return self._voice.exit

    def stop(self, *, eof: bool) -> None:
        """Leave, when the turn that runs has ended, or at once."""
        if not self.is_gone and not self._has_eof:
            self._state.stops.append(
                AgentStop(
                    connection=self.number,
                    session_id=self.session_id,
                    eof=eof,
                    was_running=self.turn is not None and self.turn.is_wanted,
                    background=len(self._background),
                    time=trio.current_time(),
                )
            )
        if not eof:
            self.die(-15)
        else:
            self._has_eof = True
            self._post.close()

    # The test's side.

    @property
    def is_gone(self) -> bool:
        """Has it left, or died?"""
        return self._voice.is_gone

    def say(self, *messages: Message) -> None:
        """Write frames that no prompt caused, as one read of the host."""
        self._voice.say(*messages)

    def write(self, data: bytes) -> None:
        """Write bytes, as one read of the host: whole lines or pieces of them."""
        self._voice.write(data)

    async def ask(self, request: AnyRequest) -> ControlSuccess | ControlError:
        """Ask the host something, and wait for its answer."""
        return await self._voice.ask(self._voice.new_request_id(), request)

    def refuse(self, why: str, session_id: str) -> None:
        """Go away instead of an answer to the handshake, with a result that names a conversation which there is not."""
        told = speech.result(session_id, [], subtype="error_during_execution", is_error=True, errors=[why])
        self.write(encode(told))
        self.die(1, why)

    def die(self, code: int, stderr: str = "") -> None:
        """Go away."""
        self._voice.die(code, stderr)
        self._post.close()
        if self.turn is not None:
            self.turn.scope.cancel()

    def begin_turn(self, *steps: Step) -> None:
        """Begin a turn that nobody asked for, as soon as the handshake is over and none runs."""
        self._own_turns.append(steps)
        self._begin_next()

    # The turn's side.

    def take_steers(self) -> list[Waiting]:
        """The prompts that wait and may go into the running turn."""
        return self._take_from_queue([each for each in self._queue if each.is_urgent]) if self._state.folds else []

    def _take_from_queue(self, taken: list[Waiting]) -> list[Waiting]:
        self._queue = [each for each in self._queue if each not in taken]
        self._state.conversation(self.session_id).prompts.extend(text(each.prompt) for each in taken)
        return taken

    def turn_ended(self, turn: AgentTurn) -> None:
        """The turn has had its result."""
        if self.turn is turn:
            self.turn = None
            self._begin_next()

    def start_background(self, step: Background, turn: AgentTurn) -> None:
        """Something runs on after its turn."""
        id = f"task_{self._state.next_number()}"
        self._background.append(id)
        turn.say(speech.tasks(self._background), speech.task_started(id))
        self._nursery.start_soon(self._run_background, id, step)

    # What it does by itself.

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Hear the host, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep(self._state.start_seconds)
            async for chunk in self._inbox:
                for message in self._ears.feed(chunk):
                    self.received.append(message)
                    self._hear(message)
            if self._has_eof and not self.is_gone:
                await self._leave()

    async def _leave(self) -> None:
        """The input has ended: what runs, and what waits, is finished within the carrier's patience."""
        with trio.move_on_after(GRACE) as patience:
            while self.turn is not None and not self.is_gone:
                self._idle = trio.Event()
                await self._idle.wait()
            if self._state.leave_seconds:
                await trio.sleep(self._state.leave_seconds)
        self.die(143 if patience.cancelled_caught else 0)

    def _hear(self, message: Message) -> None:
        match message:
            case _ if self.is_gone:
                pass
            case UserMessage():
                self._take(message)
            case ControlRequest(request_id=request_id, request=request):
                self._grant(request_id, request)
            case ControlResponse(response=answer):
                self._voice.take_answer(answer)
            case _:
                pass

    def _take(self, prompt: UserMessage) -> None:
        self._state.prompts.append(
            HeardPrompt(
                text=text(prompt),
                uuid=prompt.uuid or "",
                session_id=self.session_id,
                connection=self.number,
                priority=prompt.priority,
                model=self.model,
                permission_mode=self.permission_mode,
                time=trio.current_time(),
            )
        )
        waiting = Waiting(prompt, self._state.take_script(text(prompt)))
        if any(isinstance(step, Unread) for step in waiting.script):
            return
        if self._state.tells_lifecycle:
            self.say(speech.lifecycle(waiting.uuid, "queued"))
        self._queue.append(waiting)
        self._begin_next()

    def _begin_next(self) -> None:
        """Begin what waits, if nothing runs; prompts that wait together become one turn, as in Claude Code."""
        if self.turn is not None or self.is_gone:
            return
        if self._own_turns and not self._queue and self._is_greeted:
            self._begin([], self._own_turns.pop(0))
        elif self._queue:
            taken = self._take_from_queue([each for each in self._queue if each.is_urgent] or self._queue)
            self._begin([each.prompt for each in taken], [step for each in taken for step in each.script])
        else:
            self._idle.set()

    def _begin(self, prompts: list[UserMessage], script: Script) -> None:
        self.turn = turn = AgentTurn(self._voice, self, prompts, script)
        begun = (
            [speech.lifecycle(each.uuid or "", "started") for each in prompts] if self._state.tells_lifecycle else []
        )
        turn.say(*begun, speech.init(self.session_id, self.model, self.permission_mode))
        self._nursery.start_soon(turn.play)

    def _grant(self, request_id: str, request: AnyRequest) -> None:
        state = self._state
        match request:
            case _ if type(request) in state.ignores:
                return
            case Initialize():
                answer = speech.success(request_id, state.greeting)
            case Interrupt():
                self._interrupt(request_id, cancels_queued=bool(request.cancel_queued))
                return
            case SetModel(model=value) | SetPermissionMode(mode=value) if value in state.refuses:
                answer = speech.refusal(request_id, f"{value!r} is refused, as the script wants it")
            case SetModel(model=value):
                self.model = value
                answer = speech.success(request_id)
            case SetPermissionMode(mode=value):
                self.permission_mode = value
                answer = speech.success(request_id)
            case _:
                answer = speech.success(request_id, state.answers.get(type(request)))
        self._voice.control(answer)
        if isinstance(request, Initialize):
            self._is_greeted = True
            self._begin_next()

    def _interrupt(self, request_id: str, *, cancels_queued: bool) -> None:
        turn = self.turn
        if turn is not None and turn.is_deaf:
            return
        dropped = self._queue if cancels_queued else []
        self._queue = [] if cancels_queued else self._queue
        receipt: dict[str, Any] = {"still_queued": [each.uuid for each in self._queue]}
        if cancels_queued:
            receipt["cancelled"] = [each.uuid for each in dropped]
        for withdrawn in turn.withdraw_requests() if turn is not None else ():
            self._voice.control(ControlCancel(request_id=withdrawn))
        self._voice.control(speech.success(request_id, receipt))
        if self._state.tells_lifecycle:
            for each in dropped:
                self.say(speech.lifecycle(each.uuid, "cancelled"))
        if turn is not None:
            turn.abort()

    async def _run_background(self, id: str, step: Background) -> None:
        await trio.sleep(step.after)
        self._background.remove(id)
        self.say(speech.task_ended(id), speech.tasks(self._background))
        self.begin_turn(*step.steps)
