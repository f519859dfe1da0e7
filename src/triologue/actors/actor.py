"""The actor: one supervised task owns one awake session, and is the only place where its effects are executed."""

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import assert_never, final
from uuid import uuid4

import trio

from triologue.actors.clock import Clock, timed
from triologue.actors.conversation import Conversation
from triologue.actors.desk import Desk
from triologue.actors.holding import Holding
from triologue.actors.inbox import Inbox, Letter
from triologue.actors.log_extra import log_extra
from triologue.actors.outbox import Outbox
from triologue.actors.records import is_text
from triologue.actors.replies import Reply
from triologue.actors.world import World
from triologue.errors import LimitError, SessionFailed, StoreError, TriologueError
from triologue.hosting import Service
from triologue.messages import ControlResponse, KeepAlive, Message, Outcome
from triologue.session import Restarts, Session, effects as do, inputs as on

logger = logging.getLogger("triologue.session")

# What says nothing of how the turn goes on: it may come from an agent whose turn has stalled.
_NO_NEWS = frozenset({KeepAlive, ControlResponse})
_MAX_NOTE = 2_000  # characters of a line in the log


@final
class Actor:
    """Runs one awake session. Inputs come in through its inbox, in order; its task ends when the session sleeps.

    What the agent says does not queue there: a connection hands its batches to the session synchronously, so nothing
    stands between a read and those who listen.
    """

    __slots__ = (
        "_abort",
        "_desk",
        "_failure",
        "_nursery",
        "_outbox",
        "_owner",
        "_passes",
        "_replies",
        "_restarts",
        "_rests",
        "_tickets",
        "_unheard",
        "_waits_at_gate",
        "_world",
        "clock",
        "conversation",
        "holding",
        "inbox",
        "is_over",
        "session",
    )

    def __init__(self, conversation: Conversation, world: World) -> None:
        self.conversation = conversation
        self._world = world
        self._restarts = Restarts(world.restart, conversation.crashes)
        self.session = Session(
            key=conversation.key,
            peer=conversation.agent,
            permission_tag=uuid4().hex[:20],
            mailbox_limit=world.limits.mailbox,
            session_id=conversation.session_id,
            is_confirmed=conversation.is_confirmed,
            settings=conversation.settings,
            total_cost_usd=conversation.total_cost_usd,
            restarts=self._restarts,
            timed=timed(world.deadlines),
            is_metered=world.limits.max_cost_usd is not None or world.limits.max_cost_usd_per_session is not None,
            doubtful=conversation.doubtful,
        )
        self.session.link.count_from(conversation.generation)
        self.session.last_error = conversation.last_error
        self.session.begins_anew = conversation.on_missing == "fresh"
        world.oversight.wakes(conversation)
        self.session.gate = world.oversight.gate(conversation)
        self.session.refuses = conversation.failure_at(trio.current_time()) or world.oversight.refusal(conversation)
        # One that is set already has done its work: the session lives on.
        event = conversation.options.abort_event
        self._abort = event if event is not None and not event.is_set() else None
        self.inbox = Inbox()
        self._outbox = Outbox(conversation, self)
        self._passes = 0
        """The generation whose text in pieces passes by the machines, as the last input has left them; 0: that of none."""
        self._owner: str | None = None
        """The turn that this text belongs to."""
        self._replies: dict[int, Reply] = {}
        self._tickets = 0
        self.holding: Holding | None = None
        """The connection that there is, or that is on its way."""
        self.clock = Clock(world.timers, world.deadlines, self)
        self._desk = Desk(conversation, world, self)
        self._unheard: list[tuple[int, list[Message]]] | None = None
        """What an agent has said in the middle of an input, by its generation: it answers within `send`. None between them."""
        self._rests = self._waits_at_gate = False
        self._failure: Exception | None = None
        self.is_over = False
        """The task takes nothing in any more; the conversation's next input needs a new actor."""

    @property
    def pid(self) -> int | None:
        """The agent's process, if one runs."""
        return self.holding.connection.pid if self.holding is not None and self.holding.connection else None

    @property
    def turn_id(self) -> str | None:
        """Of the turn that runs, if one does."""
        return self.session.run.turn_id if self.session.run is not None else None

    @property
    def holds_prompt(self) -> bool:
        """A prompt waits to be kept before the agent gets it."""
        return self._outbox.holds_prompt

    @property
    def is_writing(self) -> bool:
        """Something is on its way to the store."""
        return self._outbox.is_writing

    @property
    def is_ending(self) -> bool:
        """Does its task end soon, if it is given nothing more?"""
        return self.is_over or self._is_at_rest

    @property
    def _is_at_rest(self) -> bool:
        return self.session.is_quiet and len(self.inbox) == 0

    @property
    def is_live(self) -> bool:
        """Is there a connection?"""
        return self.holding is not None and self.holding.connection is not None

    # Callers' side.

    def post(self, event: on.Input, accepted: Reply | None = None) -> None:
        """Put an input into the inbox. Never waits."""
        self.inbox.put(Letter(event, accepted))

    def request(self, make: Callable[[int], on.Input]) -> Reply:
        """Post an input that is answered; the reply comes under the ticket that `make` was given."""
        self._tickets += 1
        reply = self._replies[self._tickets] = Reply()
        self.post(make(self._tickets))
        return reply

    @property
    def service(self) -> Service | None:
        """What hosts MCP servers for the agent that is there now."""
        callbacks = self.holding.callbacks if self.holding is not None else None
        return callbacks.service if callbacks is not None else None

    # The task's side.

    async def run(self) -> None:
        """Own the session until it sleeps.

        Raises:
            Exception: a bug in triologue or in a replaceable part; the conversation failed.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._abort is not None:
                nursery.start_soon(self._watch_abort, self._abort)
            while await self._has_more():
                self._take_in(await self.inbox.next())
                if self._failure is not None:
                    raise self._failure
            self._put_away()
            nursery.cancel_scope.cancel()

    async def _has_more(self) -> bool:
        """Does it go on; or is it at rest, with nothing left to be kept?"""
        while self._is_at_rest and self._outbox.is_writing:  # which may take long, and holds up no interrupt
            self._outbox.then(self.inbox.stir, otherwise=self.inbox.stir)
            await self.inbox.wait_stirred()
        return not self._is_at_rest

    def _take_in(self, letter: Letter) -> None:
        try:
            self.apply(letter.event)
        except LimitError as error:
            self._refuse(letter, error)
            return
        except Exception:
            # It was taken in; what became of it is told with the failure.
            if letter.accepted is not None:
                letter.accepted.settle()
            raise
        if letter.accepted is not None:
            self._outbox.then(letter.accepted.settle, otherwise=partial(self._refuse, letter))

    def apply(self, event: on.Input) -> None:
        """Give the session an input at once, and do what follows from it; then what an agent has said to that at once."""
        self._unheard = unheard = list[tuple[int, list[Message]]]()
        try:
            self._apply(event)
            for generation, batch in unheard:  # it grows, where the agent has an answer to what follows from this
                self._apply(on.Heard(generation, batch))
        finally:
            self._unheard = None

    def _apply(self, event: on.Input) -> None:
        session, conversation = self.session, self.conversation
        self._passes = 0
        self._execute(session.receive(event))
        if session.is_accounting:
            self._execute(session.receive(on.Refuse(self._world.oversight.refusal(conversation))))
        if session.is_vetting:
            self._execute(session.receive(on.Vetted(conversation.refused(self._world.guard.admits))))
        if session.session_id != conversation.session_id and self.holding is not None:
            self._world.writers.told(conversation.key, session.session_id)
        conversation.session_id, conversation.is_confirmed = session.session_id, session.is_confirmed
        conversation.total_cost_usd, conversation.settings = session.total_cost_usd, session.wanted
        # Not earlier than an actor before this one has put it off to.
        if session.start_after > conversation.start_after:
            conversation.start_after = session.start_after
        conversation.generation, conversation.last_error = session.link.generation, session.last_error
        conversation.doubtful, conversation.crashes = session.doubtful, self._restarts.crashes
        if isinstance(session.refuses, SessionFailed):
            conversation.failure = session.refuses
        self._outbox.note(session)
        self._report()
        if session.passes_text:
            self._passes, self._owner = session.link.generation, session.owner

    def _report(self) -> None:
        """Tell who watches over all what has become of this one."""
        session, oversight = self.session, self._world.oversight
        if session.rests is not self._rests:
            self._rests = not self._rests
            oversight.rests(self.conversation, session.link.generation, is_idle=self._rests)
        if session.waits_at_gate is not self._waits_at_gate:
            self._waits_at_gate = not self._waits_at_gate
            oversight.waits_at_gate(self.conversation, is_waiting=self._waits_at_gate)

    def _execute(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            # By their types: to find that a struct is none of a class costs four times as much.
            if type(effect) is do.Publish:
                self._outbox.publish(effect.turn_id, effect.messages)
            elif type(effect) is do.SetTimer:
                self.clock.set(effect)
            elif type(effect) is do.ClearTimer:
                self.clock.clear(effect.timer, effect.about)
            else:
                self._execute_rare(effect)

    def _execute_rare(self, effect: do.Rare) -> None:  # noqa: C901 - one arm for each effect
        match effect:
            case do.Account(message):
                if warnings := self._world.oversight.account(self.conversation, message):
                    self._outbox.publish(None, warnings)
            case do.SendPrompt(prompt=prompt, turn_id=turn_id):
                self._outbox.send_prompt(self.holding, self.conversation.framed(prompt, turn_id))
            case do.Settle(turn_id, outcome):
                self._outbox.end(turn_id, outcome)
            case do.Send(message=message):
                self._outbox.send(self.holding, message)
            case do.Answer(ticket, value, error):
                self._replies.pop(ticket).settle(value, error)
            case do.Start():
                self._start(effect)
            case do.Stop(generation, eof):
                if self.holding is not None:
                    self._world.oversight.closes(self.conversation, generation)
                    self.holding.stop(eof=eof)
            case do.AskPermission() | do.Serve() | do.Drop():
                self._call_back(effect)
            case do.SettlePermission(answered):
                self._desk.settle(answered, self.holding.callbacks if self.holding is not None else None)
            case do.PauseTimer(timer):
                self.clock.pause(timer)
            case do.ResumeTimer(timer):
                self.clock.resume(timer)
            case do.Stay(generation):
                self._world.oversight.stays(self.conversation, generation)
            case do.BeginAnew():
                self.conversation.forget()
            case do.Note():
                self._note(effect)
            case _:
                assert_never(effect)

    def _note(self, note: do.Note) -> None:
        key, level = self.conversation.key, logging.WARNING if note.is_trouble else logging.INFO
        # The end of an agent's stderr has lines of its own, and a name that an agent chose may be as long as a message.
        text = " ".join(note.text[:_MAX_NOTE].split()) + ("…" if len(note.text) > _MAX_NOTE else "")
        logger.log(level, "the session %r: %s", key, text, extra=log_extra(key, note.turn_id or self.turn_id))

    def settle(self, turn_id: str, outcome: Outcome) -> None:
        """Give a turn its outcome."""
        turn = self.conversation.turns.get(turn_id)
        if turn is not None:
            self._world.tally.durations.add(self._world.timers.now() - turn.accepted_at)
        self._world.tally.outcomes[outcome.kind] += 1
        self.conversation.settle_turn(turn_id, outcome)

    def _call_back(self, effect: do.AskPermission | do.Serve | do.Drop) -> None:
        callbacks = self.holding.callbacks if self.holding is not None else None
        if callbacks is None:
            return
        match effect:
            case do.AskPermission():
                self._desk.ask(effect, callbacks)
            case do.Serve():
                callbacks.serve(effect)
            case do.Drop(request_id=request_id):
                callbacks.drop(request_id)

    def _start(self, effect: do.Start) -> None:
        self._world.tally.restarts += self.session.last_error is not None
        self.holding = Holding(effect, self.conversation, self._world, self.session, self._desk, self)
        self._nursery.start_soon(self.holding.run, name="triologue connection")

    def let_go(self, generation: int, error: TriologueError | None) -> None:
        """The connection is gone, and this is why; None when we closed it."""
        self.holding = None
        self.post(on.Unlinked(generation, error, trio.current_time(), random.random()))

    # What comes in past the inbox, at once: what the agent says, and deadlines.

    def hear(self, generation: int, batch: list[Message]) -> float:
        """Take what the agent says. Returns for how many seconds more of it may wait; see `Sink`."""
        if not batch:
            return 0.0
        if type(batch[0]) not in _NO_NEWS or not _NO_NEWS.issuperset(map(type, batch)):
            self.clock.heard_at = self._world.timers.now()
        if self._unheard is not None:
            self._unheard.append((generation, batch))
            return 0.0
        try:
            if generation == self._passes and is_text(batch):
                self._outbox.pass_on(self._owner, batch)
                return self.conversation.log.patience
            if self.session.lets_pass(generation, batch):
                self._outbox.publish(self.session.owner, batch)
            else:
                self.apply(on.Heard(generation, batch))
        except Exception as error:  # noqa: BLE001 - a bug ends this conversation, and not the reading of the others
            self.crash(error)
        return 0.0

    def ring(self, expired: on.Expired) -> None:
        """A deadline has passed."""
        try:
            self.apply(expired)
        except Exception as error:  # noqa: BLE001 - nor the timers of the others
            self.crash(error)

    def crash(self, error: Exception) -> None:
        """Raise it from the task, which is woken by an input that is about no agent."""
        self._failure = error
        self.post(on.Expired("failure", 0))

    async def _watch_abort(self, event: trio.Event) -> None:
        await event.wait()
        self.post(on.StopTurn(None))

    def _put_away(self) -> None:
        self.is_over = True
        self.clock.close()
        if self._waits_at_gate:
            self._world.oversight.waits_at_gate(self.conversation, is_waiting=False)

    def fail(self, cause: TriologueError) -> None:
        """The task broke, or is being cancelled: end every turn and every wait with a typed error."""
        self._put_away()
        self.conversation.last_error = cause
        permissions = [*self._desk.close(str(cause))]
        self._refuse_inbox(cause)
        self._outbox.give_up(cause, permissions)
        for reply in self._replies.values():
            reply.settle(error=cause)
        self._replies.clear()

    def _refuse_inbox(self, cause: TriologueError) -> None:
        refused: TriologueError = cause
        if not isinstance(cause, StoreError):
            refused = SessionFailed(f"it was not taken in: {cause}", reason=str(cause))
        for letter in self.inbox.take_all():
            self._refuse(letter, refused)

    def _refuse(self, letter: Letter, error: TriologueError) -> None:
        if isinstance(letter.event, on.Submit) and not letter.event.is_recovered:  # which ends as every turn does
            self.conversation.drop_turn(letter.event.turn_id, error)
        if letter.accepted is not None:
            letter.accepted.settle(error=error)
