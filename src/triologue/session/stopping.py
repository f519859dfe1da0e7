"""How the turn that runs is stopped: for a caller, for a deadline of its own, or since nobody wants it any more."""

from typing import final

from triologue.messages import Interrupt
from triologue.session import effects as do, inputs as on
from triologue.session.ground import INTERRUPT, Ground
from triologue.session.link import Interrupting
from triologue.session.losing import Losing
from triologue.session.run import PENDING, Run, failed_by
from triologue.session.serving import Serving


@final
class Stopping:
    """Interrupts, and kills as the last resort."""

    __slots__ = ("_losing", "_serving", "_session")

    def __init__(self, session: Ground, serving: Serving, losing: Losing) -> None:
        self._session = session
        self._serving = serving
        self._losing = losing

    def stop_turn(self, ticket: int | None, stopped_for: str | None = None) -> None:
        """Stop what runs; the reply, where there is a ticket, is how that went.

        Args:
            ticket: of the caller who wants it, if one does.
            stopped_for: what is to be the reason, if it is not being stopped already.
        """
        session, run = self._session, self._session.run
        if run is None:
            if ticket is not None:
                session.effect(do.Answer(ticket, "nothing_running"))
            return
        if ticket is not None:
            run.stop_tickets.append(ticket)
        if not run.is_unwanted and not run.is_stopping:
            run.stopped_for = stopped_for
        if run.phase is PENDING:
            session.end_run(run.stopped("before it began"))
            return
        run.is_unwanted = True
        if not run.is_stopping:
            self.interrupt(run)

    def interrupt(self, run: Run) -> None:
        """Tell the agent."""
        session = self._session
        run.is_stopping = True
        session.watch.end()
        # With `cancel_queued` a prompt that waits behind a turn of the agent's own is dropped too.
        session.send_request(Interrupt(cancel_queued=True), Interrupting())
        session.effect(do.SetTimer(INTERRUPT, session.link.generation))
        self._serving.interrupted()

    def expired(self) -> None:
        """The agent did not stop within `Deadlines.interrupt`, or did not say why it put a prompt aside."""
        session, run = self._session, self._session.run
        if run is not None and run.put_aside and not run.is_stopping:
            session.end_run(failed_by(run.put_aside))
        elif session.is_stopping or session.link.waits_for(Interrupting):
            why = "it did not stop within Deadlines.interrupt"
            self._losing.blame(why if run is None or run.timeout is None else f"{why}, after {run.timeout}")
            if run is not None and not self._losing.runs_again(run):
                session.end_run(run.stopped(f"killed: {why}"), reply="killed")
            session.close_link(eof=False)

    def turn_expired(self, event: on.Expired) -> None:
        """A deadline of the turn passed."""
        session, run = self._session, self._session.run
        works = any(duty.ends_with_turn for duty in session.duties)
        timeout = session.watch.expired(event.timer, event.about, event.seconds, is_working_for_it=works)
        if run is not None and timeout is not None and not run.is_stopping:
            run.timeout = timeout
            session.effect(do.Note(f"the turn is stopped: {timeout}", run.turn_id, is_trouble=True))
            self.interrupt(run)
