"""The laws of a session, for any order of what callers, agents and clocks can do."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.frames import (
    LIFECYCLE,
    SESSION_ID,
    aborted,
    assistant,
    init,
    lifecycle,
    of_background,
    partial,
    prompt,
    refusal,
    result,
    success,
)
from tests.unit.session.stage import PEER
from triologue.errors import AgentCrashed, AlreadyAnswered, InvalidOption, MailboxFull, SessionNotFound, TriologueError
from triologue.messages import (
    AnyRequest,
    AssistantMessage,
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
    SetGoal,
    SetModel,
    SetPermissionMode,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)
from triologue.session import CONTROL, INTERRUPT, PERMISSION, START, Session, effects as do, inputs as on
from triologue.session.link import Asking, Changing, Interrupting, LinkState
from triologue.session.run import Phase

LIMIT = 4
REFUSED = "refused"
BACKGROUND = "background"
# What ends much happens less often than what goes on.
SELDOM = st.sampled_from([False, False, False, True])
QUESTIONS: list[Request] = [McpStatus(), SetGoal(), Interrupt()]
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


@dataclass
class ModelAgent:
    """The other end: it may answer, die, stay silent, and begin turns of its own."""

    generation: int
    settings: dict[str, str | None]
    tells: str
    """`early`: in the handshake that it tells what becomes of prompts; `late`: by doing so; `never`."""
    is_linked: bool = False
    is_admitted: bool = False
    is_told_to_stop: bool = False
    requests: list[ControlRequest] = field(default_factory=list)
    """Of the host, unanswered."""
    waits_for: list[str] = field(default_factory=list)
    """Its own, by id: unanswered, and not taken back."""
    queue: list[str] = field(default_factory=list)
    running: str | None = None

    def take_up(self) -> list[Message]:
        """The next prompt's turn begins, if none runs."""
        if self.running is not None or not self.queue:
            return []
        self.running = self.queue.pop(0)
        said = [lifecycle(self.running, "started")] if self.tells != "never" else []
        return [*said, init()]

    def answer(self, request: ControlRequest) -> list[Message]:
        match request.request:
            case Interrupt():
                return self._stop_turns(request.request_id)
            case SetModel(model=value):
                return self._set("model", value, request.request_id)
            case SetPermissionMode(mode=value):
                return self._set("permission_mode", value, request.request_id)
            case Initialize():
                return [success(request.request_id, LIFECYCLE if self.tells == "early" else None)]
            case _:
                return [success(request.request_id, {"pong": True})]

    def finish(self, *, is_error: bool = False) -> list[Message]:
        """The running turn ends by itself."""
        uuid, self.running = self.running, None
        if uuid == BACKGROUND:
            return [of_background()]
        assert uuid is not None
        if self.tells == "never":
            return [result(is_error=is_error)]
        return [result(uuid, is_error=is_error), lifecycle(uuid, "completed")]

    def _stop_turns(self, request_id: str) -> list[Message]:
        dropped, self.queue = self.queue, []
        said: list[Message] = [] if self.tells == "never" else [lifecycle(uuid, "cancelled") for uuid in dropped]
        said.append(success(request_id, {"cancelled": dropped}))
        if self.running is not None:
            uuid, self.running = self.running, None
            if uuid == BACKGROUND:
                said.append(aborted(origin={"kind": "task-notification"}))
            else:
                said.append(aborted() if self.tells == "never" else aborted(uuid))
        return said

    def _set(self, setting: str, value: str | None, request_id: str) -> list[Message]:
        if value == REFUSED:
            return [refusal(request_id)]
        self.settings[setting] = value
        return [success(request_id)]


class SessionLaws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.session = Session(
            peer=PEER,
            permission_tag="p",
            mailbox_limit=LIMIT,
            settings={"model": None, "permission_mode": "default"},
        )
        self.agent: ModelAgent | None = None
        self.tells = "early"
        self.timers: dict[tuple[str, str], int] = {}
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
        self.callbacks: dict[str, do.Serve | do.AskPermission] = {}
        """Those that run, by the ids of the requests."""
        self.asked: list[str] = []
        """Permission requests, by our ids."""
        self.answered: dict[str, PermissionAnswered] = {}
        self.settled: list[PermissionAnswered] = []
        self.count = 0
        self.last_generation = 0

    # The world: executes effects, and checks each.

    def receive(self, event: on.Input) -> list[do.Effect]:
        effects = self.session.receive(event)
        for effect in effects:
            self.execute(effect)
        return effects

    def execute(self, effect: do.Effect) -> None:
        match effect:
            case do.Start():
                assert self.agent is None, "two links at once"
                assert effect.generation > self.last_generation
                self.last_generation = effect.generation
                settings = {"model": effect.model, "permission_mode": effect.permission_mode}
                self.agent = ModelAgent(effect.generation, settings, self.tells)
            case do.Send(generation, message):
                agent = self.agent_of(generation)
                assert agent.is_linked
                assert not agent.is_told_to_stop, "nothing is sent after a close"
                self.send(agent, message)
            case do.SendPrompt(generation, sent):
                agent = self.agent_of(generation)
                assert agent.is_linked
                assert not any(isinstance(each.request, Interrupt) for each in agent.requests), "would be interrupted"
                assert not agent.queue, "prompts go out one at a time"
                self.sent.append(sent.uuid or "")
                assert self.sent.count(sent.uuid or "") <= 2, "a prompt goes out again once at most"
                agent.queue.append(sent.uuid or "")
            case do.Stop(generation):
                self.agent_of(generation).is_told_to_stop = True
            case do.Publish(turn_id, messages):
                self.publish(turn_id, messages)
            case do.Settle(turn_id, outcome):
                assert turn_id in self.accepted
                assert turn_id not in self.outcomes, "two outcomes"
                assert turn_id == self.ended[-1], "the record of the outcome comes first"
                self.outcomes[turn_id] = outcome
            case do.Answer(ticket, error=error):
                assert ticket in self.tickets, "answered twice, or never asked"
                self.tickets.remove(ticket)
                self.stopping.discard(ticket)
                self.asking.discard(ticket)
                self.leaving.discard(ticket)
                self.errors[ticket] = error
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
            case do.SettlePermission(answered):
                self.settled.append(answered)
            case do.SetTimer(timer, generation, about):
                self.agent_of(generation)
                self.timers[timer, about] = generation
            case do.ClearTimer(timer, about):
                self.timers.pop((timer, about), None)
            case do.PauseTimer() | do.ResumeTimer() | do.Account() | do.Stay() | do.Note():
                pass

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
                    self.started.append(turn_id or "")
                case TurnEnded():
                    self.ended.append(turn_id or "")
                case PermissionAsked(id=id):
                    assert len(id) <= 36
                    assert id not in self.asked
                    self.asked.append(id)
                case PermissionAnswered(id=id):
                    assert id in self.asked
                    assert id not in self.answered, "settled twice"
                    self.answered[id] = message
                case AssistantMessage(uuid=str() as cause):
                    # What is said after its turn was given up belongs to nobody; it never belongs to another turn.
                    expected = None if cause == BACKGROUND or cause in self.outcomes else cause
                    assert turn_id == expected, f"{cause} said it, {turn_id} got it"
                case _:
                    pass

    def ticket(self) -> int:
        self.count += 1
        self.tickets.add(self.count)
        return self.count

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

    @rule()
    def submit(self) -> None:
        self.count += 1
        turn_id = f"t{self.count}"
        is_full = len(self.session.mailbox) >= LIMIT
        try:
            self.receive(on.Submit(turn_id, prompt(turn_id), {}))
        except MailboxFull:
            assert is_full
            assert turn_id not in self.accepted
        else:
            assert not is_full
            assert self.accepted[-1] == turn_id

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        turn_id = data.draw(st.sampled_from(self.accepted))
        others = {each: self.outcomes.get(each) for each in self.accepted if each != turn_id}
        self.receive(on.Withdraw(turn_id))
        assert {each: self.outcomes.get(each) for each in others} == others, "cancelling one turn touched another"
        run = self.session.run
        assert turn_id in self.outcomes or (run is not None and run.turn_id == turn_id and run.is_stopping)

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

    @rule(tells=st.sampled_from(["early", "late", "never"]))
    def next_agent_is(self, tells: str) -> None:
        self.tells = tells

    @precondition(lambda self: self.agent is not None and not self.agent.is_admitted)
    @rule()
    def admit(self) -> None:
        assert self.agent is not None
        self.agent.is_admitted = True
        self.receive(on.Admitted(self.agent.generation))

    @precondition(lambda self: self.agent is not None and self.agent.is_admitted and not self.agent.is_linked)
    @rule()
    def link(self) -> None:
        assert self.agent is not None
        self.agent.is_linked = True
        self.receive(on.Linked(self.agent.generation, Initialize()))

    @precondition(lambda self: self.session.link.state is LinkState.STARTING)
    @rule()
    def bring_up(self) -> None:
        """All of it at once, so that more happens on links that are up."""
        assert self.agent is not None
        if not self.agent.is_admitted:
            self.admit()
        if not self.agent.is_linked:
            self.link()
        if self.agent.requests:
            self.agent_answers(refuses=False)

    @precondition(lambda self: self.agent is not None)
    @rule(is_missing=st.booleans(), code=st.sampled_from([0, 1]), really=SELDOM, lingers=st.booleans())
    def go_away(self, is_missing: bool, code: int, really: bool, lingers: bool) -> None:
        assert self.agent is not None
        if not really and not self.agent.is_told_to_stop:
            return
        generation, was_told = self.agent.generation, self.agent.is_told_to_stop
        error: TriologueError = SessionNotFound("s") if is_missing else AgentCrashed("gone", exit_code=code)
        if lingers and self.agent.is_linked:
            # What it leaves behind takes its time; to the session it is one that was told to stop.
            self.agent.is_told_to_stop = True
            self.agent.waits_for.clear()
            self.receive(on.Lost(generation, error))
        else:
            self.agent = None
            self.receive(on.Unlinked(generation, None if was_told else error))
        assert was_told or is_missing or not self.asking, "a question hangs whose agent went away"

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
    @rule()
    def agent_takes_up(self) -> None:
        assert self.agent is not None
        self.hear(*self.agent.take_up())

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
        self.agent.running = BACKGROUND
        self.hear(init())

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
        timer, about = data.draw(st.sampled_from(sorted(self.timers)))
        self.receive(on.Expired(timer, self.timers.pop((timer, about)), about))

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
            on.Expired(PERMISSION, generation, "p-1"),
            on.Served(generation, f"theirs{self.count}", {}),
            on.Failed(generation, f"theirs{self.count}", "late"),
        ]
        assert self.receive(data.draw(st.sampled_from(stale))) == []

    # What always holds.

    @invariant()
    def turns_start_in_order(self) -> None:
        assert self.started == [turn_id for turn_id in self.accepted if turn_id in self.started]

    @invariant()
    def every_turn_is_somewhere(self) -> None:
        open_turns = [turn_id for turn_id in self.accepted if turn_id not in self.outcomes]
        run = self.session.run
        waiting = [each for each in open_turns if self.session.mailbox.position(each) is not None]
        assert open_turns == ([run.turn_id] if run is not None else []) + waiting
        assert [self.session.mailbox.position(each) for each in waiting] == list(range(len(waiting)))

    @invariant()
    def it_is_never_stuck(self) -> None:
        session, state = self.session, self.session.link.state
        assert (state is LinkState.ABSENT) == (self.agent is None)
        if state is LinkState.ABSENT:
            assert session.is_quiet, "nothing will ever happen"
            assert not self.timers
            assert not self.tickets
        if state is LinkState.CLOSING:
            assert self.agent is not None
            assert self.agent.is_told_to_stop
        if session.run is not None and session.run.phase is Phase.PENDING:
            assert state is not LinkState.READY
        if state is LinkState.STARTING and self.agent is not None and self.agent.is_admitted:
            assert (START, "") in self.timers

    @invariant()
    def only_the_conversation_it_has_is_known(self) -> None:
        assert self.session.session_id in (None, SESSION_ID)

    @invariant()
    def an_interrupt_has_a_deadline(self) -> None:
        run = self.session.run
        waits = self.session.link.state is LinkState.READY and self.session.link.waits_for(Interrupting)
        if self.stopping or waits or (run is not None and run.is_stopping):
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
            waits = sum(isinstance(each, Asking | Changing) for each in link.purposes())
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

    def teardown(self) -> None:
        """Whatever has happened: with a silent agent, clocks and a close bring everything to its end."""
        for _ in range(3):
            while self.timers:
                timer, about = sorted(self.timers)[0]
                self.receive(on.Expired(timer, self.timers.pop((timer, about)), about))
        self.receive(on.Leave(self.ticket()))
        while self.agent is not None:
            while self.timers:
                timer, about = sorted(self.timers)[0]
                self.receive(on.Expired(timer, self.timers.pop((timer, about)), about))
            agent = self.agent
            self.agent = None
            self.receive(on.Unlinked(agent.generation, None if agent.is_told_to_stop else AgentCrashed("gone")))
        assert self.session.is_quiet
        assert sorted(self.outcomes) == sorted(self.accepted)
        assert not self.tickets
        assert not self.timers
        assert sorted(self.asked) == sorted(self.answered)


TestSessionLaws = SessionLaws.TestCase
