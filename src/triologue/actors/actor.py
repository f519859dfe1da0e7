"""The actor: one supervised task owns one awake session, and is the only place where its effects are executed."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import assert_never, final

import trio
from msgspec import Struct

from triologue.actors.conversation import Conversation
from triologue.actors.replies import Reply
from triologue.actors.timers import Timers
from triologue.errors import LimitError, SessionFailed, TriologueError
from triologue.messages import Message, StateChanged, TurnEnded, UserMessage
from triologue.options import Deadlines, Limits
from triologue.ports import Carrier, Command, Connection, Sink
from triologue.session import INTERRUPT, START, Session, effects as do, inputs as on
from triologue.session.run import failed_by

logger = logging.getLogger("triologue.session")


class World(Struct, frozen=True):
    """What all actors of a manager share."""

    carrier: Carrier
    timers: Timers
    starting: trio.CapacityLimiter
    limits: Limits
    deadlines: Deadlines


class Letter(Struct, frozen=True):
    """An input on its way to its actor, and who wants to know that it was taken in."""

    event: on.Input
    accepted: Reply | None = None


@final
class Actor:
    """Runs one awake session. Inputs come in through its inbox, in order; its task ends when the session sleeps.

    What the agent says does not queue there: a connection hands its batches to the session synchronously, so nothing
    stands between a read and those who listen.
    """

    def __init__(self, conversation: Conversation, world: World) -> None:
        self.conversation = conversation
        self._world = world
        self.session = Session(
            mailbox_limit=world.limits.mailbox,
            session_id=conversation.session_id,
            is_confirmed=conversation.is_confirmed,
            settings=conversation.settings,
            total_cost_usd=conversation.total_cost_usd,
        )
        # One that is set already has done its work: the session lives on.
        event = conversation.options.abort_event
        self._abort = event if event is not None and not event.is_set() else None
        # Without a bound, because what comes in is bounded already: prompts by the mailbox, the rest by its callers.
        self._post, self._inbox = trio.open_memory_channel[Letter](float("inf"))
        self._replies: dict[int, Reply] = {}
        self._tickets = 0
        self._connection: Connection | None = None
        self._holding: trio.CancelScope | None = None
        self._failure: Exception | None = None
        self.is_over = False
        """The task takes nothing in any more; the conversation's next input needs a new actor."""

    @property
    def pid(self) -> int | None:
        """The agent's process, if one runs."""
        return self._connection.pid if self._connection is not None else None

    @property
    def is_live(self) -> bool:
        """Is there a connection?"""
        return self._connection is not None

    # Callers' side.

    def post(self, event: on.Input, accepted: Reply | None = None) -> None:
        """Put an input into the inbox. Never waits."""
        self._post.send_nowait(Letter(event, accepted))

    def request(self, make: Callable[[int], on.Input]) -> Reply:
        """Post an input that is answered; the reply comes under the ticket that `make` was given."""
        self._tickets += 1
        reply = self._replies[self._tickets] = Reply()
        self.post(make(self._tickets))
        return reply

    # The task's side.

    async def run(self) -> None:
        """Own the session until it sleeps.

        Raises:
            Exception: a bug in triologue or in a replaceable part; the conversation failed.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._watch_abort)
            async for letter in self._inbox:
                self._take_in(letter)
                if self._failure is not None:
                    raise self._failure
                if self.session.is_quiet and not self._inbox.statistics().current_buffer_used:
                    break
            self.is_over = True
            nursery.cancel_scope.cancel()

    def _take_in(self, letter: Letter) -> None:
        try:
            self._apply(letter.event)
        except LimitError as error:
            self._refuse(letter, error)
            return
        except Exception:
            # It was taken in; what became of it is told with the failure.
            if letter.accepted is not None:
                letter.accepted.settle()
            raise
        if letter.accepted is not None:
            letter.accepted.settle()

    def _apply(self, event: on.Input) -> None:
        for effect in self.session.receive(event):
            self._execute(effect)
        session, conversation = self.session, self.conversation
        conversation.session_id, conversation.is_confirmed = session.session_id, session.is_confirmed
        conversation.total_cost_usd, conversation.settings = session.total_cost_usd, session.wanted

    def _execute(self, effect: do.Effect) -> None:  # noqa: C901 - one arm for each effect
        match effect:
            case do.Publish(turn_id, messages):
                self.conversation.log.publish(turn_id, messages)
            case do.SendPrompt(prompt=prompt):
                self._send_prompt(prompt)
            case do.Send(message=message):
                self._send(message)
            case do.Settle(turn_id, outcome):
                self.conversation.settle_turn(turn_id, outcome)
            case do.Answer(ticket, value, error):
                self._replies.pop(ticket).settle(value, error)
            case do.Start():
                # Made here, so that a `Stop` finds it also before the task has made its first step.
                self._holding = trio.CancelScope()
                self._nursery.start_soon(self._hold, effect, self._holding)
            case do.Stop(eof=eof):
                self._stop(eof=eof)
            case do.SetTimer(timer, generation):
                self._set_timer(timer, generation)
            case do.ClearTimer(timer):
                self._world.timers.clear((id(self), timer))
            case do.Note(text):
                logger.info("%s: %s", self.conversation.key, text, extra={"session_key": self.conversation.key})
            case _:
                assert_never(effect)

    def _send(self, message: Message) -> None:
        if self._connection is not None:
            self._connection.send(message)

    def _send_prompt(self, prompt: UserMessage) -> None:
        conversation, options = self.conversation, self.conversation.options
        if prompt.uuid in conversation.commands:
            conversation.commands.discard(prompt.uuid)
            options = options.copy()
            options.verbatim_prompts = False
        self._send(conversation.agent.user_frame(prompt, options))

    def _stop(self, *, eof: bool) -> None:
        if self._connection is not None:
            self._connection.stop(eof=eof)
        elif self._holding is not None:
            self._holding.cancel()

    def _set_timer(self, timer: str, generation: int) -> None:
        seconds = {START: self._world.deadlines.start, INTERRUPT: self._world.deadlines.interrupt}[timer]
        if seconds is not None:
            expired = on.Expired(timer, generation)
            self._world.timers.set((id(self), timer), seconds, lambda: self.post(expired))

    # The connection.

    async def _hold(self, start: do.Start, scope: trio.CancelScope) -> None:
        """The life of one connection, from its place in the line of starts to the last that was heard of it."""
        error: TriologueError | None = None
        with scope:
            try:
                error = await self._connect(start)
            except TriologueError as failure:
                error = failure
            finally:
                self._connection = None
        self._holding = None
        self.post(on.Unlinked(start.generation, error))

    async def _connect(self, start: do.Start) -> TriologueError | None:
        conversation, generation = self.conversation, start.generation
        options = conversation.launch_options(start.session_id, fresh=start.fresh)
        options.model, options.permission_mode = start.model, start.permission_mode
        agent, place = conversation.agent, _Place(self._world, lambda: self._apply(on.Admitted(generation)))
        try:
            async with agent.connect(options, sink=self._sink(generation, place), carrier=place) as connection:
                self._connection = connection
                place.admit()
                self._apply(on.Linked(generation, agent.initialize(options)))
                gone = await connection.wait_exit()
                return agent.diagnose(gone, self.session.refusal, options)
        finally:
            place.leave()

    def _sink(self, generation: int, place: "_Place") -> Sink:
        def sink(batch: list[Message]) -> None:
            try:
                if self.session.lets_pass(generation, batch):
                    self.conversation.log.publish(self.session.owner, batch)
                else:
                    self._apply(on.Heard(generation, batch))
            except Exception as error:  # noqa: BLE001 - a bug ends this conversation, and not the reading of the others
                self._failure = error
                self.post(on.Expired("failure", generation))
            place.leave()  # it speaks, so it has started

        return sink

    async def _watch_abort(self) -> None:
        if self._abort is not None:
            await self._abort.wait()
            self.post(on.StopTurn(None))

    def fail(self, cause: TriologueError) -> None:
        """The task broke, or is being cancelled: end every turn and every wait with a typed error."""
        self.is_over = True
        for timer in (START, INTERRUPT):
            self._world.timers.clear((id(self), timer))
        self._refuse_inbox(cause)
        outcome = failed_by(cause)
        for turn_id in list(self.conversation.turns):
            self.conversation.log.publish(turn_id, [TurnEnded(outcome=outcome)])
            self.conversation.settle_turn(turn_id, outcome)
        self.conversation.log.publish(None, [StateChanged(state="hibernated", reason=str(cause))])
        for reply in self._replies.values():
            reply.settle(error=cause)
        self._replies.clear()

    def _refuse_inbox(self, cause: TriologueError) -> None:
        refused = SessionFailed(f"it was not taken in: {cause}", reason=str(cause))
        while self._inbox.statistics().current_buffer_used:
            self._refuse(self._inbox.receive_nowait(), refused)

    def _refuse(self, letter: Letter, error: Exception) -> None:
        if isinstance(letter.event, on.Submit):
            self.conversation.drop_turn(letter.event.turn_id)
        if letter.accepted is not None:
            letter.accepted.settle(error=error)


@final
class _Place:
    """A place in the line of starts, as a carrier: only processes make each other slow while they start.

    It is taken with the first process, and given back once, when the start is over.
    """

    def __init__(self, world: World, admitted: Callable[[], None]) -> None:
        self._world = world
        self._admitted = admitted
        self._is_admitted = self._is_taken = False

    @asynccontextmanager
    async def spawn(self, command: Command, *, sink: Sink) -> AsyncGenerator[Connection]:
        """Wait for a place, then start the program."""
        await self._world.starting.acquire_on_behalf_of(self)
        self._is_taken = True
        self.admit()
        async with self._world.carrier.spawn(command, sink=sink) as connection:
            yield connection

    def admit(self) -> None:
        """The start is under way, and its deadline runs."""
        if not self._is_admitted:
            self._is_admitted = True
            self._admitted()

    def leave(self) -> None:
        """The start is over."""
        if self._is_taken:
            self._is_taken = False
            self._world.starting.release_on_behalf_of(self)
