"""The laws of a session, for any order of what callers, agents and clocks can do."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.properties.model_agent import BACKGROUND, MANNERS, REFUSED, Manner, ModelAgent
from tests.support.frames import (
    SESSION_ID,
    assistant,
    init,
    partial,
    prompt,
    refusal,
    result,
    success,
)
from tests.unit.session.stage import STEERABLE
from triologue.errors import (
    AgentCrashed,
    AlreadyAnswered,
    BudgetExceeded,
    InvalidOption,
    LimitError,
    MailboxFull,
    NotLoggedIn,
    SessionFailed,
    SessionNotFound,
    TriologueError,
    TurnRejected,
    TurnTimeout,
)
from triologue.messages import (
    AnyRequest,
    AssistantMessage,
    BackgroundTasksMessage,
    CanUseTool,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    FetchJobToken,
    HookCallback,
    Initialize,
    Interrupt,
    McpMessage,
    McpStatus,
    Message,
    Outcome,
    PermissionAnswered,
    PermissionAsked,
    PermissionResultAllow,
    PermissionResultDeny,
    Request,
    ResultMessage,
    SetGoal,
    SetModel,
    SetPermissionMode,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)
from triologue.options import Overlap, RestartPolicy
from triologue.session import (
    CONCLUDE,
    CONTROL,
    FIRST_EVENT,
    IDLE,
    INTERRUPT,
    MAX_AGE,
    PERMISSION,
    SILENCE,
    START,
    TOOL as TOOL_DEADLINE,
    TURN,
    Restarts,
    Session,
    effects as do,
    inputs as on,
)
from triologue.session.link import Asking, Changing, Interrupting, LinkState, Recalling
from triologue.session.run import Phase

LIMIT = 4
OVERLAPS: list[Overlap] = ["queue", "queue", "reject", "interrupt", "steer", "steer", "steer", "collect"]
OF_TURNS = (FIRST_EVENT, SILENCE, TOOL_DEADLINE, TURN)
SPENT = BudgetExceeded("max_cost_usd", cost_usd=2.0, limit_usd=1.0)
# What ends much happens less often than what goes on.
SELDOM = st.sampled_from([False, False, False, True])
QUESTIONS: list[Request] = [McpStatus(), SetGoal(), Interrupt()]
# The second one is nothing that these agents announce.
CONCLUSIONS: tuple[Request, ...] = (McpStatus(), SetGoal(), McpStatus())
TOOL = CanUseTool(tool_name="Bash", input={})
DEMANDS: list[AnyRequest] = [
    TOOL,
    TOOL,
    HookCallback(callback_id="hook_0", input={}),
    McpMessage(server_name="s", message={"method": "tools/call"}),
    McpMessage(server_name="s", message={"method": "initialize"}),
    FetchJobToken(reason="initial"),
]
ANSWERS: list[PermissionResultAllow | PermissionResultDeny] = [
    PermissionResultAllow(),
    PermissionResultDeny(message="no"),
    PermissionResultAllow(updated_input={"wrong": object()}),
]


class SessionLaws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.policy = RestartPolicy(max_restarts=2, within=60)
        self.restarts = Restarts(self.policy)
        self.timed = frozenset({*OF_TURNS, IDLE, MAX_AGE})
        self.money: BudgetExceeded | None = None
        self.told_money: BudgetExceeded | None = None
        """As far as the session knows."""
        self.gate: str | None = None
        self.now = 0.0
        self.sessions = 0
        self.session = self.wake(None)
        self.agent: ModelAgent | None = None
        self.tells = "early"
        self.manner: Manner = "tells and drops"
        self.timers: dict[tuple[str, str], int] = {}
        self.paused: set[tuple[str, str]] = set()
        """How many prompts a waiting turn is made of."""
        self.overlaps: dict[str, Overlap] = {}
        self.turn_of: dict[str, str] = {}
        """Of each prompt that went out, by its uuid."""
        self.ready_turns: set[str] = set()
        """Those that may begin though nothing may now: they ran, in a way, before that."""
        self.accepted: list[str] = []
        self.started: list[str] = []
        self.sent: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.ended: list[str] = []
        self.tickets: set[int] = set()
        self.stopping: set[int] = set()
        self.asking: set[int] = set()
        self.leaving: set[int] = set()
        self.errors: dict[int, Exception | None] = {}
        self.replies: dict[int, on.Reply] = {}
        self.callbacks: dict[str, do.Serve | do.AskPermission] = {}
        """Those that run, by the ids of the requests."""
        self.asked: list[str] = []
        """Permission requests, by our ids."""
        self.answered: dict[str, PermissionAnswered] = {}
        self.settled: list[PermissionAnswered] = []
        self.count = 0
        self.last_generation = 0
        self.banned: set[str] = set()
        """Turns that may not begin any more, of which nobody has told the session."""

    @initialize(retry_turn=st.booleans(), timed=st.sets(st.sampled_from([*OF_TURNS, IDLE, MAX_AGE])))
    def choose_terms(self, retry_turn: bool, timed: set[str]) -> None:
        self.policy = RestartPolicy(max_restarts=2, within=60, retry_turn=retry_turn)
        self.restarts, self.timed = Restarts(self.policy), frozenset(timed)
        self.session = self.wake(None)

    def wake(self, asleep: Session | None) -> Session:
        """The session, as the actor makes one of what is kept of the conversation."""
        self.sessions += 1
        self.last_generation = 0
        session = Session(
            key="k",
            peer=STEERABLE,
            permission_tag=self.session_tag,
            mailbox_limit=LIMIT,
            session_id=asleep.session_id if asleep else None,
            is_confirmed=asleep.is_confirmed if asleep else False,
            settings=asleep.wanted if asleep else {"model": None, "permission_mode": "default"},
            total_cost_usd=asleep.total_cost_usd if asleep else 0.0,
            restarts=self.restarts,
            timed=self.timed,
            is_metered=True,
            doubtful=asleep.doubtful if asleep else on.NO_SETTINGS,
        )
        failure = asleep.refuses if asleep else None
        if isinstance(failure, SessionFailed) and failure.retry_at is not None and failure.retry_at > self.now:
            session.refuses = failure
        else:
            session.refuses = self.told_money = self.money
        session.gate = self.gate
        return session

    @property
    def session_tag(self) -> str:
        return f"p{self.sessions}"

    # The world: executes effects, and checks each.

    def receive(self, event: on.Input) -> list[do.Effect]:
        effects = self.session.receive(event)
        for effect in effects:
            self.execute(effect)
        if self.session.is_accounting:
            self.tell_money()
            assert not self.session.is_accounting
        if self.session.is_vetting:
            self.receive(on.Vetted(tuple(each for each in self.accepted if each in self.banned)))
            assert not self.session.is_vetting
        return effects

    def but_state(self, effects: list[do.Effect]) -> list[do.Effect]:
        """What follows from an input: a session that wakes up and has failed says that with whatever comes first."""
        told = [do.Publish(None, [on.state_changed("failed", str(self.session.refuses))])]
        return [] if effects == told else effects

    def execute(self, effect: do.Effect) -> None:
        match effect:
            case do.Start():
                assert self.agent is None, "two links at once"
                assert effect.generation > self.last_generation
                self.last_generation = effect.generation
                settings = {"model": effect.model, "permission_mode": effect.permission_mode}
                self.agent = ModelAgent(effect.generation, settings, self.tells, self.manner)
            case do.Send(generation, message):
                agent = self.agent_of(generation)
                assert agent.is_linked
                assert not agent.is_told_to_stop, "nothing is sent after a close"
                self.send(agent, message)
            case do.SendPrompt(generation, sent, turn_id):
                agent = self.agent_of(generation)
                assert agent.is_linked
                assert not any(isinstance(each.request, Interrupt) for each in agent.requests), "would be interrupted"
                self.turn_of[sent.uuid or ""] = turn_id
                if sent.priority == "next":
                    assert agent.tells != "never", "it could not be told what becomes of it"
                    assert self.session.run is not None
                    assert agent.running == self.session.run.prompt.uuid, "steered into another turn"
                else:
                    assert not agent.queue, "prompts go out one at a time"
                    assert agent.running in (None, BACKGROUND)
                self.sent.append(sent.uuid or "")
                assert self.sent.count(sent.uuid or "") <= 2, "a prompt goes out again once at most"
                agent.queue.append(sent.uuid or "")
            case do.Stop(generation, eof):
                self.agent_of(generation).is_told_to_stop = True
                is_owed = len(self.session.steering) > 0
                assert self.session.is_leaving or not (eof and is_owed), "let go with prompts that it was handed"
            case do.Publish(turn_id, messages):
                self.publish(turn_id, messages)
            case do.Settle(turn_id, outcome):
                assert turn_id in self.accepted
                assert turn_id not in self.outcomes, "two outcomes"
                assert turn_id == self.ended[-1], "the record of the outcome comes first"
                self.outcomes[turn_id] = outcome
                self.check_outcome(turn_id, outcome)
            case do.Answer(ticket, value, error):
                assert ticket in self.tickets, "answered twice, or never asked"
                self.tickets.remove(ticket)
                self.stopping.discard(ticket)
                self.asking.discard(ticket)
                self.leaving.discard(ticket)
                self.errors[ticket] = error
                self.replies[ticket] = value
            case do.AskPermission(generation, request_id) | do.Serve(generation, request_id):
                agent = self.agent_of(generation)
                assert not agent.is_told_to_stop
                assert request_id not in self.callbacks
                self.callbacks[request_id] = effect
            case do.Drop(_, request_id):
                self.callbacks.pop(request_id, None)
                if self.agent is not None:
                    # From now on no answer may come. The agent itself may still wait, until it hears of the interrupt.
                    self.agent.waits_for = [each for each in self.agent.waits_for if each != request_id]
            case do.BeginAnew():
                raise AssertionError("nobody asked for that")
            case do.SettlePermission(answered):
                self.settled.append(answered)
            case do.SetTimer(timer, generation, about):
                self.agent_of(generation)
                assert timer in self.timed or timer in (START, INTERRUPT, PERMISSION, CONTROL, CONCLUDE), (
                    "nobody wants it"
                )
                self.timers[timer, about] = generation
            case do.ClearTimer(timer, about):
                self.timers.pop((timer, about), None)
                self.paused.discard((timer, about))
            case do.PauseTimer(timer):
                if (timer, "") in self.timers:
                    self.paused.add((timer, ""))
            case do.ResumeTimer(timer):
                self.paused.discard((timer, ""))
            case do.Account() | do.Stay() | do.Note():
                pass

    def check_outcome(self, turn_id: str, outcome: Outcome) -> None:
        """It says why, in a type."""
        if outcome.kind == "merged":
            assert turn_id not in self.banned, "its right to go into another one is gone"
            assert outcome.into in self.accepted
            assert outcome.into not in self.outcomes, "merged into what was over"
            went_out = [each for each in self.sent if self.turn_of[each] == outcome.into]
            assert self.agent is not None
            assert not went_out or went_out[-1] not in self.agent.dropped, "merged into what the agent has dropped"
            assert outcome.error is None
        elif outcome.kind != "answered":
            assert isinstance(outcome.error, TriologueError)
        cause = outcome.error.__cause__ if outcome.error is not None else None
        if isinstance(cause, TurnTimeout):
            assert outcome.kind == "failed"
            assert outcome.reason == cause.phase
            assert cause.phase in {START, *self.timed}

    def send(self, agent: ModelAgent, message: Message) -> None:
        match message:
            case ControlRequest():
                agent.requests.append(message)
            case ControlResponse(response=response):
                assert response.request_id in agent.waits_for, "answered twice, or after it was taken back"
                agent.waits_for.remove(response.request_id)
            case ControlCancel(request_id=request_id):
                before = len(agent.requests)
                agent.requests = [each for each in agent.requests if each.request_id != request_id]
                assert len(agent.requests) == before - 1, "took back what was answered"
            case _:
                raise AssertionError(message)

    def agent_of(self, generation: int) -> ModelAgent:
        assert self.agent is not None, "an effect without a link"
        assert self.agent.generation == generation, "an effect for another generation"
        return self.agent

    def publish(self, turn_id: str | None, messages: list[Message]) -> None:
        assert messages
        for message in messages:
            assert turn_id is None or turn_id not in self.ended, "something of a turn follows its end"
            match message:
                case TurnAccepted():
                    self.accepted.append(turn_id or "")
                case TurnStarted():
                    self.begin(turn_id or "")
                case TurnEnded():
                    self.ended.append(turn_id or "")
                case PermissionAsked(id=id):
                    assert len(id) <= 36
                    assert id not in self.asked
                    self.asked.append(id)
                    assert self.agent is not None
                    assert turn_id == self.expected_owner(self.agent.running), "asked for another turn"
                case PermissionAnswered(id=id):
                    assert id in self.asked
                    assert id not in self.answered, "settled twice"
                    self.answered[id] = message
                case AssistantMessage(uuid=str() as cause):
                    # What is said after its turn was given up belongs to nobody; it never belongs to another turn.
                    assert turn_id == self.expected_owner(cause), f"{cause} said it, {turn_id} got it"
                case ResultMessage(user_message_uuids=[cause, *_]):
                    assert turn_id == self.expected_owner(cause), f"the result of {cause} is of {turn_id}"
                case _:
                    pass

    def expected_owner(self, cause: str | None) -> str | None:
        """Whose it is that the agent says because of this prompt, or by itself."""
        turn = self.turn_of.get(cause or "")
        return None if turn is None or turn in self.outcomes or self.is_put_back(turn) else turn

    def begin(self, turn_id: str) -> None:
        assert turn_id not in self.started, "begun twice"
        waiting = [each for each in self.accepted if each not in self.started and each not in self.outcomes]
        urgent = [each for each in waiting if self.overlaps[each] == "interrupt"]
        assert turn_id == (urgent[-1] if urgent else waiting[0]), "out of order"
        if self.told_money is not None or self.gate is not None:
            assert turn_id in self.ready_turns, "nothing may begin"
        assert turn_id not in self.banned, "its right to begin is gone"
        self.started.append(turn_id)

    def is_put_back(self, turn_id: str) -> bool:
        """Does it wait again, in line or for the next agent, though an agent had it?"""
        run = self.session.run
        is_next = run is not None and (run.turn_id, run.phase) == (turn_id, Phase.PENDING)
        return is_next or self.session.mailbox.position(turn_id) is not None

    def stop_beginning(self) -> None:
        """From here on nothing more may begin, but what does already."""
        self.ready_turns = {self.session.run.turn_id} if self.session.run is not None else set()

    def ticket(self) -> int:
        self.count += 1
        self.tickets.add(self.count)
        return self.count

    def any_sign_begins_a_turn(self, agent: ModelAgent) -> bool:
        """Has it a prompt that it has not taken up, and never told of one? Then what only a turn has must be of one."""
        return agent.running is None and bool(agent.queue) and not self.session.link.tells_lifecycle

    def hear(self, *messages: Message) -> None:
        assert self.agent is not None
        if not messages:
            return
        generation, batch = self.agent.generation, list(messages)
        passes, owner = self.session.lets_pass(generation, batch), self.session.owner
        effects = self.receive(on.Heard(generation, batch))
        if passes:
            assert effects == [do.Publish(owner, batch)], "what passes the machine by must need no decision of it"

    # Callers.

    @rule(overlap=st.sampled_from(OVERLAPS), is_guarded=st.booleans(), is_revoked=SELDOM)
    def submit(self, overlap: Overlap, is_guarded: bool, is_revoked: bool) -> None:
        self.count += 1
        turn_id = f"t{self.count}"
        waiting = [each for each in self.accepted if self.session.mailbox.position(each) is not None]
        is_full = len(waiting) >= LIMIT
        is_busy = any(each not in self.outcomes for each in self.accepted)
        self.overlaps[turn_id] = overlap
        refusal: type[LimitError] | None = MailboxFull if is_full else None
        if self.session.refuses is not None:
            refusal = type(self.session.refuses)
        elif overlap == "reject" and is_busy:
            refusal = TurnRejected
        before = list(self.accepted)
        if refusal is not None:
            with pytest.raises(refusal):
                self.receive(on.Submit(turn_id, prompt(turn_id), {}, overlap))
            assert self.accepted == before
            return
        self.receive(on.Submit(turn_id, prompt(turn_id), {}, overlap, is_guarded=is_guarded))
        assert self.accepted == [*before, turn_id]
        assert turn_id not in self.outcomes, "over before it could be cancelled"
        if is_guarded and is_revoked and turn_id not in self.started:
            self.banned.add(turn_id)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        turn_id = data.draw(st.sampled_from(self.accepted))
        others = {each: self.outcomes.get(each) for each in self.accepted if each != turn_id}
        self.receive(on.Withdraw(turn_id))
        touched = {each for each in others if self.outcomes.get(each) != others[each]}
        # Where the next one comes to the head of the line by this, it is asked who may begin; those who may not end.
        assert touched <= self.banned, "cancelling one turn touched another"
        assert {self.outcomes[each].kind for each in touched} <= {"cancelled"}
        run = self.session.run
        is_stopping = run is not None and run.turn_id == turn_id and run.is_stopping
        assert turn_id in self.outcomes or is_stopping or self.session.steering.waits(turn_id)

    @rule()
    def stop_turn(self) -> None:
        ticket = self.ticket()
        self.stopping.add(ticket)
        self.receive(on.StopTurn(ticket))

    @rule(
        setting=st.sampled_from(["model", "permission_mode"]),
        value=st.sampled_from(["a", "b", REFUSED]),
        waits=st.booleans(),
    )
    def change(self, setting: Any, value: str, waits: bool) -> None:
        self.receive(on.Change(self.ticket() if waits else None, setting, value))

    @rule(question=st.sampled_from(QUESTIONS))
    def ask(self, question: Request) -> None:
        ticket = self.ticket()
        self.asking.add(ticket)
        self.receive(on.Ask(ticket, question))

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def unask(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.asking)))
        self.receive(on.Unask(ticket))
        assert ticket not in self.tickets

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), result=st.sampled_from(ANSWERS))
    def someone_decides(self, data: st.DataObject, result: PermissionResultAllow | PermissionResultDeny) -> None:
        id = data.draw(st.sampled_from(self.asked))
        known, ticket = self.answered.get(id), self.ticket()
        self.receive(on.Decide(ticket, id, result, "ada"))
        error = self.errors[ticket]
        if known is not None:
            assert isinstance(error, AlreadyAnswered)
            if id.startswith(f"{self.session_tag}-"):  # one that has slept since then only knows that it is settled
                assert (error.by, error.answer) == (known.by, known.answer)
        elif result is ANSWERS[2]:
            assert isinstance(error, InvalidOption)
            assert id not in self.answered
        else:
            assert error is None
            assert self.answered[id].answer == result.behavior

    @precondition(lambda self: self.callbacks)
    @rule(data=st.data(), how=st.sampled_from(["answers", "raises", "cannot"]), result=st.sampled_from(ANSWERS))
    def callback_ends(
        self, data: st.DataObject, how: str, result: PermissionResultAllow | PermissionResultDeny
    ) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.callbacks)))
        effect = self.callbacks.pop(request_id)
        if how != "answers":
            code = "unsupported_request" if how == "cannot" else None
            self.receive(on.Failed(effect.generation, request_id, how, code))
        elif isinstance(effect, do.AskPermission):
            self.receive(on.Decide(None, effect.permission_id, result))
        else:
            self.receive(on.Served(effect.generation, request_id, {}))
        if self.agent is not None:
            assert request_id not in self.agent.waits_for, "the agent waits for ever"

    @rule(is_current=st.booleans())
    def evict(self, is_current: bool) -> None:
        agent = self.agent
        generation = self.last_generation if is_current else self.last_generation - 1
        open_turns = [each for each in self.accepted if each not in self.outcomes]
        # The agent of those that wait for a usage limit to be over need not wait with them: that may take days.
        at_gate = [each for each in open_turns if self.gate and self.session.mailbox.position(each) is not None]
        is_open = open_turns != at_gate or bool(self.asking)
        is_owed = len(self.session.duties) > 0
        was_told = agent is not None and agent.is_told_to_stop
        effects = self.but_state(self.receive(on.Evict(generation)))
        if agent is not None and agent.is_told_to_stop and not was_told:
            assert is_current
            assert agent.does_nothing, agent
            assert not is_open
            assert not is_owed
        elif was_told:
            assert effects == []  # it goes already
        elif is_current and agent is not None and self.session.link.to_conclude is not None:
            assert do.Stay(generation) in effects or agent.does_nothing, "it goes, and does its last things first"
        elif is_current and agent is not None:
            assert effects == [do.Stay(generation)]
        else:
            assert effects == []

    @rule(is_closed=st.booleans())
    def usage_limit(self, is_closed: bool) -> None:
        self.gate = "the usage limit is reached" if is_closed else None
        self.stop_beginning()
        self.receive(on.Gate(self.gate))

    @rule(is_spent=st.booleans(), is_told_at_once=st.booleans())
    def money_runs_out(self, is_spent: bool, is_told_at_once: bool) -> None:
        self.money = SPENT if is_spent else None
        if is_told_at_once or self.money is None:
            self.tell_money()

    def tell_money(self) -> None:
        self.told_money = self.money
        self.stop_beginning()
        self.receive(on.Refuse(self.money))
        if self.money is not None:
            assert len(self.session.mailbox) == 0

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.session.is_quiet)
    @rule()
    def sleep_and_wake(self) -> None:
        assert self.agent is None
        self.session = self.wake(self.session)

    @rule(really=SELDOM)
    def rest(self, really: bool) -> None:
        if really:
            self.receive(on.Rest(self.ticket()))

    @rule(forget=st.booleans(), really=SELDOM)
    def leave(self, forget: bool, really: bool) -> None:
        if really:
            ticket = self.ticket()
            self.leaving.add(ticket)
            self.receive(on.Leave(ticket, forget=forget))

    # The link.

    @rule(tells=st.sampled_from(["early", "early", "late", "never"]), manner=st.sampled_from(MANNERS))
    def next_agent_is(self, tells: str, manner: Manner) -> None:
        self.tells, self.manner = tells, manner

    @precondition(lambda self: self.agent is not None and not self.agent.is_admitted)
    @rule()
    def admit(self) -> None:
        assert self.agent is not None
        self.agent.is_admitted = True
        self.receive(on.Admitted(self.agent.generation))

    @precondition(lambda self: self.agent is not None and self.agent.is_admitted and not self.agent.is_linked)
    @rule(concludes=st.booleans())
    def link(self, concludes: bool) -> None:
        assert self.agent is not None
        self.agent.is_linked = True
        last = CONCLUSIONS if concludes else ()
        self.receive(on.Linked(self.agent.generation, Initialize(), conclusions=last))

    @precondition(lambda self: self.session.link.state is LinkState.STARTING)
    @rule(concludes=st.booleans())
    def bring_up(self, concludes: bool) -> None:
        """All of it at once, so that more happens on links that are up."""
        assert self.agent is not None
        if not self.agent.is_admitted:
            self.admit()
        if not self.agent.is_linked:
            self.link(concludes)
        if self.agent.requests:
            self.agent_answers(refuses=False)

    @precondition(lambda self: self.agent is not None)
    @rule(
        why=st.sampled_from(["dies", "dies", "leaves", "missing", "logged out"]), really=SELDOM, lingers=st.booleans()
    )
    def go_away(self, why: str, really: bool, lingers: bool) -> None:
        assert self.agent is not None
        if not really and not self.agent.is_told_to_stop:
            return
        generation, was_told = self.agent.generation, self.agent.is_told_to_stop
        is_missing = why == "missing"
        error: TriologueError = AgentCrashed("gone", exit_code=1 if why == "dies" else 0)
        if why in ("missing", "logged out"):
            error = SessionNotFound("s") if is_missing else NotLoggedIn("no account")
        run = self.session.run
        ran = run.turn_id if run is not None and run.phase is Phase.STARTED else None
        steered = [each for each in self.accepted if self.session.steering.waits(each)]
        crashes = self.restarts.recent(self.now)
        was_closing = self.session.link.state is LinkState.CLOSING
        if lingers and self.agent.is_linked:
            # What it leaves behind takes its time; to the session it is one that was told to stop.
            self.agent.is_told_to_stop = True
            self.agent.waits_for.clear()
            self.receive(on.Lost(generation, error, self.now))
        else:
            self.agent = None
            self.receive(on.Unlinked(generation, None if was_told else error, self.now))
        if self.agent is None or not was_closing:  # one that was told to go keeps what it was handed until it is gone
            self.check_loss(ran, steered, is_retried=why in ("dies", "leaves") and self.policy.retry_turn)
        if why in ("missing", "logged out") or was_told:
            assert self.restarts.recent(self.now) <= crashes + (1 if was_told else 0), "that is no crash"
        if self.restarts.recent(self.now) > self.policy.max_restarts:
            assert isinstance(self.session.refuses, SessionFailed)
            assert len(self.session.mailbox) == 0
        assert was_told or is_missing or not self.asking, "a question hangs whose agent went away"

    def check_loss(self, ran: str | None, steered: list[str], *, is_retried: bool) -> None:
        """Nothing hangs on an agent that is gone, and nothing is lost with it."""
        assert len(self.session.steering) == 0
        run = self.session.run
        for turn_id in steered:
            begins_anew = run is not None and run.turn_id == turn_id
            assert begins_anew or turn_id in self.outcomes or self.session.mailbox.position(turn_id) is not None
        if ran is not None and ran not in self.outcomes:
            assert is_retried
            assert run is not None
            assert (run.turn_id, run.phase) == (ran, Phase.PENDING)
        elif ran is not None:
            assert self.outcomes[ran].kind in ("failed", "interrupted")

    # The agent.

    @precondition(lambda self: self.session.link.is_untried and self.agent is not None)
    @rule()
    def agent_refuses_the_conversation(self) -> None:
        self.hear(result(session_id="refused", is_error=True))

    @precondition(lambda self: self.agent is not None and self.agent.requests)
    @rule(refuses=st.booleans())
    def agent_answers(self, refuses: bool) -> None:
        assert self.agent is not None
        request = self.agent.requests.pop(0)
        if refuses and not isinstance(request.request, SetModel | SetPermissionMode):
            self.hear(refusal(request.request_id))
        else:
            self.hear(*self.agent.answer(request))

    @precondition(lambda self: self.agent is not None and self.agent.queue)
    @rule(merged=st.integers(0, 2))
    def agent_takes_up(self, merged: int) -> None:
        assert self.agent is not None
        self.hear(*self.agent.take_up(merged=merged))

    @precondition(
        lambda self: self.agent is not None and self.agent.queue and self.agent.running not in (None, BACKGROUND)
    )
    @rule(count=st.integers(1, 3))
    def agent_folds(self, count: int) -> None:
        assert self.agent is not None
        self.hear(*self.agent.fold(count))

    @precondition(lambda self: self.agent is not None and self.agent.queue and self.agent.tells != "never")
    @rule(state=st.sampled_from(["cancelled", "discarded"]), really=SELDOM)
    def agent_drops(self, state: str, really: bool) -> None:
        assert self.agent is not None
        if really:
            self.hear(*self.agent.drop(state))

    @precondition(lambda self: self.agent is not None and self.agent.dropped)
    @rule(data=st.data())
    def agent_tells_why_it_dropped_one(self, data: st.DataObject) -> None:
        """As Qoder does, at once or late."""
        assert self.agent is not None
        uuid = data.draw(st.sampled_from(self.agent.dropped))
        run = self.session.run
        is_awaited = run is not None and run.prompt.uuid == uuid and self.session.link.state is LinkState.READY
        why = result(uuid, is_error=True)
        self.hear(why)
        if is_awaited and run is not None:
            assert self.outcomes[run.turn_id].result is why

    @precondition(lambda self: self.agent is not None and self.agent.running)
    @rule(asks=st.booleans())
    def agent_calls_tool(self, asks: bool) -> None:
        assert self.agent is not None
        self.count += 1
        tool = f"tool{self.count}"
        self.hear(self.agent.call_tool(tool))
        if asks:
            self.agent_asks(CanUseTool(tool_name="Bash", input={}, tool_use_id=tool))

    @precondition(lambda self: self.agent is not None and self.agent.tools)
    @rule()
    def agent_ends_tool(self) -> None:
        assert self.agent is not None
        self.hear(self.agent.end_tool())

    @precondition(lambda self: self.agent is not None and self.agent.is_linked)
    @rule(tasks=st.lists(st.sampled_from(["b1", "b2"]), max_size=1))
    def agent_works_in_the_background(self, tasks: list[str]) -> None:
        assert self.agent is not None
        self.agent.tasks = tasks
        told = [{"task_id": each} for each in tasks]
        self.hear(BackgroundTasksMessage(subtype="background_tasks_changed", tasks=told))

    @precondition(
        lambda self: (
            self.agent is not None
            and self.agent.running is None
            and self.agent.tells != "never"
            # Nobody could tell its turns from ours before it told for the first time.
            and self.session.link.tells_lifecycle
        )
    )
    @rule()
    def agent_begins_by_itself(self) -> None:
        assert self.agent is not None
        self.hear(*self.agent.begin_by_itself())

    @precondition(lambda self: self.agent is not None and self.agent.running)
    @rule()
    def agent_says(self) -> None:
        assert self.agent is not None
        self.hear(partial("some"), assistant("something", uuid=self.agent.running))

    @precondition(lambda self: self.agent is not None and self.agent.running)
    @rule(is_error=st.booleans(), at_once=st.booleans())
    def agent_ends_turn(self, is_error: bool, at_once: bool) -> None:
        assert self.agent is not None
        messages = self.agent.finish(is_error=is_error)
        if at_once:
            self.hear(*messages)
        else:
            for message in messages:
                self.hear(message)

    @precondition(lambda self: self.agent is not None and self.ended and self.agent.tells != "never")
    @rule(data=st.data())
    def agent_repeats_a_result(self, data: st.DataObject) -> None:
        assert self.agent is not None
        if self.money is not None or self.any_sign_begins_a_turn(self.agent):
            return
        before = dict(self.outcomes)
        self.hear(result(data.draw(st.sampled_from(self.ended))))
        assert self.outcomes == before

    @precondition(lambda self: self.agent is not None)
    @rule(request_id=st.sampled_from(["g1_1", "g1_2", "g2_1", "nobody"]))
    def agent_answers_nobody(self, request_id: str) -> None:
        assert self.agent is not None
        if all(request.request_id != request_id for request in self.agent.requests):
            self.hear(success(request_id))

    @precondition(lambda self: self.agent is not None and self.agent.is_linked)
    @rule(demand=st.sampled_from(DEMANDS))
    def agent_asks(self, demand: AnyRequest) -> None:
        assert self.agent is not None
        if isinstance(demand, CanUseTool) and self.any_sign_begins_a_turn(self.agent):
            return
        self.count += 1
        request_id = f"theirs{self.count}"
        if not self.agent.is_told_to_stop:
            self.agent.waits_for.append(request_id)
        self.hear(ControlRequest(request_id=request_id, request=demand))
        assert request_id not in self.callbacks or not self.agent.is_told_to_stop

    @precondition(lambda self: self.agent is not None and self.agent.waits_for)
    @rule(data=st.data())
    def agent_takes_back(self, data: st.DataObject) -> None:
        assert self.agent is not None
        request_id = data.draw(st.sampled_from(self.agent.waits_for))
        self.agent.waits_for.remove(request_id)
        self.hear(ControlCancel(request_id=request_id))
        assert request_id not in self.callbacks

    # The clock, and what comes too late.

    @precondition(lambda self: self.timers)
    @rule(data=st.data(), really=SELDOM)
    def expire(self, data: st.DataObject, really: bool) -> None:
        if not really:
            return
        running = sorted(self.timers.keys() - self.paused)
        if running:
            self.pass_deadline(*data.draw(st.sampled_from(running)))

    def pass_deadline(self, timer: str, about: str) -> None:
        run = self.session.run
        was_stopping, agent = self.session.is_stopping, self.agent
        waits = bool(self.callbacks) and any(each.ends_with_turn for each in self.session.duties)
        self.receive(on.Expired(timer, self.timers.pop((timer, about)), about))
        if timer not in OF_TURNS:
            return
        assert run is not None, "a deadline of no turn"
        assert not was_stopping, "of one that is being stopped"
        assert agent is not None
        if timer in (FIRST_EVENT, SILENCE) and (waits or (agent.tools and agent.running != BACKGROUND)):
            assert run.timeout is None, "a tool or a person is no silence"
            assert (timer, "") in self.timers
        if run.timeout is not None:
            assert run.timeout.phase == timer
            assert run.is_stopping

    @precondition(lambda self: self.last_generation > 0)
    @rule(data=st.data())
    def something_stale(self, data: st.DataObject) -> None:
        newest = self.last_generation - (1 if self.agent is not None else 0)
        if newest < 1:
            return
        generation = data.draw(st.integers(1, newest))
        assert not self.session.lets_pass(generation, [assistant("late")])
        stale: list[on.Input] = [
            on.Heard(generation, [init("stale"), assistant("late"), result("t1"), success(f"g{generation}_1")]),
            on.Lost(generation, AgentCrashed("late")),
            on.Unlinked(generation, AgentCrashed("late")),
            on.Admitted(generation),
            on.Linked(generation, Initialize()),
            on.Expired(START, generation),
            on.Expired(INTERRUPT, generation),
            on.Expired(CONTROL, generation, f"g{generation}_2"),
            on.Expired(CONCLUDE, generation),
            on.Expired(PERMISSION, generation, "p-1"),
            on.Served(generation, f"theirs{self.count}", {}),
            on.Failed(generation, f"theirs{self.count}", "late"),
        ]
        assert self.but_state(self.receive(data.draw(st.sampled_from(stale)))) == []

    # What always holds.

    @invariant()
    def the_turn_that_runs_has_its_deadlines(self) -> None:
        run, agent = self.session.run, self.agent
        if run is None or run.phase is Phase.PENDING or run.is_stopping:
            assert not any(timer in OF_TURNS for timer, _ in self.timers), "nothing runs that they could be of"
            return
        if run.put_aside is not None or agent is None:
            return
        is_asked = any(each.permission_id is not None for each in self.session.duties)
        assert self.timers.keys() >= {(each, "") for each in self.timed & {TURN}}
        assert ((TURN, "") in self.paused) == (is_asked and TURN in self.timed)
        waits = (FIRST_EVENT if self.session.watch.waits_for_output else SILENCE, "")
        assert waits[0] not in self.timed or waits in self.timers

    @invariant()
    def an_agent_that_has_nothing_to_do_is_let_go_in_time(self) -> None:
        assert ((IDLE, "") in self.timers) == (self.session.is_idle and IDLE in self.timed)
        if self.agent is not None and self.session.is_idle:
            assert not self.session.link.is_old

    @invariant()
    def every_turn_is_somewhere(self) -> None:
        open_turns = [turn_id for turn_id in self.accepted if turn_id not in self.outcomes]
        run = self.session.run
        waiting = [each for each in open_turns if self.session.mailbox.position(each) is not None]
        handed = [each for each in open_turns if self.session.steering.waits(each)]
        assert sorted(open_turns) == sorted([*([run.turn_id] if run is not None else []), *handed, *waiting])
        positions = [self.session.mailbox.position(each) for each in waiting]
        assert sorted(each for each in positions if each is not None) == list(range(len(waiting)))
        assert len(self.session.steering) == len(handed)

    @invariant()
    def it_is_never_stuck(self) -> None:
        session, state = self.session, self.session.link.state
        assert (state is LinkState.ABSENT) == (self.agent is None)
        if state is LinkState.ABSENT:
            assert session.is_quiet or self.gate is not None, "nothing will ever happen"
            assert session.run is None
            assert not self.timers
            assert session.is_quiet or not (self.stopping or self.leaving), "only who waits for rest waits for the gate"
        if session.is_quiet:
            assert not self.tickets
        if state is LinkState.CLOSING:
            assert self.agent is not None
            assert self.agent.is_told_to_stop
        if session.run is not None and session.run.phase is Phase.PENDING:
            assert state is not LinkState.READY
        if state is LinkState.STARTING and self.agent is not None and self.agent.is_admitted:
            assert (START, "") in self.timers

    @invariant()
    def an_agent_that_is_let_go_has_something_to_do_and_a_deadline_for_it(self) -> None:
        link = self.session.link
        if link.state is LinkState.READY and self.leaving and self.session.run is None:
            assert link.concluding() is not None
            assert (CONCLUDE, "") in self.timers
        if link.state is not LinkState.READY:
            assert (CONCLUDE, "") not in self.timers

    @invariant()
    def only_the_conversation_it_has_is_known(self) -> None:
        assert self.session.session_id in (None, SESSION_ID)

    @invariant()
    def an_interrupt_has_a_deadline(self) -> None:
        run = self.session.run
        waits = self.session.link.state is LinkState.READY and self.session.link.waits_for(Interrupting)
        if self.stopping or waits or (run is not None and (run.is_stopping or run.put_aside)):
            assert (INTERRUPT, "") in self.timers

    @invariant()
    def every_permission_is_open_or_settled_once(self) -> None:
        assert self.settled == list(self.answered.values())
        still_open = {each.permission_id for each in self.session.duties if each.permission_id is not None}
        assert still_open == set(self.asked) - set(self.answered)
        assert {about for timer, about in self.timers if timer == PERMISSION} == still_open

    @invariant()
    def nothing_runs_for_nobody(self) -> None:
        # A callback whose permission was answered by somebody else may go on; what it gives then means nothing.
        running = {id for id, each in self.callbacks.items() if isinstance(each, do.Serve)}
        owed = {duty.request_id for duty in self.session.duties}
        assert running <= owed
        assert self.session.link.dialogue.owed == owed
        if self.agent is not None and self.agent.is_told_to_stop:
            assert not owed
        if self.session.is_stopping:
            assert not any(duty.ends_with_turn for duty in self.session.duties)

    @invariant()
    def every_question_has_a_deadline_or_waits_for_the_agent(self) -> None:
        link = self.session.link
        if link.state is LinkState.READY:
            under_way = [timer for timer, _ in self.timers if timer == CONTROL]
            waits = sum(isinstance(each, Asking | Changing | Recalling) for each in link.purposes())
            assert len(under_way) == waits
        if link.state is LinkState.READY and not self.leaving:
            assert not self.session.asks
        if link.state is not LinkState.STARTING:
            assert not self.session.changes

    @invariant()
    def settings_are_those_asked_for(self) -> None:
        session, agent = self.session, self.agent
        if session.link.state is not LinkState.READY or agent is None:
            return
        for setting in ("model", "permission_mode"):
            if not session.link.is_changing(setting):
                assert session.wanted[setting] == agent.settings[setting], setting

    def let_time_pass(self) -> None:
        """All deadlines that run now pass."""
        for timer, about in sorted(self.timers.keys() - self.paused):
            if (timer, about) in self.timers:
                self.receive(on.Expired(timer, self.timers.pop((timer, about)), about))

    def teardown(self) -> None:
        """Whatever has happened: with a silent agent, clocks and a close bring everything to its end."""
        for _ in range(4):
            self.let_time_pass()
        self.receive(on.Hold())
        self.stop_beginning()
        self.receive(on.Leave(self.ticket()))
        for _ in range(10):
            self.let_time_pass()
            if (agent := self.agent) is not None:
                self.agent = None
                gone = None if agent.is_told_to_stop else AgentCrashed("gone")
                self.receive(on.Unlinked(agent.generation, gone, self.now))
        assert self.session.is_quiet
        assert sorted(self.outcomes) == sorted(self.accepted)
        assert not self.tickets
        assert not self.timers
        assert sorted(self.asked) == sorted(self.answered)


TestSessionLaws = SessionLaws.TestCase
