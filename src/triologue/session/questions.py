"""Our own control requests: they wait for the agent, are gated by what it can, have a deadline, and can be taken back."""

from typing import final

from triologue.errors import AgentProtocolError, ManagerClosed, SessionFailed
from triologue.messages import FlushSkillEvolution, Request, SideQuestion, UnknownRequest
from triologue.session import effects as do
from triologue.session.ground import CONTROL, Ground
from triologue.session.link import READY, Asking, Changing
from triologue.session.peer import UNSUPPORTED

# Their answers are made by a model, or by people.
_WITHOUT_DEADLINE = (SideQuestion, FlushSkillEvolution)
LATE = "the agent did not answer within Deadlines.control, and the request was taken back"


@final
class Questions:
    """The asking half of the control dialogue. Handshake, interrupt and settings begin elsewhere; all end here."""

    __slots__ = ("_session",)

    def __init__(self, session: Ground) -> None:
        self._session = session

    def ask(self, ticket: int, request: Request) -> None:
        """Take a request in; it goes out when the link is ready."""
        session = self._session
        if session.is_held:
            closed = ManagerClosed("the manager's block is being left, so nothing new is taken in")
            session.effect(do.Answer(ticket, error=closed))
        elif isinstance(session.refuses, SessionFailed):  # money does not matter: this costs none
            session.effect(do.Answer(ticket, error=session.refuses))
        elif type(request) not in session.peer.requests and not isinstance(request, UnknownRequest):
            session.effect(do.Answer(ticket, error=session.unsupported(request, "it has no such request")))
        else:
            session.asks[ticket] = request

    def send(self) -> None:
        """The link is ready: what waited goes out."""
        session = self._session
        asks, session.asks = session.asks, {}
        for ticket, request in asks.items():
            capability = session.peer.requests.get(type(request))
            if capability is None or capability in session.link.capabilities or not session.link.has_introduced_itself:
                timer = None if isinstance(request, _WITHOUT_DEADLINE) else CONTROL
                session.send_request(request, Asking(ticket, request), timer=timer)
            else:
                error = session.unsupported(request, "it does not announce it")
                session.effect(do.Answer(ticket, error=error))

    def unask(self, ticket: int) -> None:
        """Its caller waits no longer."""
        session = self._session
        if session.asks.pop(ticket, None) is not None:
            session.effect(do.Answer(ticket))
        elif (request_id := session.link.asking(ticket)) is not None:
            self._take_back(request_id)
            session.effect(do.Answer(ticket))

    def expired(self, request_id: str) -> None:
        """The agent took too long."""
        session = self._session
        match self._take_back(request_id):
            case Asking(ticket=ticket):
                session.effect(do.Answer(ticket, error=AgentProtocolError(LATE)))
            case Changing() as change:
                self._refuse_change(change, AgentProtocolError(f"{change.setting}={change.value!r}: {LATE}"))
            case _:
                pass

    def refused(self, purpose: Asking | Changing, error: str, code: str | None) -> None:
        """The agent said no."""
        session = self._session
        if isinstance(purpose, Asking):
            failure: Exception = AgentProtocolError(f"the agent refused: {error}", code=code)
            if code == UNSUPPORTED:
                failure = session.unsupported(purpose.request, error)
            session.effect(do.Answer(purpose.ticket, error=failure))
            return
        said = f"the agent refused {purpose.setting}={purpose.value!r}: {error}"
        failure = AgentProtocolError(said, code=code)
        if code == UNSUPPORTED:
            failure = session.unsupported(purpose.request, error)
        self._refuse_change(purpose, failure)

    def _refuse_change(self, change: Changing, error: Exception) -> None:
        session = self._session
        session.agree(change)
        if change.ticket is None:
            session.effect(do.Note(str(error)))
        else:
            session.effect(do.Answer(change.ticket, error=error))

    def _take_back(self, request_id: str) -> object:
        """Withdraw what is still unanswered, and give its purpose."""
        session = self._session
        withdrawn = session.link.withdraw(request_id)
        if withdrawn is None:
            return None
        frame, purpose = withdrawn
        session.effect(do.ClearTimer(CONTROL, request_id))
        if session.link.state is READY:  # nothing is sent to one that was told to leave
            session.effect(do.Send(session.link.generation, frame))
        return purpose
