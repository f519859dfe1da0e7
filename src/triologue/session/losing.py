"""What follows when an agent goes away: for its turn, for what was asked of it, and for whether it is started again."""

from typing import final

from triologue.errors import (
    AgentCrashed,
    AgentNotFound,
    AgentProtocolError,
    AgentStartError,
    CallerError,
    NotLoggedIn,
    SessionFailed,
    SessionNotFound,
    TriologueError,
    TurnTimeout,
)
from triologue.session import effects as do, inputs as on
from triologue.session.ground import CONTROL, INTERRUPT, MAX_AGE, START, Ground
from triologue.session.link import CLOSING, READY, Asking, Changing, LinkEvent, Purpose, Recalling
from triologue.session.mailbox import Mailbox
from triologue.session.restarts import Restarts, Spent
from triologue.session.run import PENDING, Run, failed_by
from triologue.session.steering import Steering, renewed

# Another start would end as this one did: somebody has to do something first.
_NO_CRASHES = (AgentNotFound, NotLoggedIn, SessionNotFound, CallerError)


def _is_crash(error: TriologueError) -> bool:
    is_final = isinstance(error, AgentStartError) and error.is_final
    return not (is_final or isinstance(error, _NO_CRASHES))


@final
class Losing:
    """The end of a link, however it came."""

    __slots__ = (
        "_killed_for",
        "_mailbox",
        "_restarts",
        "_session",
        "_stall",
        "_steering",
        "begins_fresh",
        "start_after",
    )

    def __init__(self, session: Ground, mailbox: Mailbox, steering: Steering, restarts: Restarts) -> None:
        self._session = session
        self._mailbox = mailbox
        self._steering = steering
        self._restarts = restarts
        self.start_after = 0.0
        """When the next agent may be started, on the clock of `Lost.at`."""
        self.begins_fresh = False
        """The next start is of a conversation that the agent does not know yet."""
        self._killed_for: AgentProtocolError | None = None
        self._stall: TurnTimeout | None = None
        """Of a turn that is to run again, while the agent that stalled is being killed."""

    def blame(self, reason: str) -> None:
        """It is killed, because it does not do what it should: that counts as a crash."""
        self._killed_for = AgentProtocolError(f"it was killed: {reason}")
        self._session.link.aged_by = None  # it does not go for its age
        self._trouble(f"the agent is killed: {reason}")

    def start_expired(self, seconds: float | None) -> None:
        """The agent did not answer the handshake in time."""
        self.blame("it did not answer the handshake within Deadlines.start")
        error = AgentStartError("the agent did not answer the handshake within Deadlines.start, and was stopped")
        timeout = TurnTimeout(START, seconds=seconds)
        timeout.__cause__ = error
        self._session.refuse_start(error, timeout=timeout)

    def runs_again(self, run: Run) -> bool:
        """Its agent is killed for a stall: where the policy says so, the turn waits for the next one."""
        if run.timeout is None or not self._may_retry(run, run.timeout):
            return False
        self._stall = run.timeout
        self._session.run = run.again(renewed(run.prompt))
        return True

    def unlinked(self, event: on.Unlinked) -> None:
        """The connection is gone."""
        session = self._session
        error = event.error or AgentProtocolError("the connection was closed")
        if session.link.state is CLOSING:
            self._give_up_all(error)
            if self._killed_for is not None and self._count_crash(event, self._killed_for) and session.refuses:
                session.end_run(failed_by(self._stall or session.refuses))
        else:
            self.lost(on.Lost(event.generation, error, event.at, event.jitter))
        self._killed_for = self._stall = None
        session.link.move(LinkEvent.GONE)

    def lost(self, event: on.Lost) -> None:
        """It went away by itself, unless it was told to or is known to be gone."""
        session, error = self._session, event.error
        if session.link.state is CLOSING:
            return
        was_ready = session.link.state is READY
        session.link.move(LinkEvent.CLOSE)
        self._give_up_all(error)
        is_news, session.last_error = str(error) != str(session.last_error), error
        if not was_ready:
            session.give_up_doubtful()
        if self._begins_again(error):
            return
        if is_news:  # and not the same again for each message that it is started for
            self._trouble(f"the agent {'went away' if was_ready else 'did not start'}: {error}")
        is_failed = self._count_crash(event, error)
        session.fail_asks(error)
        run = session.run
        if run is None:
            return
        if not is_failed and self._may_retry(run, error):
            session.run = run.again(renewed(run.prompt))
        else:
            session.end_run(run.stopped("the agent went away") if run.is_stopping else failed_by(error))

    def _begins_again(self, error: TriologueError) -> bool:
        """Is it certain that nothing of the turn was done, and another try is worth it?"""
        session, run = self._session, self._session.run
        if run is not None and run.was_left_alone_by(error):
            run.move(PENDING)
            run.is_repeated = True
            return True
        is_first_try = run is None or run.phase is PENDING
        may_begin_anew = session.begins_anew and not session.has_begun_anew
        if isinstance(error, SessionNotFound) and may_begin_anew and is_first_try:
            session.session_id, session.is_confirmed, session.total_cost_usd = None, False, 0.0
            session.has_begun_anew = True
            session.effect(do.BeginAnew())
            return True
        is_missing = isinstance(error, SessionNotFound) and session.session_id is not None
        if is_missing and not session.is_confirmed and not session.is_fresh and is_first_try:
            # The agent went away before it had kept anything of this conversation: begin it again under its id.
            self.begins_fresh = True
            return True
        return False

    def _may_retry(self, run: Run, error: TriologueError) -> bool:
        policy = self._restarts.policy
        # Counted by the turn too: one that takes longer than `within` to kill its agent would come back for ever.
        may = policy.retry_turn and run.retries < policy.max_restarts and _is_crash(error)
        return may and run.may_run_again and not self._session.is_leaving

    def _count_crash(self, event: on.Lost | on.Unlinked, error: TriologueError) -> bool:
        """Put off the next start, or give the session up for a while; True where that is so."""
        if not _is_crash(error):
            return False
        verdict = self._restarts.crashed(event.at, jitter=event.jitter)
        if not isinstance(verdict, Spent):
            self.start_after = event.at + verdict.seconds
            return False
        policy = self._restarts.policy
        failed = SessionFailed(
            f"its agent died more than {policy.max_restarts} times within {policy.within:g} s (RestartPolicy), "
            f"the last time with: {error}; it may be tried again in {policy.within:g} s",
            reason=str(error),
            retry_at=verdict.retry_at,
        )
        self._trouble(str(failed))
        self._session.refuses = failed
        self._session.fail_asks(failed)
        for waiting in self._mailbox.clear():
            self._session.settle_turn(waiting.turn_id, failed_by(failed))
        return True

    def _trouble(self, text: str) -> None:
        run = self._session.run
        self._session.effect(do.Note(text, run.turn_id if run is not None else None, is_trouble=True))

    def _give_up_all(self, error: TriologueError) -> None:
        """Nobody is there any more for what either end still wants of the other."""
        session = self._session
        session.watch.end()
        for timer in (START, INTERRUPT):
            session.effect(do.ClearTimer(timer))
        if MAX_AGE in session.timed:
            session.effect(do.ClearTimer(MAX_AGE))
        session.end_conclusion()
        session.drop_duties(f"the agent went away: {error}")
        session.keep_changes()
        self._steering.lost()
        for request_id, purpose in session.link.lose().items():
            self._give_up(request_id, purpose, error)

    def _give_up(self, request_id: str, purpose: Purpose, error: TriologueError) -> None:
        session = self._session
        if isinstance(purpose, Changing | Asking | Recalling):
            session.effect(do.ClearTimer(CONTROL, request_id))
        match purpose:
            case Changing(ticket=ticket, setting=setting, value=value):
                if isinstance(error, AgentCrashed):
                    session.doubtful = {setting: session.link.applied.get(setting), **session.doubtful}
                if ticket is not None:
                    session.effect(do.Answer(ticket, value))  # the next start applies it
            case Asking(ticket=ticket):
                gone = AgentProtocolError(f"the agent went away before it answered: {error}")
                session.effect(do.Answer(ticket, error=gone))
            case _:
                pass
