"""A session on a stage: inputs in, and what it asks for told in short lines."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tests.support.frames import LIFECYCLE, init, lifecycle as became, prompt, success
from triologue.agents.replies import permission_reply
from triologue.messages import (
    AnyRequest,
    CallbackFailed,
    CancelAsyncMessage,
    CanUseTool,
    CommandLifecycle,
    ControlCancel,
    ControlError,
    ControlRequest,
    ControlResponse,
    Initialize,
    McpStatus,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionAsked,
    PermissionResult,
    Request,
    ResultMessage,
    SetGoal,
    SetModel,
    SetPermissionMode,
    SettingsChanged,
    SideQuestion,
    StateChanged,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    subtype_of,
)
from triologue.options import Overlap
from triologue.session import Session, effects as do, inputs as on

SETTINGS: dict[on.Setting, str | None] = {"model": None, "permission_mode": None}

REQUESTS: dict[type[Request], str | None] = {
    SetModel: None,
    SetPermissionMode: None,
    McpStatus: None,
    SideQuestion: None,
    SetGoal: "goal_v1",
}


class Peer(Struct, frozen=True):
    """An agent, as its session sees it."""

    name: str
    requests: Mapping[type[Request], str | None]

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """As most agents read it."""
        return permission_reply(request, result)


PEER = Peer("scripted", REQUESTS)
STEERABLE = Peer("scripted", {**REQUESTS, CancelAsyncMessage: None})
"""One whose prompts can be asked back."""


def told(effects: list[do.Effect]) -> list[str]:
    """One line for each effect, with everything that it says; what is published, by what it is about."""
    return [
        line
        for effect in effects
        if not isinstance(effect, do.Account)  # tested where it is accounted for
        and not (isinstance(effect, do.Note) and effect.is_trouble)  # and where it is logged
        for line in (_published(effect) if isinstance(effect, do.Publish) else [_line(effect)])
    ]


# What is a line of its own, whatever it was published with.
_ALONE = (
    CallbackFailed,
    CommandLifecycle,
    PermissionAnswered,
    PermissionAsked,
    SettingsChanged,
    StateChanged,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)


def _published(effect: do.Publish) -> list[str]:
    lines: list[list[str]] = []
    was_alone = True
    for message in effect.messages:
        is_alone = isinstance(message, _ALONE)
        if is_alone or was_alone:
            lines.append([])
        lines[-1].append(_said(message))
        was_alone = is_alone or isinstance(message, ResultMessage)
    return [f"{effect.turn_id or '-'}: {', '.join(line)}" for line in lines]


def _line(effect: do.Effect) -> str:
    match effect:
        case do.Start(generation, session_id, fresh, model, mode):
            wanted = "".join(f" {name}={value}" for name, value in (("model", model), ("mode", mode)) if value)
            which = "as it began" if session_id is None else f"{'fresh' if fresh else 'resume'} {session_id}"
            return f"start {generation}: {which}{wanted}"
        case do.Send(generation, message):
            return f"send {generation}: {_frame(message)}"
        case do.SendPrompt(generation, sent, _):
            return f"prompt {generation}: {sent.content}"
        case do.Stop(generation, eof):
            return f"stop {generation}: {'end of input' if eof else 'at once'}"
        case do.Publish():
            return "; ".join(_published(effect))
        case do.Settle(turn_id, outcome):
            return f"settle {turn_id}: {_outcome(outcome)}"
        case do.Answer(ticket, value, error):
            return f"answer {ticket}: {value!r}" if error is None else f"answer {ticket}: {type(error).__name__}"
        case do.AskPermission(generation, request_id, permission_id, turn_id, request):
            return f"ask {generation}: {request_id} {permission_id} {turn_id or '-'} {request.tool_name}"
        case do.SettlePermission(answered):
            return f"settled {answered.id}: {answered.answer}" + (f" by {answered.by}" if answered.by else "")
        case do.Serve(generation, request_id, request):
            return f"serve {generation}: {request_id} {subtype_of(request)}"
        case do.Drop(generation, request_id):
            return f"drop {generation}: {request_id}"
        case do.SetTimer(timer, generation, about):
            return f"timer {timer} {generation}" + (f" {about}" if about else "")
        case do.ClearTimer(timer, about):
            return f"clear {timer}" + (f" {about}" if about else "")
        case do.BeginAnew():
            return "begin anew"
        case do.PauseTimer(timer):
            return f"pause {timer}"
        case do.ResumeTimer(timer):
            return f"resume {timer}"
        case do.Stay(generation):
            return f"stay {generation}"
        case do.Account() | do.Note():
            return type(effect).__name__.lower()


def _frame(message: Message) -> str:
    if isinstance(message, ControlRequest):
        fields = {
            name: value for name in message.request.__struct_fields__ if (value := getattr(message.request, name))
        }
        return f"{type(message.request).__name__} {message.request_id}" + "".join(
            f" {k}={v}" for k, v in fields.items()
        )
    if isinstance(message, ControlResponse):
        answer = message.response
        said = f"{answer.error!r} {answer.error_code or ''}" if isinstance(answer, ControlError) else answer.response
        return f"to {answer.request_id} {said}".rstrip()
    if isinstance(message, ControlCancel):
        return f"take back {message.request_id}"
    return type(message).__name__


def _said(message: Message) -> str:
    match message:
        case StateChanged(state=state, reason=reason):
            return state + (f" ({reason})" if reason else "")
        case SettingsChanged(model=model, permission_mode=mode):
            return f"settings {model}, {mode}"
        case TurnEnded(outcome=outcome):
            return f"TurnEnded {outcome.kind}"
        case PermissionAsked(id=id):
            return f"asked {id}"
        case PermissionAnswered(id=id, answer=answer):
            return f"answered {id} {answer}"
        case CallbackFailed(request=request, error=error):
            return f"failed {request} ({error})"
        case _:
            return type(message).__name__


def _outcome(outcome: Outcome) -> str:
    cause = getattr(outcome.error, "__cause__", None)
    error = f" {type(outcome.error).__name__}" if outcome.error is not None else ""
    return outcome.kind + error + (f" by {type(cause).__name__}" if cause is not None else "")


class Stage:
    """Drives one session; every method returns what was told."""

    def __init__(self, **more: Any) -> None:
        fixed: dict[str, Any] = {
            "key": "k",
            "peer": PEER,
            "permission_tag": "p",
            "mailbox_limit": 3,
            "settings": SETTINGS,
        }
        self.session = Session(**{**fixed, **more})

    @property
    def generation(self) -> int:
        return self.session.link.generation

    def receive(self, event: on.Input) -> list[str]:
        return told(self.session.receive(event))

    def submit(self, text: str, overlap: Overlap = "queue") -> list[str]:
        """A turn whose id, text and uuid are the same."""
        return self.receive(on.Submit(text, prompt(text), {}, overlap))

    def hear(self, *messages: Message) -> list[str]:
        return self.receive(on.Heard(self.generation, list(messages)))

    def begin(self, *, lifecycle: bool = True, conclusions: tuple[Request, ...] = ()) -> list[str]:
        """From a start that was asked for to the answer of the handshake."""
        self.receive(on.Admitted(self.generation))
        self.receive(on.Linked(self.generation, Initialize(), conclusions=conclusions))
        return self.hear(success(f"g{self.generation}_1", LIFECYCLE if lifecycle else None))

    def gone(self, error: Any = None, at: float = 0.0) -> list[str]:
        return self.receive(on.Unlinked(self.generation, error, at))

    def expire(self, timer: str, generation: int | None = None, about: str = "") -> list[str]:
        return self.receive(on.Expired(timer, generation or self.generation, about))

    def asks(self, request_id: str, request: AnyRequest | None = None) -> list[str]:
        """The agent asks whether it may use Bash, or something else."""
        return self.hear(
            ControlRequest(request_id=request_id, request=request or CanUseTool(tool_name="Bash", input={}))
        )


def ready(*texts: str, **more: Any) -> Stage:
    """A session with a link that is up; the first of these turns was sent."""
    stage = Stage(**more)
    for text in texts or ("a",):
        stage.submit(text)
    stage.begin()
    return stage


def running(*texts: str, **more: Any) -> Stage:
    """The same, and the first turn was taken up."""

    stage = ready(*texts, **more)
    stage.hear(became(texts[0] if texts else "a", "started"), init())
    return stage
