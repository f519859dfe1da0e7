"""The actor: one supervised task owns one awake session, and is the only place where its effects are executed."""

import logging
from collections.abc import Callable
from typing import assert_never, final
from uuid import uuid4

import trio
from msgspec import Struct

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation
from triologue.actors.desk import Desk, OnPermission
from triologue.actors.notices import Notices
from triologue.actors.permissions import Permissions
from triologue.actors.place import Place
from triologue.actors.replies import Reply
from triologue.actors.timers import Timers
from triologue.errors import LimitError, SessionFailed, TriologueError
from triologue.hosting import Service, open_service
from triologue.messages import (
    Message,
    StateChanged,
    TurnEnded,
    UserMessage,
)
from triologue.options import Deadlines, Limits, Options
from triologue.ports import Carrier, Connection, PreparesSessions, ProvidesTokens, Sink
from triologue.session import (
    CONTROL,
    INTERRUPT,
    PERMISSION,
    START,
    Peer,
    Session,
    effects as do,
    inputs as on,
)
from triologue.session.run import failed_by

logger = logging.getLogger("triologue.session")


class World(Struct, frozen=True):
    """What all actors of a manager share."""

    carrier: Carrier
    timers: Timers
    starting: trio.CapacityLimiter
    limits: Limits
    deadlines: Deadlines
    permissions: Permissions
    on_permission: OnPermission | None = None


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
        agent = conversation.agent
        self.session = Session(
            peer=Peer(agent.name, agent.requests, agent.permission_reply),
            permission_tag=uuid4().hex[:20],
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
        self._callbacks: Callbacks | None = None
        self._has_left = False
        """The agent has gone by itself, and the rest of its connection is being put away."""
        self._unsent: list[Message] = []
        """What an agent is owed that asks while its connection is still being opened."""
        self._deadlines: dict[str, float | None] = {
            START: world.deadlines.start,
            INTERRUPT: world.deadlines.interrupt,
            PERMISSION: world.deadlines.permission,
            CONTROL: world.deadlines.control,
        }
        self._timers: set[tuple[int, str, str]] = set()
        self._desk = Desk(
            conversation,
            world.permissions,
            world.on_permission,
            world.deadlines.permission,
            post=self.post,
            request=self.request,
        )
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

    @property
    def service(self) -> Service | None:
        """What hosts MCP servers for the agent that is there now."""
        return self._callbacks.service if self._callbacks is not None else None

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
            case do.AskPermission():
                if self._callbacks is not None:
                    self._desk.ask(effect, self._callbacks)
            case do.SettlePermission(answered):
                self._desk.settle(answered, self._callbacks)
            case do.Serve():
                if self._callbacks is not None:
                    self._callbacks.serve(effect)
            case do.Drop(request_id=request_id):
                if self._callbacks is not None:
                    self._callbacks.drop(request_id)
            case do.SetTimer():
                self._set_timer(effect)
            case do.ClearTimer(timer, about):
                self._timers.discard((id(self), timer, about))
                self._world.timers.clear((id(self), timer, about))
            case do.Note(text):
                logger.info("%s: %s", self.conversation.key, text, extra={"session_key": self.conversation.key})
            case _:
                assert_never(effect)

    def _send(self, message: Message) -> None:
        if self._has_left:
            return
        if self._connection is not None:
            self._connection.send(message)
        elif self._callbacks is not None:
            self._unsent.append(message)

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._send(message)

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

    def _set_timer(self, effect: do.SetTimer) -> None:
        seconds = self._deadlines[effect.timer]
        if seconds is None:
            return
        key = (id(self), effect.timer, effect.about)
        expired = on.Expired(effect.timer, effect.generation, effect.about)

        def ring() -> None:
            self._timers.discard(key)
            self.post(expired)

        self._timers.add(key)
        self._world.timers.set(key, seconds, ring)

    # The connection.

    async def _hold(self, start: do.Start, scope: trio.CancelScope) -> None:
        """The life of one connection, from its place in the line of starts to the last that was heard of it."""
        error: TriologueError | None = None
        with scope:
            try:
                options = self._launch_options(start)
                agent = self.conversation.agent
                tokens = agent.tokens if isinstance(agent, ProvidesTokens) else None
                async with open_service(options, tokens=tokens) as service, trio.open_nursery() as nursery:
                    self._callbacks = Callbacks(nursery, service, self.post, self.conversation.key)
                    notices = Notices(options, self.conversation.key)
                    if notices.is_wanted:
                        nursery.start_soon(notices.run)
                    error = await self._connect(start.generation, options, notices)
                    nursery.cancel_scope.cancel()
            except TriologueError as failure:
                error = failure
            finally:
                self._connection = self._callbacks = None
                self._has_left = False
                self._unsent = []
        self._holding = None
        self.post(on.Unlinked(start.generation, error))

    def _launch_options(self, start: do.Start) -> Options:
        options = self.conversation.launch_options(start.session_id, fresh=start.fresh)
        options.model, options.permission_mode = start.model, start.permission_mode
        self._desk.prepare(options)
        return options

    async def _connect(self, generation: int, options: Options, notices: Notices) -> TriologueError | None:
        """Hold the connection; returns why it ended, so that no nursery makes a group of it."""
        agent, world = self.conversation.agent, self._world
        place = Place(world.carrier, world.starting, lambda: self._apply(on.Admitted(generation)))
        try:
            sink = self._sink(generation, place, notices)
            async with agent.connect(options, sink=sink, carrier=place) as connection:
                self._connection = connection
                self._send_unsent()
                place.admit()
                steps = tuple(agent.preparations(options)) if isinstance(agent, PreparesSessions) else ()
                self._apply(on.Linked(generation, agent.initialize(options), steps))
                gone = await connection.wait_exit()
                self._has_left = True
            # Nothing of it is alive; but callbacks and MCP servers, which are ended next, may take their time.
            error = agent.diagnose(gone, self.session.refusal, options)
            self._apply(on.Lost(generation, error))
            await notices.finish(gone.code, world.deadlines.close)
            return error
        except TriologueError as error:
            return error
        finally:
            place.leave()

    def _sink(self, generation: int, place: Place, notices: Notices) -> Sink:
        look = notices.look if notices.is_wanted else None

        def sink(batch: list[Message]) -> None:
            try:
                if look is not None:
                    look(batch)
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
        for key in self._timers:
            self._world.timers.clear(key)
        self.conversation.log.publish(None, [*self._desk.close(str(cause))])
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
