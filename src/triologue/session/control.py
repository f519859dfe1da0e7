"""What an agent says in the control dialogue: its answers to what we asked, and what it asks of us."""

from typing import Any, assert_never, final

from triologue.errors import AgentStartError
from triologue.messages import ControlCancel, ControlRequest, ControlResponse, KeepAlive
from triologue.session import effects as do
from triologue.session.ground import CONTROL, Ground
from triologue.session.link import STARTING, Asking, Changing, Concluding, Handshake, Interrupting, Recalling
from triologue.session.questions import Questions
from triologue.session.serving import Serving
from triologue.session.steering import Steering
from triologue.wire import Answered, Asked, Ignored, Refused, Withdrawn


@final
class Control:
    """Takes each of its frames to whom it concerns."""

    __slots__ = ("_questions", "_serving", "_session", "_steering")

    def __init__(self, session: Ground, questions: Questions, serving: Serving, steering: Steering) -> None:
        self._session = session
        self._questions = questions
        self._serving = serving
        self._steering = steering

    def take_in(self, message: ControlRequest | ControlResponse | ControlCancel | KeepAlive) -> None:
        """The agent said this."""
        heard = self._session.link.dialogue.hear(message)
        match heard:
            case Answered(request_id=request_id, response=response):
                self._answered(request_id, response)
            case Refused(request_id=request_id, error=error, code=code):
                self._refused(request_id, error, code)
            case Asked(request_id=request_id, request=request):
                self._serving.asked(request_id, request)
            case Withdrawn(request_id=request_id):
                self._serving.withdrawn(request_id)
            case Ignored(why=why) if not isinstance(message, KeepAlive):
                self._session.note_oddity("ignored a control frame", why)
            case Ignored():  # a keep-alive
                pass
            case _:
                assert_never(heard)

    def _answered(self, request_id: str, response: dict[str, Any]) -> None:
        session = self._session
        match session.link.purpose_of(request_id):
            case Handshake():
                if session.link.state is STARTING:
                    self._go_on_with_handshake(response)
            case Interrupting():
                self._interrupted(_strings(response.get("cancelled")))
            case Concluding():
                pass  # what it does next follows from where things stand
            case Recalling(uuid=uuid):
                session.effect(do.ClearTimer(CONTROL, request_id))
                self._steering.recalled(uuid, is_dropped=response.get("cancelled") is True)
            case Asking(ticket=ticket):
                session.effect(do.ClearTimer(CONTROL, request_id))
                session.effect(do.Answer(ticket, response))
            case Changing() as change:
                session.effect(do.ClearTimer(CONTROL, request_id))
                self._changed(change)

    def _changed(self, change: Changing) -> None:
        session = self._session
        session.link.applied = {**session.link.applied, change.setting: change.value}
        session.agree(change)
        if change.ticket is not None:
            session.effect(do.Answer(change.ticket, change.value))

    def _interrupted(self, dropped: list[str]) -> None:
        for uuid in dropped:
            self._steering.dropped(uuid)
        self._session.interrupt_answered(dropped)

    def _go_on_with_handshake(self, response: dict[str, Any]) -> None:
        """One more step of it was answered: the first is the greeting."""
        session, link = self._session, self._session.link
        if not link.was_greeted:
            link.greeted(response)
        if not link.preparations:
            session.link_ready()
            return
        step = link.preparations.pop(0)
        capability = session.peer.requests.get(type(step))
        if capability is None or capability in link.capabilities:
            session.send_request(step, Handshake())
        else:
            session.refuse_start(AgentStartError(str(session.unsupported(step, "it does not announce it"))))

    def _refused(self, request_id: str, error: str, code: str | None) -> None:
        session = self._session
        match session.link.purpose_of(request_id):
            case Handshake():
                if session.link.state is STARTING:  # else it was given up before, and the turn is another one
                    session.refuse_start(AgentStartError(f"the agent refused the handshake: {error}"))
            case Interrupting():
                session.effect(do.Note(f"the agent refused to be interrupted: {error}"))
                session.interrupt_answered([])
            case Concluding():
                session.effect(do.Note(f"the agent refused what it does before it goes: {error}"))
            case Recalling():  # then it stays where it is
                session.effect(do.ClearTimer(CONTROL, request_id))
            case Asking() | Changing() as purpose:
                session.effect(do.ClearTimer(CONTROL, request_id))
                self._questions.refused(purpose, error, code)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
