"""What both halves of a session stand on: what it knows, and the steps that callers and the agent can both cause."""

from typing import assert_never

from triologue.errors import AgentStartError, LimitError, SessionFailed, TriologueError, TurnTimeout, UnsupportedRequest
from triologue.messages import (
    CanUseTool,
    Message,
    Outcome,
    PermissionAnswer,
    PermissionAnswered,
    Request,
    ResultMessage,
    SessionState,
    TurnEnded,
)
from triologue.session import effects as do
from triologue.session.duties import Duties, Duty
from triologue.session.inputs import NO_SETTINGS, Change, Settings, settings_changed
from triologue.session.link import CLOSING, READY, STARTING, Changing, Interrupting, Link, LinkEvent, LinkState, Purpose
from triologue.session.peer import Peer, unsupported
from triologue.session.run import ENDED, SENT, Run, failed_by
from triologue.session.watch import Watch

START = "start"
INTERRUPT = "interrupt"
PERMISSION = "permission"
CONTROL = "control"
CONCLUDE = "conclude"
IDLE = "idle"
MAX_AGE = "max_age"


class Ground:
    """The link, the turn that runs, and what was learned of the conversation."""

    __slots__ = (
        "_effects",
        "asks",
        "begins_anew",
        "changes",
        "doubtful",
        "duties",
        "gate",
        "has_begun_anew",
        "is_accounting",
        "is_confirmed",
        "is_fresh",
        "is_guarded",
        "is_held",
        "is_leaving",
        "is_metered",
        "is_vetted",
        "is_vetting",
        "last_error",
        "leaves_for",
        "link",
        "peer",
        "refusal",
        "refuses",
        "run",
        "session_id",
        "timed",
        "total_cost_usd",
        "wanted",
        "watch",
    )

    def __init__(
        self,
        session_id: str | None,
        is_confirmed: bool,  # noqa: FBT001 - of the session only
        wanted: Settings,
        total_cost_usd: float | None,
        peer: Peer,
        duties: Duties,
        timed: frozenset[str],
    ) -> None:
        self.peer = peer
        self.duties = duties
        self.timed = timed
        self.watch = Watch(self.effect, timed)
        self.asks: dict[int, Request] = {}
        """Control requests of callers that wait for the link, by ticket."""
        self.changes: list[Changing] = []
        """Settings that were asked for while the agent starts, which it was not started with."""
        self.is_held = False
        """Nothing new begins: the manager drains."""
        self.is_leaving = False
        """The agent is to go now, and what waits with it."""
        self.gate: str | None = None
        """Why no turn may begin, though nothing is wrong here: a usage limit."""
        self.leaves_for: Exception | None = None
        """What turns that wait end with then, if it is more than a close."""
        self.is_metered = False
        self.is_accounting = False
        """A turn has cost something, and whether the next may begin is told by the next `Refuse`."""
        self.is_guarded = False
        """A turn came in of which it is asked whether it may begin."""
        self.is_vetting = False
        """That is asked, and told by the next `Vetted`."""
        self.is_vetted = False
        """It was told, for this moment."""
        self.refuses: LimitError | None = None
        """Why nothing is taken in: the session failed, or cost what it may."""
        self.link = Link()
        self.run: Run | None = None
        self.session_id = session_id
        self.is_confirmed = is_confirmed
        self.is_fresh = False
        """The link that is there now was started to begin the conversation under its id."""
        self.begins_anew = False
        """Where the agent does not know the conversation any more, a fresh one takes its place."""
        self.has_begun_anew = False
        """It did, and no link has worked since then: another fresh one would be lost as this one."""
        self.wanted: Settings = wanted
        self.total_cost_usd = total_cost_usd
        self.refusal: ResultMessage | None = None
        """The result that the agent gave instead of an answer to the handshake."""
        self.last_error: TriologueError | None = None
        """Why the link went away by itself the last time; None since one works."""
        self.doubtful: Settings = NO_SETTINGS
        """Settings that an agent died of, perhaps: it was told, and gave no answer; with what they were before."""
        self._effects: list[do.Effect] = []

    @property
    def state(self) -> SessionState:
        """Derived, never stored."""
        if isinstance(self.refuses, SessionFailed):
            return "failed"
        match self.link.state:
            case LinkState.READY:
                if self.run is None:
                    return "idle"
                return "interrupting" if self.run.is_stopping else "running"
            case LinkState.STARTING:
                return "restarting" if self.last_error is not None else "starting"
            case LinkState.CLOSING:
                return "restarting" if self.run is not None else "hibernated"
            case LinkState.ABSENT:
                return "new" if self.link.is_unused and self.session_id is None else "hibernated"
            case _:
                assert_never(self.link.state)

    @property
    def owner(self) -> str | None:
        """The turn that what the agent says now belongs to; None for a turn of the agent's own."""
        run = self.run
        return run.turn_id if run is not None and run.owns_messages else None

    @property
    def is_stopping(self) -> bool:
        """Was the turn that runs asked to stop?"""
        return self.run is not None and self.run.is_stopping

    # The link.

    def link_ready(self) -> None:
        """The handshake is done."""
        self.link.move(LinkEvent.READY)
        self.link.tells_lifecycle = "msg_lifecycle_v1" in self.link.capabilities
        self.last_error = None
        self.has_begun_anew = False
        self.doubtful = NO_SETTINGS
        self.effect(do.ClearTimer(START))
        if MAX_AGE in self.timed:
            self.effect(do.SetTimer(MAX_AGE, self.link.generation))
        changes, self.changes = self.changes, []
        for change in changes:
            self.apply(change)

    def refuse_start(self, error: AgentStartError, *, timeout: TurnTimeout | None = None) -> None:
        """The agent will not work for us: the turn that wanted it fails, and the link is closed.

        Args:
            error: why.
            timeout: the deadline of it that passed, if one did.
        """
        self.last_error = error
        self.give_up_doubtful()
        self.end_run(failed_by(timeout or error))
        self.fail_asks(error)
        self.close_link(eof=False)

    def close_link(self, *, eof: bool) -> None:
        """Let the agent go, if one is there: by the end of input, or at once."""
        is_open = self.link.state in (STARTING, READY)
        if is_open or (self.link.state is CLOSING and not eof):
            self.link.move(LinkEvent.CLOSE)
            self.end_conclusion()
            self.drop_duties("the connection is being closed")
            self.keep_changes()
            self.effect(do.Stop(self.link.generation, eof))

    def end_conclusion(self) -> None:
        """The agent goes, or is wanted again: what it does before it goes is for another time."""
        if self.link.to_conclude is not None and self.link.conclusions:
            self.effect(do.ClearTimer(CONCLUDE))
        self.link.to_conclude = None

    def want(self, settings: Settings) -> None:
        """The session is to have these settings from now on."""
        if settings != self.wanted:
            self.wanted = settings
            self.publish(None, [settings_changed(settings)])

    def change(self, event: Change) -> None:
        """A caller wants a setting. An agent that is there and cannot be told of it refuses it."""
        change = Changing(event.ticket, event.setting, event.value)
        is_there = self.link.state in (STARTING, READY)
        is_told = is_there and type(change.request) in self.peer.requests
        if is_there and not is_told and event.ticket is not None:
            self.effect(do.Answer(event.ticket, error=self.unsupported(change.request, "it has no such request")))
            return
        self.want({**self.wanted, event.setting: event.value})
        self.doubtful = {setting: before for setting, before in self.doubtful.items() if setting != event.setting}
        if not is_told:  # its next start is
            if event.ticket is not None:
                self.effect(do.Answer(event.ticket, event.value))
        elif self.link.state is READY:
            self.apply(change)
        else:
            self.changes.append(change)

    def apply(self, change: Changing) -> None:
        """Tell the agent of a setting."""
        self.send_request(change.request, change, timer=CONTROL)

    def agree(self, change: Changing) -> None:
        """What the agent has is what is wanted, once the last change was answered: a refused one is given up."""
        wanted, link, setting = self.wanted, self.link, change.setting
        is_last = not link.is_changing(setting)
        # A link that closes takes no changes, so what was wanted since then is for the next one.
        if is_last and (link.state is READY or wanted.get(setting) == change.value):
            self.want({**wanted, setting: link.applied.get(setting)})

    def keep_changes(self) -> None:
        """This agent will not hear of the settings that wait for it: the next one is started with them."""
        changes, self.changes = self.changes, []
        for change in changes:
            if change.ticket is not None:
                self.effect(do.Answer(change.ticket, change.value))

    def give_up_doubtful(self) -> None:
        """The next agent did not start either with a setting that one died of: go back to what was before."""
        doubtful, self.doubtful = self.doubtful, NO_SETTINGS
        for setting in doubtful:
            self.effect(do.Note(f"gave up {setting}={self.wanted.get(setting)!r}: two agents died of it"))
        self.want({**self.wanted, **doubtful})

    def fail_asks(self, error: Exception) -> None:
        """There will be no agent for the requests that wait."""
        asks, self.asks = self.asks, {}
        for ticket in asks:
            self.effect(do.Answer(ticket, error=error))

    def unsupported(self, request: Request, detail: str) -> UnsupportedRequest:
        """The error of a request that this agent cannot do."""
        return unsupported(self.peer, request, detail, self.link.version)

    def interrupt_answered(self, dropped: list[str]) -> None:
        """The agent has taken the interrupt in, and `dropped` these prompts; the next turn is safe from it."""
        for uuid in dropped:
            self.prompt_dropped(uuid)
        run = self.run
        if run is not None and run.is_stopping and run.put_aside is not None:  # it will not stop what it does not do
            self.end_run(run.unanswered(run.put_aside))
        elif not self.is_stopping:
            self.effect(do.ClearTimer(INTERRUPT))

    def prompt_dropped(self, uuid: str) -> None:
        """The agent will not take this prompt up; it is the one of the turn that is being stopped, or of none."""
        run = self.run
        if run is not None and run.is_stopping and run.phase is SENT and run.prompt.uuid == uuid:
            self.end_run(run.stopped("before it began"))

    # What we owe the agent.

    def drop_duties(self, reason: str) -> None:
        """Whatever the agent asked for, it gets no answer any more."""
        for duty in self.duties:
            self.drop_duty(duty, reason)

    def drop_duty(self, duty: Duty, reason: str) -> None:
        """Stop working on it, and answer nothing."""
        self.duties.remove(duty)
        self.link.dialogue.forget(duty.request_id)
        self.effect(do.Drop(self.link.generation, duty.request_id))
        if duty.permission_id is not None:
            self.settle_permission(duty, "cancelled", reason=reason)

    def settle_permission(
        self, duty: Duty, answer: PermissionAnswer, *, by: str | None = None, reason: str | None = None
    ) -> None:
        """Tell how it ended, once."""
        answered = PermissionAnswered(id=duty.permission_id or "", answer=answer, by=by, reason=reason)
        self.duties.remember(answered)
        self.effect(do.ClearTimer(PERMISSION, answered.id))
        self.watch.permission_settled(answered.id)
        self.publish(self.turn_of(duty), [answered])
        self.effect(do.SettlePermission(answered))

    def turn_of(self, duty: Duty) -> str | None:
        """The turn that it belongs to, as long as that runs: nothing of a turn follows its outcome."""
        return duty.turn_id if self.run is not None and self.run.turn_id == duty.turn_id else None

    # Turns and effects.

    def effect(self, effect: do.Effect) -> None:
        """Ask for something to be done."""
        self._effects.append(effect)

    def note_oddity(self, what: str, detail: str, *, is_trouble: bool = False) -> None:
        """Tell the log what the agent did that it should not; one that does it without end does not fill the log.

        Args:
            what: it did, in words that are always the same.
            detail: of this time.
            is_trouble: whoever looks after the program wants to know it.
        """
        suffix = self.link.log_sampler.suffix(what)
        if suffix is not None:
            # The number comes first, because a line that is too long is cut.
            self.effect(do.Note(f"{what}{suffix}: {detail}", is_trouble=is_trouble))

    def publish(self, turn_id: str | None, messages: list[Message]) -> None:
        """Tell those who listen; what follows at once from the same turn goes with it. The list is ours from now on."""
        last = self._effects[-1] if self._effects else None
        if type(last) is do.Publish and last.turn_id == turn_id:
            last.messages.extend(messages)
        else:
            self._effects.append(do.Publish(turn_id, messages))

    def may_begin(self) -> bool:
        """May who sent what begins now still have it run? Where that is to be asked, it is, and begins with the answer."""
        self.is_vetting = self.is_guarded and not self.is_vetted
        return not self.is_vetting

    def send_request(self, request: Request, purpose: Purpose, *, timer: str | None = None) -> None:
        """Send a control request on the link that is there; with `timer`, this deadline is the request's own."""
        frame = self.link.ask(request, purpose)
        self.effect(do.Send(self.link.generation, frame))
        if timer is not None:
            self.effect(do.SetTimer(timer, self.link.generation, frame.request_id))

    def end_run(self, outcome: Outcome, *, reply: str | None = None) -> None:
        """The running turn, if there is one, has its outcome; whoever asked to stop it hears how that went."""
        run = self.run
        if run is None:
            return
        run.move(ENDED)
        self.run = None
        if (run.is_stopping or run.put_aside) and not self.link.waits_for(Interrupting):
            self.effect(do.ClearTimer(INTERRUPT))
        is_stopped = outcome.kind in ("interrupted", "cancelled") or (
            run.timeout is not None and outcome.kind == "failed"
        )
        answer = reply or ("stopped" if is_stopped else "already_done")
        for ticket in run.stop_tickets:
            self.effect(do.Answer(ticket, answer))
        self.settle_turn(run.turn_id, outcome)
        self.watch.end()  # only now, so that the outcome is published with what the agent said last

    def begin_watch(self) -> None:
        """The turn's prompt is with the agent: its clocks go, unless the agent already waits for people."""
        self.watch.begin(self.link.generation)
        for duty in self.duties:
            if duty.permission_id is not None and isinstance(duty.request, CanUseTool):
                self.watch.permission_asked(duty.permission_id, duty.request.tool_use_id)

    def settle_turn(self, turn_id: str, outcome: Outcome) -> None:
        """Record the outcome, after the turn's last message, and tell who waits for it."""
        self.publish(turn_id, [TurnEnded(outcome=outcome)])
        self.effect(do.Settle(turn_id, outcome))

    def take_effects(self) -> list[do.Effect]:
        """What is to be done, in order; it is asked for once."""
        done, self._effects = self._effects, []
        return done
