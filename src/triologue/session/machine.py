"""A session: its mailbox, its link and the turn that runs, composed; inputs go in, effects come out.

No await, no clock, no randomness. `receive` is the only way in. An input that is refused raises and changes nothing.
"""

from typing import assert_never, final

from triologue.errors import AgentProtocolError, LimitError, SessionFailed
from triologue.messages import Message, SessionState, TurnAccepted, TurnStarted
from triologue.options import RestartPolicy
from triologue.session import effects as do, inputs as on
from triologue.session.conclusion import Conclusion
from triologue.session.control import Control
from triologue.session.duties import Duties
from triologue.session.ground import CONCLUDE, CONTROL, IDLE, INTERRUPT, MAX_AGE, PERMISSION, START, Ground
from triologue.session.hearing import Hearing
from triologue.session.link import ABSENT, CLOSING, READY, STARTING, Asking, Handshake, Interrupting
from triologue.session.losing import Losing
from triologue.session.mailbox import Mailbox, Waiting
from triologue.session.peer import Peer
from triologue.session.questions import Questions
from triologue.session.restarts import Restarts
from triologue.session.run import DRAIN, PENDING, SENT, Run, cancelled, never_ran
from triologue.session.serving import Serving
from triologue.session.steering import Steering
from triologue.session.stopping import Stopping


@final
class Session(Ground):
    """One conversation.

    Args:
        key: how errors name it.
        peer: the agent.
        permission_tag: what the ids of its permission requests begin with; see `Duties`.
        mailbox_limit: prompts that may wait.
        session_id: the conversation's id, when there is one already.
        is_confirmed: the agent has shown that it keeps this conversation: it gave a result in it.
        settings: the model and the permission mode that are wanted at first.
        total_cost_usd: what the conversation has cost so far; None when that is not known.
        restarts: the crashes of its agents so far; they count on from one of these objects to the next.
        timed: the names of the deadlines that there are, of those that a turn, its tools and an agent at rest can have.
        is_metered: money has a bound: every result's `Account` is answered by a `Refuse`, before another turn begins.
        doubtful: settings that an agent died of, perhaps, with what they were before; see `Ground.doubtful`.
    """

    __slots__ = (
        "_conclusion",
        "_hearing",
        "_leaves",
        "_losing",
        "_questions",
        "_rest_tickets",
        "_serving",
        "_shown",
        "_stopping",
        "mailbox",
        "rests",
        "steering",
    )

    def __init__(
        self,
        *,
        key: str,
        peer: Peer,
        permission_tag: str,
        mailbox_limit: int,
        session_id: str | None = None,
        is_confirmed: bool = False,
        settings: on.Settings = on.NO_SETTINGS,
        total_cost_usd: float | None = 0.0,
        restarts: Restarts | None = None,
        timed: frozenset[str] = frozenset(),
        is_metered: bool = False,
        doubtful: on.Settings = on.NO_SETTINGS,
    ) -> None:
        duties = Duties(permission_tag)
        super().__init__(session_id, is_confirmed, settings, total_cost_usd, peer, duties, timed)
        self.mailbox = Mailbox(mailbox_limit, key)
        self._rest_tickets: list[int] = []
        self._leaves: list[on.Leave] = []
        self._shown: SessionState = self.state
        self.rests = False
        """It was idle after the last input."""
        self.is_metered, self.doubtful = is_metered, doubtful
        self._questions = Questions(self)
        self._serving = Serving(self)
        self._conclusion = Conclusion(self)
        self.steering = Steering(self, self.mailbox)
        control = Control(self, self._questions, self._serving, self.steering)
        self._hearing = Hearing(self, control, self.steering)
        self._losing = Losing(self, self.mailbox, self.steering, restarts or Restarts(RestartPolicy()))
        self._stopping = Stopping(self, self._serving, self._losing)

    @property
    def start_after(self) -> float:
        """When the next agent may be started, on the clock of `Lost.at`: it died, and is not started at once."""
        return self._losing.start_after

    @property
    def is_quiet(self) -> bool:
        """Nothing runs, nothing waits, and there is no link: the session can sleep without a task."""
        is_idle = self.run is None and len(self.mailbox) == 0 and not self.asks
        return is_idle and self.link.state is ABSENT

    @property
    def is_idle(self) -> bool:
        """There is an agent, and it has nothing to do: it could be let go, and nobody would notice."""
        return not self._has_turns and not self._leaves and self._is_at_rest

    @property
    def _has_turns(self) -> bool:
        """Does a turn wait for the agent? A usage limit, which others wait for, may last for days."""
        return len(self.mailbox) > 0 and not self.waits_at_gate

    @property
    def _is_at_rest(self) -> bool:
        """There is an agent, and it does nothing; a turn may wait for it."""
        link = self.link
        if link.state is not READY or self.run is not None or self.asks:
            return False
        is_asked = len(self.duties) > 0 or link.is_asked or len(self.steering) > 0
        return not (is_asked or link.is_working or link.background)

    @property
    def waits_at_gate(self) -> bool:
        """Would a turn begin now, if the gate were open?"""
        return self.gate is not None and self.run is None and len(self.mailbox) > 0 and not self.is_held

    def lets_pass(self, generation: int, batch: list[Message]) -> bool:
        """May this batch be published as it came, under `owner`? Text in pieces passes by the machines this way.

        One that may pass is not given to `receive`.
        """
        link = self.link  # not by way of `is_current`: this is asked for every read
        return generation == link.generation and link.state is not ABSENT and self._hearing.is_plain(batch)

    @property
    def passes_text(self) -> bool:
        """May all text in pieces be published as it comes, under `owner`, until the next input?"""
        return self.link.state is not ABSENT and self._hearing.is_settled

    def receive(self, event: on.Input) -> list[do.Effect]:
        """Take in one input; return what is to be done, in order.

        Raises:
            LimitError: a `Submit` that is not taken in; it changed nothing.
        """
        self._handle(event)
        self._go_on()
        self.is_vetted = False
        state = self.state
        is_asking = self.is_accounting or self.is_vetting  # and may begin the next turn at once
        if state != self._shown and not is_asking:
            self._shown = state
            self.publish(None, [on.state_changed(state, self._why())])
        if (self.run is None and self.is_idle) is not self.rests:
            self.rests = not self.rests
            if IDLE in self.timed:
                self.effect(do.SetTimer(IDLE, self.link.generation) if self.rests else do.ClearTimer(IDLE))
        return self.take_effects()

    def _why(self) -> str | None:
        """The reason that goes with the state."""
        if self._shown == "failed":
            return str(self.refuses)
        if self._shown == "hibernated" and self.last_error is not None:
            return str(self.last_error)
        return self.link.aged_by if self._shown in ("hibernated", "restarting") else None

    def _handle(self, event: on.Input) -> None:  # noqa: C901 - one arm for each input
        match event:
            case on.Heard():
                if self.link.is_current(event.generation):
                    self._hearing.take_in(event.batch)
            case on.Submit():
                self._submit(event)
            case on.Withdraw():
                self._withdraw(event.turn_id)
            case on.StopTurn():
                self._stopping.stop_turn(event.ticket)
            case on.Change():
                self.change(event)
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
            case on.Evict():
                self._evict(event)
            case on.Gate():
                self.gate = event.reason
            case on.Refuse():
                self._refuse(event.error)
            case on.Vetted():
                self._vetted(event)
            case on.Hold():
                self.is_held = True
            case on.Admitted():
                if self.link.is_current(event.generation) and self.link.state is STARTING:
                    self.link.is_admitted = True
                    self.effect(do.SetTimer(START, event.generation))
            case on.Linked():
                if self.link.is_current(event.generation) and self.link.state is STARTING:
                    self.link.preparations, self.link.conclusions = list(event.preparations), event.conclusions
                    self.send_request(event.hello, Handshake())
            case on.Lost():
                if self.link.is_current(event.generation):
                    self._losing.lost(event)
            case on.Unlinked():
                if self.link.is_current(event.generation):
                    self._losing.unlinked(event)
            case on.Expired():
                self._expired(event)
            case _:
                assert_never(event)

    # What follows from where things stand.

    def _go_on(self) -> None:
        """Send what waited for the agent, begin the next turn, or let the agent go, if that is what follows now."""
        if self.asks and self.link.state is READY and not self._leaves:
            self._questions.send()
        if self.link.is_old and self._is_at_rest:
            self._conclusion.let_go()
        if self.run is None:
            self._begin_next()
        if self.run is not None:
            self._advance(self.run)
            if len(self.mailbox) > 0 and not self.is_held and self.gate is None and not self.is_accounting:
                self.steering.hand_over()
        else:
            self._go_on_without_turn()

    def _begin_next(self) -> None:
        self.steering.begin_next()
        if self.run is None and self._may_begin() and (waiting := self.mailbox.take()) is not None:
            self.run = Run(waiting.turn_id, waiting.prompt)
            self.run.is_begun, self.run.collects = waiting.is_begun, waiting.overlap == "collect"

    def _go_on_without_turn(self) -> None:
        if self._leaves or (self._rest_tickets and not self._is_wanted):
            self._conclusion.let_go()
            if self.link.state is ABSENT:
                self._settle_rest()
                self._go_on()  # what came in while the agent left begins now
        elif self.asks and self.link.state is ABSENT:
            self._start()
        elif self.link.state is STARTING and not (self.link.is_admitted or self._is_wanted):
            self.close_link(eof=False)  # it waits in line for nobody

    @property
    def _is_wanted(self) -> bool:
        """Is there something that waits for the agent?"""
        return self._has_turns or bool(self.asks) or len(self.steering) > 0 or self.link.waits_for(Asking)

    def _may_begin(self) -> bool:
        if self.is_held or self._leaves or self.gate is not None or self.is_accounting or len(self.mailbox) == 0:
            return False
        if len(self.steering) > 0:  # what the agent was handed before goes first, also where it comes back
            return False
        # An interrupt that is still under way must not hit the next turn; on a link that closes it cannot.
        is_taken = self._conclusion.is_last or self.link.waits_for(Interrupting)
        return not (self.link.state is READY and is_taken)

    def _advance(self, run: Run) -> None:
        if run.is_unwanted and not run.is_stopping:
            self._stopping.interrupt(run)
        if run.phase is not PENDING:
            return
        if self.link.state is ABSENT:
            self._start()
        elif self.link.state is READY and self.may_begin():
            run.move(SENT)
            if self.link.is_old and self.link.to_conclude is not None:
                self.effect(do.Stay(self.link.generation))  # where it was to make room, it does not now
            self.end_conclusion()
            if not run.is_begun:
                run.is_begun = True
                self.publish(run.turn_id, [TurnStarted()])
                self.steering.collect(run)
            self.begin_watch()
            self.effect(do.SendPrompt(self.link.generation, run.prompt, run.turn_id))

    def _start(self) -> None:
        self.link.start(self.wanted)
        self.is_fresh, self._losing.begins_fresh = self._losing.begins_fresh, False
        self.refusal = None
        self.effect(
            do.Start(
                generation=self.link.generation,
                session_id=self.session_id,
                fresh=self.is_fresh,
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
        self.is_leaving, self.leaves_for = False, None

    # Callers.

    def _submit(self, event: on.Submit) -> None:
        if self.refuses is not None and not event.is_recovered:
            raise self.refuses.with_traceback(None)  # which would grow with each that is refused
        if event.overlap == "reject" and (self.run is not None or len(self.mailbox) > 0 or len(self.steering) > 0):
            raise self.mailbox.busy()
        self.mailbox.put(Waiting(event.turn_id, event.prompt, event.overlap), is_bounded=not event.is_recovered)
        self.is_guarded |= event.is_guarded
        self.publish(event.turn_id, [TurnAccepted(prompt=event.prompt, meta=event.meta, is_command=event.is_command)])
        if event.overlap == "interrupt":
            self._stopping.stop_turn(None)

    def _refuse(self, error: LimitError | None) -> None:
        self.is_accounting = False
        if not isinstance(self.refuses, SessionFailed):  # which says more, and ends by itself
            self.refuses = error
            if error is not None:
                self._cancel_waiting(error)

    def _vetted(self, event: on.Vetted) -> None:
        self.is_vetting, self.is_vetted = False, True
        for turn_id in event.refused:
            self._withdraw(turn_id)

    def _cancel_waiting(self, error: Exception | None) -> None:
        if self.run is not None and self.run.phase is PENDING and not self.run.is_begun:
            self.end_run(never_ran(error))
        for waiting in self.mailbox.clear():
            self.settle_turn(waiting.turn_id, never_ran(error))

    def _evict(self, event: on.Evict) -> None:
        if not self.link.is_current(event.generation) or self.link.state is CLOSING:
            return  # it is gone, or goes
        if self.is_idle:
            self.link.is_old = True
        else:
            self.effect(do.Stay(event.generation))

    def _withdraw(self, turn_id: str) -> None:
        if self.mailbox.remove(turn_id):
            self.settle_turn(turn_id, cancelled("withdrawn"))
        elif self.steering.waits(turn_id):
            self.steering.recall(turn_id)
        elif self.run is not None and self.run.turn_id == turn_id:
            if self.run.phase is PENDING:
                self.end_run(self.run.withdrawn())
            else:
                self._stopping.stop_turn(None)

    def _begin_leave(self, event: on.Leave) -> None:
        self._leaves.append(event)
        self.is_leaving, self.leaves_for = True, event.error or self.leaves_for
        reason = "the session was closed" if event.error is None else str(event.error)
        self._cancel_waiting(event.error)
        self.fail_asks(event.error or AgentProtocolError(f"{reason} before the agent could be asked"))
        self._stopping.stop_turn(None, DRAIN if event.error is not None else None)

    def _expired(self, event: on.Expired) -> None:
        if not self.link.is_current(event.generation):
            return
        if event.timer == START and self.link.state is STARTING:
            self._losing.start_expired(event.seconds)
        elif event.timer == PERMISSION:
            self._serving.expired(event.about)
        elif event.timer == CONCLUDE:
            self._conclusion.expired()
        elif event.timer == CONTROL:
            self._questions.expired(event.about)
        elif event.timer == INTERRUPT:
            self._stopping.expired()
        elif event.timer in (IDLE, MAX_AGE):
            self.link.is_old, self.link.aged_by = True, event.timer
        else:
            self._stopping.turn_expired(event)
