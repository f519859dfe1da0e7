"""What an agent does before it is let go: Qoder writes down what it is to remember."""

from typing import final

from triologue.session import effects as do
from triologue.session.ground import CONCLUDE, Ground
from triologue.session.link import READY, Concluding


@final
class Conclusion:
    """Asks for one thing after the other. All together they have one deadline, so that an agent always goes."""

    __slots__ = ("_session",)

    def __init__(self, session: Ground) -> None:
        self._session = session

    def let_go(self) -> None:
        """Let the agent go, as soon as it has done what it does before."""
        if not self._is_under_way():
            self._session.close_link(eof=True)

    def _is_under_way(self) -> bool:
        """Has it something to do? It is asked for what comes next."""
        session, link = self._session, self._session.link
        if link.state is not READY:
            return False
        if link.to_conclude is None:
            link.to_conclude = list(link.conclusions)
            if link.conclusions:
                session.effect(do.SetTimer(CONCLUDE, link.generation))
        while link.to_conclude and link.concluding() is None:
            request = link.to_conclude.pop(0)
            capability = session.peer.requests.get(type(request))
            if capability is None or capability in link.capabilities:
                session.send_request(request, Concluding())
        return link.concluding() is not None

    @property
    def is_last(self) -> bool:
        """Does an old agent do the last things it has to do, and go then? Not where it has begun something of its own."""
        link = self._session.link
        if not link.is_old or link.to_conclude is None:
            return False
        return link.concluding() is not None or not (link.is_working or link.background)

    def expired(self) -> None:
        """It took too long: it goes without."""
        session, link = self._session, self._session.link
        if link.to_conclude is None:
            return
        link.to_conclude = []
        request_id = link.concluding()
        withdrawn = link.withdraw(request_id) if request_id is not None else None
        if withdrawn is not None:
            session.effect(do.Send(link.generation, withdrawn[0]))
            session.effect(do.Note("the agent did not do within Deadlines.control what it does before it goes"))
