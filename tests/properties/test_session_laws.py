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
from triologue.errors import AgentCrashed, MailboxFull, SessionNotFound, TriologueError
from triologue.messages import (
    AssistantMessage,
    ControlRequest,
    Initialize,
    Interrupt,
    McpStatus,
    Message,
    Outcome,
    SetModel,
    SetPermissionMode,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
)
from triologue.session import INTERRUPT, START, Session, effects as do, inputs as on
from triologue.session.link import Interrupting, LinkState
from triologue.session.run import Phase

LIMIT = 4
REFUSED = "refused"
BACKGROUND = "background"
# What ends much happens less often than what goes on.
SELDOM = st.sampled_from([False, False, False, True])


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
        self.session = Session(mailbox_limit=LIMIT, settings={"model": None, "permission_mode": "default"})
        self.agent: ModelAgent | None = None
        self.tells = "early"
        self.timers: dict[str, int] = {}
        self.accepted: list[str] = []
        self.started: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.ended: list[str] = []
        self.tickets: set[int] = set()
        self.stopping: set[int] = set()
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
                if isinstance(message, ControlRequest):
                    agent.requests.append(message)
            case do.SendPrompt(generation, sent):
                agent = self.agent_of(generation)
                assert agent.is_linked
                assert not any(isinstance(each.request, Interrupt) for each in agent.requests), "would be interrupted"
                assert not agent.queue, "prompts go out one at a time"
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
            case do.Answer(ticket):
                assert ticket in self.tickets, "answered twice, or never asked"
                self.tickets.remove(ticket)
                self.stopping.discard(ticket)
            case do.SetTimer(timer, generation):
                self.agent_of(generation)
                self.timers[timer] = generation
            case do.ClearTimer(timer):
                self.timers.pop(timer, None)
            case do.Note():
                pass

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

    @rule()
    def ask(self) -> None:
        self.receive(on.Ask(self.ticket(), McpStatus()))

    @rule(really=SELDOM)
    def rest(self, really: bool) -> None:
        if really:
            self.receive(on.Rest(self.ticket()))

    @rule(forget=st.booleans(), really=SELDOM)
    def leave(self, forget: bool, really: bool) -> None:
        if really:
            self.receive(on.Leave(self.ticket(), forget=forget))

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
    @rule(is_missing=st.booleans(), really=SELDOM)
    def go_away(self, is_missing: bool, really: bool) -> None:
        assert self.agent is not None
        if not really and not self.agent.is_told_to_stop:
            return
        generation, was_told = self.agent.generation, self.agent.is_told_to_stop
        self.agent = None
        error: TriologueError | None = SessionNotFound("s") if is_missing else AgentCrashed("gone")
        self.receive(on.Unlinked(generation, None if was_told else error))

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
    @rule()
    def agent_asks(self) -> None:
        self.count += 1
        self.hear(ControlRequest(request_id=f"theirs{self.count}", request=McpStatus()))

    # The clock, and what comes too late.

    @precondition(lambda self: self.timers)
    @rule(data=st.data(), really=SELDOM)
    def expire(self, data: st.DataObject, really: bool) -> None:
        if not really:
            return
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.receive(on.Expired(timer, self.timers.pop(timer)))

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
            on.Unlinked(generation, AgentCrashed("late")),
            on.Admitted(generation),
            on.Linked(generation, Initialize()),
            on.Expired(START, generation),
            on.Expired(INTERRUPT, generation),
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
            assert START in self.timers

    @invariant()
    def only_the_conversation_it_has_is_known(self) -> None:
        assert self.session.session_id in (None, SESSION_ID)

    @invariant()
    def an_interrupt_has_a_deadline(self) -> None:
        run = self.session.run
        waits = self.session.link.state is LinkState.READY and self.session.link.waits_for(Interrupting)
        if self.stopping or waits or (run is not None and run.is_stopping):
            assert INTERRUPT in self.timers

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
                timer = sorted(self.timers)[0]
                self.receive(on.Expired(timer, self.timers.pop(timer)))
        self.receive(on.Leave(self.ticket()))
        while self.agent is not None:
            while self.timers:
                timer = sorted(self.timers)[0]
                self.receive(on.Expired(timer, self.timers.pop(timer)))
            agent = self.agent
            self.agent = None
            self.receive(on.Unlinked(agent.generation, None if agent.is_told_to_stop else AgentCrashed("gone")))
        assert self.session.is_quiet
        assert sorted(self.outcomes) == sorted(self.accepted)
        assert not self.tickets
        assert not self.timers


TestSessionLaws = SessionLaws.TestCase
