"""What both halves of a session stand on: what it knows, and the steps that callers and the agent can both cause."""

from typing import assert_never

from triologue.errors import AgentStartError, TriologueError
from triologue.messages import (
    Message,
    Outcome,
    Request,
    ResultMessage,
    SessionState,
    SetModel,
    SetPermissionMode,
    TurnEnded,
)
from triologue.session import effects as do
from triologue.session.inputs import Setting
from triologue.session.link import Changing, Interrupting, Link, LinkEvent, LinkState, Purpose
from triologue.session.run import Phase, Run, failed_by, interrupted

START = "start"
INTERRUPT = "interrupt"


class Ground:
    """The link, the turn that runs, and what was learned of the conversation."""

    def __init__(
        self,
        session_id: str | None,
        is_confirmed: bool,  # noqa: FBT001 - of the session only
        wanted: dict[Setting, str | None],
        total_cost_usd: float | None,
    ) -> None:
        self.link = Link()
        self.run: Run | None = None
        self.session_id = session_id
        self.is_confirmed = is_confirmed
        self.wanted = wanted
        self.total_cost_usd = total_cost_usd
        self.refusal: ResultMessage | None = None
        """The result that the agent gave instead of an answer to the handshake."""
        self.last_error: TriologueError | None = None
        """Why the link went away by itself the last time; None since one works."""
        self._effects: list[do.Effect] = []

    @property
    def state(self) -> SessionState:
        """Derived, never stored."""
        match self.link.state:
            case LinkState.STARTING:
                return "restarting" if self.last_error is not None else "starting"
            case LinkState.READY:
                if self.run is None:
                    return "idle"
                return "interrupting" if self.run.is_stopping else "running"
            case LinkState.CLOSING:
                return "restarting" if self.run is not None else "hibernated"
            case LinkState.ABSENT:
                return "new" if self.link.generation == 0 and self.session_id is None else "hibernated"
            case _:
                assert_never(self.link.state)

    @property
    def owner(self) -> str | None:
        """The turn that what the agent says now belongs to; None for a turn of the agent's own."""
        return self.run.turn_id if self.run is not None and self.run.owns_messages else None

    @property
    def is_stopping(self) -> bool:
        """Was the turn that runs asked to stop?"""
        return self.run is not None and self.run.is_stopping

    # The link.

    def link_ready(self, capabilities: list[str]) -> None:
        """The handshake is done."""
        self.link.move(LinkEvent.READY)
        self.link.tells_lifecycle = "msg_lifecycle_v1" in capabilities
        self.last_error = None
        self.effect(do.ClearTimer(START))
        for setting, value in self.wanted.items():
            if self.link.applied.get(setting) != value:
                self.apply(Changing(None, setting, value))

    def refuse_start(self, error: AgentStartError) -> None:
        """The agent will not work for us: the turn that wanted it fails, and the link is closed."""
        self.last_error = error
        self.end_run(failed_by(error))
        self.close_link(eof=False)

    def close_link(self, *, eof: bool) -> None:
        """Let the agent go, if one is there: by the end of input, or at once."""
        is_open = self.link.state in (LinkState.STARTING, LinkState.READY)
        if is_open or (self.link.state is LinkState.CLOSING and not eof):
            self.link.move(LinkEvent.CLOSE)
            self.effect(do.Stop(self.link.generation, eof))

    def apply(self, change: Changing) -> None:
        """Tell the agent of a setting."""
        if change.setting == "model":
            self.send_request(SetModel(model=change.value), change)
        else:
            self.send_request(SetPermissionMode(mode=change.value or "default"), change)

    def interrupt_answered(self, dropped: list[str]) -> None:
        """The agent has taken the interrupt in, and `dropped` these prompts; the next turn is safe from it."""
        if self.run is not None and self.run.is_stopping and self.run.prompt.uuid in dropped:
            self.end_run(interrupted("before it began"))
        elif not self.is_stopping:
            self.effect(do.ClearTimer(INTERRUPT))

    # Turns and effects.

    def effect(self, effect: do.Effect) -> None:
        """Ask for something to be done."""
        self._effects.append(effect)

    def publish(self, turn_id: str | None, messages: list[Message]) -> None:
        """Tell those who listen; what follows at once from the same turn goes with it. The list is ours from now on."""
        last = self._effects[-1] if self._effects else None
        if isinstance(last, do.Publish) and last.turn_id == turn_id:
            last.messages.extend(messages)
        else:
            self._effects.append(do.Publish(turn_id, messages))

    def send_request(self, request: Request, purpose: Purpose) -> None:
        """Send a control request on the link that is there."""
        self.effect(do.Send(self.link.generation, self.link.ask(request, purpose)))

    def end_run(self, outcome: Outcome, *, reply: str | None = None) -> None:
        """The running turn, if there is one, has its outcome; whoever asked to stop it hears how that went."""
        run = self.run
        if run is None:
            return
        run.move(Phase.ENDED)
        self.run = None
        if run.is_stopping and not self.link.waits_for(Interrupting):
            self.effect(do.ClearTimer(INTERRUPT))
        answer = reply or ("stopped" if outcome.kind in ("interrupted", "cancelled") else "already_done")
        for ticket in run.stop_tickets:
            self.effect(do.Answer(ticket, answer))
        self.settle_turn(run.turn_id, outcome)

    def settle_turn(self, turn_id: str, outcome: Outcome) -> None:
        """Record the outcome, after the turn's last message, and tell who waits for it."""
        self.publish(turn_id, [TurnEnded(outcome=outcome)])
        self.effect(do.Settle(turn_id, outcome))

    def take_effects(self) -> list[do.Effect]:
        """What is to be done, in order; it is asked for once."""
        done, self._effects = self._effects, []
        return done
