"""A session: its mailbox, its link and the turn that runs, composed; inputs go in, effects come out.

No await, no clock, no randomness. `receive` is the only way in. An input that is refused raises and changes nothing.
"""

from typing import assert_never, final

from triologue.errors import AgentProtocolError, AgentStartError, SessionNotFound, TriologueError
from triologue.messages import (
    Interrupt,
    Message,
    SessionState,
    StateChanged,
    TurnAccepted,
    TurnStarted,
)
from triologue.session import effects as do, inputs as on
from triologue.session.duties import Duties
from triologue.session.ground import CONTROL, INTERRUPT, PERMISSION, START, Ground
from triologue.session.hearing import Hearing
from triologue.session.link import Asking, Changing, Handshake, Interrupting, LinkEvent, LinkState, Purpose
from triologue.session.mailbox import Mailbox, Waiting
from triologue.session.peer import Peer
from triologue.session.questions import Questions
from triologue.session.run import Phase, Run, cancelled, failed_by, interrupted
from triologue.session.serving import Serving


@final
class Session(Ground):
    """One conversation.

    Args:
        peer: the agent.
        permission_tag: what the ids of its permission requests begin with; see `Duties`.
        mailbox_limit: turns that may wait.
        session_id: the conversation's id, when there is one already.
        is_confirmed: the agent has shown that it keeps this conversation: it gave a result in it.
        settings: the model and the permission mode that are wanted at first.
        total_cost_usd: what the conversation has cost so far; None when that is not known.
    """

    def __init__(
        self,
        *,
        peer: Peer,
        permission_tag: str,
        mailbox_limit: int,
        session_id: str | None = None,
        is_confirmed: bool = False,
        settings: dict[on.Setting, str | None] | None = None,
        total_cost_usd: float | None = 0.0,
    ) -> None:
        super().__init__(session_id, is_confirmed, dict(settings or {}), total_cost_usd, peer, Duties(permission_tag))
        self.mailbox = Mailbox(mailbox_limit)
        self._begins_fresh = self._is_fresh = False
        """Is the next start, and was the last one, of a conversation that the agent does not know yet?"""
        self._rest_tickets: list[int] = []
        self._leaves: list[on.Leave] = []
        self._shown: SessionState = self.state
        self._questions = Questions(self)
        self._serving = Serving(self)
        self._hearing = Hearing(self, self._questions, self._serving)

    @property
    def is_quiet(self) -> bool:
        """Nothing runs, nothing waits, and there is no link: the session can sleep without a task."""
        is_idle = self.run is None and len(self.mailbox) == 0 and not self.asks
        return is_idle and self.link.state is LinkState.ABSENT

    def lets_pass(self, generation: int, batch: list[Message]) -> bool:
        """May this batch be published as it came, under `owner`? Text in pieces passes by the machines this way."""
        return self.link.is_current(generation) and self._hearing.is_plain(batch)

    def receive(self, event: on.Input) -> list[do.Effect]:
        """Take in one input; return what is to be done, in order.

        Raises:
            MailboxFull: a `Submit` beyond the limit.
        """
        self._handle(event)
        self._go_on()
        if self.state != self._shown:
            self._shown = self.state
            reason = str(self.last_error) if self.last_error is not None and self._shown == "hibernated" else None
            self.publish(None, [StateChanged(state=self._shown, reason=reason)])
        return self.take_effects()

    def _handle(self, event: on.Input) -> None:  # noqa: C901 - one arm for each input
        match event:
            case on.Heard():
                if self.link.is_current(event.generation):
                    self._hearing.take_in(event.batch)
            case on.Submit():
                self.mailbox.put(Waiting(event.turn_id, event.prompt))
                self.publish(event.turn_id, [TurnAccepted(prompt=event.prompt, meta=event.meta)])
            case on.Withdraw():
                self._withdraw(event.turn_id)
            case on.StopTurn():
                self._stop_turn(event.ticket)
            case on.Change():
                self._change(event)
            case on.Ask():
                self._questions.ask(event.ticket, event.request)
            case on.Unask():
                self._questions.unask(event.ticket)
            case on.Decide():
                self._serving.decide(event)
            case on.Served():
                if self.link.is_current(event.generation):
                    self._serving.served(event)
            case on.Failed():
                if self.link.is_current(event.generation):
                    self._serving.failed(event.request_id, event.error, event.code)
            case on.Rest():
                self._rest_tickets.append(event.ticket)
            case on.Leave():
                self._begin_leave(event)
            case on.Hold():
                self.is_held = True
            case on.Admitted():
                if self.link.is_current(event.generation) and self.link.state is LinkState.STARTING:
                    self.effect(do.SetTimer(START, event.generation))
            case on.Linked():
                if self.link.is_current(event.generation) and self.link.state is LinkState.STARTING:
                    self.link.preparations = list(event.preparations)
                    self.send_request(event.hello, Handshake())
            case on.Lost():
                if self.link.is_current(event.generation):
                    self._lost(event.error)
            case on.Unlinked():
                if self.link.is_current(event.generation):
                    self._unlinked(event.error)
            case on.Expired():
                self._expired(event)
            case _:
                assert_never(event)

    # What follows from where things stand.

    def _go_on(self) -> None:
        """Send what waited for the agent, begin the next turn, or let the agent go, if that is what follows now."""
        if self.asks and self.link.state is LinkState.READY and not self._leaves:
            self._questions.send()
        if self.run is None and self._may_begin():
            waiting = self.mailbox.take()
            if waiting is not None:
                self.run = Run(waiting.turn_id, waiting.prompt)
        if self.run is not None:
            self._advance(self.run)
        elif self._leaves or (self._rest_tickets and not self._is_wanted):
            self.close_link(eof=True)
            if self.link.state is LinkState.ABSENT:
                self._settle_rest()
                self._go_on()  # what came in while the agent left begins now
        elif self.asks and self.link.state is LinkState.ABSENT:
            self._start()

    @property
    def _is_wanted(self) -> bool:
        """Is there something that waits for the agent?"""
        return len(self.mailbox) > 0 or bool(self.asks) or self.link.waits_for(Asking)

    def _may_begin(self) -> bool:
        # An interrupt that is still under way must not hit the next turn; on a link that closes it cannot.
        may_hit = self.link.state is LinkState.READY and self.link.waits_for(Interrupting)
        return not (self.is_held or self._leaves or may_hit)

    def _advance(self, run: Run) -> None:
        if run.phase is not Phase.PENDING:
            return
        if self.link.state is LinkState.ABSENT:
            self._start()
        elif self.link.state is LinkState.READY:
            run.move(Phase.SENT)
            if not run.is_repeated:
                self.publish(run.turn_id, [TurnStarted()])
            self.effect(do.SendPrompt(self.link.generation, run.prompt))

    def _start(self) -> None:
        self.link.start(self.wanted)
        self._is_fresh, self._begins_fresh = self._begins_fresh, False
        self.refusal = None
        self.effect(
            do.Start(
                generation=self.link.generation,
                session_id=self.session_id,
                fresh=self._is_fresh,
                model=self.wanted.get("model"),
                permission_mode=self.wanted.get("permission_mode"),
            )
        )

    def _settle_rest(self) -> None:
        for ticket in self._rest_tickets:
            self.effect(do.Answer(ticket))
        self._rest_tickets.clear()
        if any(leave.forget for leave in self._leaves):
            self.session_id, self.is_confirmed, self.total_cost_usd = None, False, 0.0
        for leave in self._leaves:
            self.effect(do.Answer(leave.ticket))
        self._leaves.clear()

    # Callers.

    def _withdraw(self, turn_id: str) -> None:
        if self.mailbox.remove(turn_id):
            self.settle_turn(turn_id, cancelled("withdrawn"))
        elif self.run is not None and self.run.turn_id == turn_id:
            if self.run.phase is Phase.PENDING:
                self.end_run(cancelled("withdrawn"))
            else:
                self._stop_turn(None)

    def _stop_turn(self, ticket: int | None) -> None:
        run = self.run
        if run is None:
            if ticket is not None:
                self.effect(do.Answer(ticket, "nothing_running"))
            return
        if ticket is not None:
            run.stop_tickets.append(ticket)
        if run.phase is Phase.PENDING:
            self.end_run(interrupted("before it began"))
        elif not run.is_stopping:
            run.is_stopping = True
            # With `cancel_queued` a prompt that waits behind a turn of the agent's own is dropped too.
            self.send_request(Interrupt(cancel_queued=True), Interrupting())
            self.effect(do.SetTimer(INTERRUPT, self.link.generation))
            self._serving.interrupted()

    def _change(self, event: on.Change) -> None:
        self.wanted[event.setting] = event.value
        change = Changing(event.ticket, event.setting, event.value)
        if self.link.state is LinkState.READY:
            self.apply(change)
        elif self.link.state is LinkState.STARTING:
            self.changes.append(change)
        elif event.ticket is not None:
            self.effect(do.Answer(event.ticket, event.value))

    def _begin_leave(self, event: on.Leave) -> None:
        self._leaves.append(event)
        reason = "the session was closed" if event.error is None else str(event.error)
        for waiting in self.mailbox.clear():
            self.settle_turn(waiting.turn_id, cancelled(reason, event.error))
        self.fail_asks(event.error or AgentProtocolError(f"{reason} before the agent could be asked"))
        self._stop_turn(None)

    # The link.

    def _unlinked(self, why: TriologueError | None) -> None:
        error = why or AgentProtocolError("the connection was closed")
        if self.link.state is LinkState.CLOSING:
            self._give_up_all(error)
        else:
            self._lost(error)
        self.link.move(LinkEvent.GONE)

    def _give_up_all(self, error: TriologueError) -> None:
        """Nobody is there any more for what either end still wants of the other."""
        self.effect(do.ClearTimer(START))
        self.effect(do.ClearTimer(INTERRUPT))
        self.drop_duties(f"the agent went away: {error}")
        self.keep_changes()
        for request_id, purpose in self.link.lose().items():
            self._give_up(request_id, purpose, error)

    def _lost(self, error: TriologueError) -> None:
        """It went away by itself, unless it was told to or is known to be gone."""
        if self.link.state is LinkState.CLOSING:
            return
        self.link.move(LinkEvent.CLOSE)
        self._give_up_all(error)
        self.last_error = error
        run = self.run
        if run is not None and run.was_left_alone_by(error):
            run.move(Phase.PENDING)
            run.is_repeated = True
            return
        is_missing = isinstance(error, SessionNotFound) and self.session_id is not None
        is_first_try = run is None or run.phase is Phase.PENDING
        if is_missing and not self.is_confirmed and not self._is_fresh and is_first_try:
            # The agent went away before it had kept anything of this conversation: begin it again under its id.
            self._begins_fresh = True
            return
        self.fail_asks(error)
        if run is not None:
            self.end_run(interrupted("the agent went away") if run.is_stopping else failed_by(error))

    def _give_up(self, request_id: str, purpose: Purpose, error: TriologueError) -> None:
        match purpose:
            case Changing(ticket=ticket, value=value):
                self.effect(do.ClearTimer(CONTROL, request_id))
                if ticket is not None:
                    self.effect(do.Answer(ticket, value))  # the next start applies it
            case Asking(ticket=ticket):
                self.effect(do.ClearTimer(CONTROL, request_id))
                gone = AgentProtocolError(f"the agent went away before it answered: {error}")
                self.effect(do.Answer(ticket, error=gone))
            case _:
                pass

    def _expired(self, event: on.Expired) -> None:
        if not self.link.is_current(event.generation):
            return
        if event.timer == START and self.link.state is LinkState.STARTING:
            self.refuse_start(
                AgentStartError("the agent did not answer the handshake within Deadlines.start, and was stopped")
            )
        elif event.timer == PERMISSION:
            self._serving.expired(event.about)
        elif event.timer == CONTROL:
            self._questions.expired(event.about)
        elif event.timer == INTERRUPT and self.run is not None and self.run.put_aside and not self.is_stopping:
            self.end_run(failed_by(self.run.put_aside))
        elif event.timer == INTERRUPT and (self.is_stopping or self.link.waits_for(Interrupting)):
            self.end_run(interrupted("killed: it did not stop within Deadlines.interrupt"), reply="killed")
            self.close_link(eof=False)
