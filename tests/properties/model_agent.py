"""The other end of a session in its laws: it may answer, die, stay silent, fold prompts, and begin turns of its own."""

from dataclasses import dataclass, field
from typing import Literal

from tests.support.frames import LIFECYCLE, aborted, init, lifecycle, of_background, refusal, result, success
from triologue.messages import (
    AssistantBody,
    AssistantMessage,
    CancelAsyncMessage,
    ControlRequest,
    Initialize,
    Interrupt,
    Message,
    SessionStateMessage,
    SetModel,
    SetPermissionMode,
    ToolResultBlock,
    ToolUseBlock,
    UserBody,
    UserMessage,
)

REFUSED = "refused"
BACKGROUND = "background"

# How an agent takes an interrupt: what it says of what waits, and whether it answers before or after it stopped.
Manner = Literal["tells and drops", "drops", "keeps", "answers last"]
MANNERS: tuple[Manner, ...] = ("tells and drops", "drops", "keeps", "answers last")


@dataclass
class ModelAgent:
    generation: int
    settings: dict[str, str | None]
    tells: str
    """`early`: in the handshake that it tells what becomes of prompts; `late`: by doing so; `never`."""
    manner: Manner = "tells and drops"
    is_linked: bool = False
    is_admitted: bool = False
    is_told_to_stop: bool = False
    requests: list[ControlRequest] = field(default_factory=list)
    """Of the host, unanswered."""
    waits_for: list[str] = field(default_factory=list)
    """Its own, by id: unanswered, and not taken back."""
    queue: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    running: str | None = None
    folded: list[str] = field(default_factory=list)
    """Prompts that went into the turn that runs."""
    tools: list[str] = field(default_factory=list)
    """Calls that run."""
    tasks: list[str] = field(default_factory=list)
    """In the background."""

    @property
    def does_nothing(self) -> bool:
        return self.running is None and not self.queue and not self.tasks

    def take_up(self, *, merged: int = 0) -> list[Message]:
        """The next prompt's turn begins, if none runs, with some of those behind it in it."""
        if self.running is not None or not self.queue:
            return []
        self.running = self.queue.pop(0)
        said = [lifecycle(self.running, "started")] if self.tells != "never" else []
        return [*said, *self.fold(merged), *self._state("running"), init()]

    def fold(self, count: int) -> list[Message]:
        """Put prompts that wait into the turn that runs."""
        taken, self.queue = self.queue[:count], self.queue[count:]
        self.folded += taken
        return [lifecycle(uuid, "started") for uuid in taken]

    def drop(self, state: str) -> list[Message]:
        """Put one aside."""
        self.dropped.append(self.queue.pop(0))
        return [lifecycle(self.dropped[-1], state)]

    def begin_by_itself(self) -> list[Message]:
        self.running = BACKGROUND
        return [*self._state("running"), init()]

    def call_tool(self, tool: str) -> AssistantMessage:
        self.tools.append(tool)
        call = ToolUseBlock(id=tool, name="Bash", input={})
        return AssistantMessage(message=AssistantBody(content=[call], model="m"), uuid=self.running)

    def end_tool(self) -> UserMessage:
        return UserMessage(message=UserBody(content=[ToolResultBlock(tool_use_id=self.tools.pop(0))]))

    def answer(self, request: ControlRequest) -> list[Message]:
        match request.request:
            case Interrupt():
                return self._stop_turns(request.request_id)
            case SetModel(model=value):
                return self._set("model", value, request.request_id)
            case SetPermissionMode(mode=value):
                return self._set("permission_mode", value, request.request_id)
            case CancelAsyncMessage(message_uuid=uuid):
                is_there = uuid in self.queue
                self.queue = [each for each in self.queue if each != uuid]
                said: list[Message] = [lifecycle(uuid, "cancelled")] if is_there and self.manner != "drops" else []
                return [*said, success(request.request_id, {"cancelled": is_there})]
            case Initialize():
                return [success(request.request_id, LIFECYCLE if self.tells == "early" else None)]
            case _:
                return [success(request.request_id, {"pong": True})]

    def finish(self, *, is_error: bool = False) -> list[Message]:
        """The running turn ends by itself."""
        uuid, folded = self._end()
        if uuid == BACKGROUND:
            return [of_background(), *self._state("idle")]
        if self.tells == "never":
            return [result(is_error=is_error)]
        done: list[Message] = [lifecycle(each, "completed") for each in folded]
        answered = result(uuid, *folded, is_error=is_error)
        return [*done, answered, lifecycle(uuid, "completed"), *self._state("idle")]

    def _end(self) -> tuple[str, list[str]]:
        assert self.running is not None
        uuid, folded = self.running, self.folded
        self.running, self.folded, self.tools = None, [], []
        return uuid, folded

    def _stop_turns(self, request_id: str) -> list[Message]:
        keeps = self.manner == "keeps" and self.running is not None
        dropped, self.queue = ([], self.queue) if keeps else (self.queue, [])
        tells = self.tells != "never" and self.manner in ("tells and drops", "answers last")
        said: list[Message] = [lifecycle(uuid, "cancelled") for uuid in dropped] if tells else []
        answer = success(request_id, {"cancelled": dropped, "still_queued": self.queue})
        stopped: list[Message] = []
        if self.running is not None:
            uuid, folded = self._end()
            if uuid == BACKGROUND:
                stopped = [aborted(origin={"kind": "task-notification"})]
            else:
                stopped = [aborted() if self.tells == "never" else aborted(uuid, *folded)]
            stopped += self._state("idle")
        return [*said, *stopped, answer] if self.manner == "answers last" else [*said, answer, *stopped]

    def _set(self, setting: str, value: str | None, request_id: str) -> list[Message]:
        if value == REFUSED:
            return [refusal(request_id)]
        self.settings[setting] = value
        return [success(request_id)]

    def _state(self, state: str) -> list[Message]:
        if self.tells == "never":
            return []
        return [SessionStateMessage(subtype="session_state_changed", state=state)]
