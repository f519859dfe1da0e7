"""The life of one connection, from its place in the line of starts to the last that was heard of it."""

import random
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation, ResumeOutcome
from triologue.actors.desk import Desk
from triologue.actors.histories import found_history, without_mirrors
from triologue.actors.inside import AtHome
from triologue.actors.notices import Notices
from triologue.actors.place import Place
from triologue.actors.serving import Servants
from triologue.actors.world import World
from triologue.errors import AgentNotFound, CallerError, NotLoggedIn, SessionNotFound, TriologueError
from triologue.messages import Message
from triologue.options import Options
from triologue.ports import (
    ConcludesSessions,
    Connection,
    MirrorsHistories,
    PreparesSessions,
    ProvidesTokens,
)
from triologue.session import Session, effects as do, inputs as on


class Owner(Protocol):
    """Whom a connection is held for: its actor."""

    def post(self, event: on.Input) -> None:
        """Give the session an input, behind others."""
        ...

    def apply(self, event: on.Input) -> None:
        """Give it one at once."""
        ...

    def hear(self, generation: int, batch: list[Message]) -> None:
        """Take what the agent says."""
        ...

    def crash(self, error: Exception) -> None:
        """Take what is a bug, here or in a replaceable part."""
        ...

    def let_go(self, generation: int, error: TriologueError | None) -> None:
        """The connection is gone, and this is why; None when we closed it."""
        ...


@final
class Holding:
    """Holds a connection for its actor, with the callbacks that serve it.

    Args:
        start: what was asked for.
        conversation: whose.
        world: what is shared.
        session: its machine, for what it knows of the agent's refusals.
        desk: lets the agent ask for permissions.
        owner: whom it is held for.
    """

    __slots__ = (
        "_conversation",
        "_desk",
        "_has_left",
        "_owner",
        "_scope",
        "_session",
        "_start",
        "_unsent",
        "_wants",
        "_world",
        "callbacks",
        "connection",
        "waits_for",
    )

    def __init__(
        self,
        start: do.Start,
        conversation: Conversation,
        world: World,
        session: Session,
        desk: Desk,
        owner: Owner,
    ) -> None:
        self._start = start
        self._conversation = conversation
        self._world = world
        self._session = session
        self._desk = desk
        self._owner = owner
        # Made here, so that a stop finds it also before the task has made its first step.
        self._scope = trio.CancelScope()
        self._has_left = False
        """The agent has gone by itself, and the rest of its connection is being put away."""
        self._unsent: list[Message] = []
        """What an agent is owed that asks while its connection is still being opened."""
        self._wants: ResumeOutcome | None = None
        """What its start will have been, if it succeeds; None afterwards."""
        self.connection: Connection | None = None
        self.callbacks: Callbacks | None = None
        self.waits_for: str | None = None
        """What it waits for before the start is under way."""

    def send(self, message: Message) -> None:
        """Send one frame to the agent, if it is there."""
        if self._has_left:
            return
        if self.connection is not None:
            self.connection.send(message)
        elif self.callbacks is not None:
            self._unsent.append(message)

    def stop(self, *, eof: bool) -> None:
        """Begin to close."""
        if self.connection is not None:
            self.connection.stop(eof=eof)
        else:
            self._scope.cancel()

    async def run(self) -> None:
        """Hold it until it is gone."""
        error: TriologueError | None = None
        with self._scope, AtHome(self._conversation.home):
            try:
                options = self._launch_options()
                self._wants = wanted_start(options)
                self._world.writers.enter(self._conversation.key, options)
                await self._wait_for_room(options)
                servants = self._servants(options)
                async with servants:
                    self.callbacks = servants.callbacks
                    async with self._history(options) as started:
                        error = await self._connect(started, servants.notices)
            except TriologueError as failure:
                error = failure
            finally:
                if error is not None:
                    self._tell_start(error)
                self.connection = self.callbacks = None
                self._unsent = []
                self._world.writers.leave(self._conversation.key)
                self._world.oversight.leave(self._conversation, self._start.generation)
        self._owner.let_go(self._start.generation, error)

    def _tell_start(self, error: TriologueError | None = None) -> None:
        """What became of the start; nothing where that is known."""
        if self._wants is not None:
            self._conversation.resumed = self._wants if error is None else failed_start(error)
            self._wants = None
            self._world.oversight.came_up(self._conversation, self._start.generation)

    async def _wait_for_room(self, options: Options) -> None:
        self.waits_for = "back-off"
        if self._conversation.start_after > trio.current_time():
            await trio.sleep_until(self._conversation.start_after)
        self.waits_for = "room"
        await self._world.oversight.enter(self._conversation, self._start.generation, options)
        self.waits_for = None

    def _servants(self, options: Options) -> Servants:
        agent, owner = self._conversation.agent, self._owner
        tokens = agent.tokens if isinstance(agent, ProvidesTokens) else None
        return Servants(options, tokens, self._world, self._conversation, post=owner.post, fail=owner.crash)

    def _history(self, options: Options) -> AbstractAsyncContextManager[Options]:
        """In this block the agent finds its own history, where that is kept; gives the options to start with."""
        agent, journal, store = self._conversation.agent, self._conversation.journal, self._world.store
        if store is not None and journal is not None and isinstance(agent, MirrorsHistories):
            return found_history(agent, options, store, journal)
        return nullcontext(options)

    def _launch_options(self) -> Options:
        start = self._start
        options = self._conversation.launch_options(start.session_id, fresh=start.fresh)
        options.model, options.permission_mode = start.model, start.permission_mode
        self._desk.prepare(options)
        return options

    async def _connect(self, options: Options, notices: Notices) -> TriologueError | None:
        """Hold the connection; returns why it ended, so that no nursery makes a group of it."""
        agent, world, generation = self._conversation.agent, self._world, self._start.generation
        place = Place(world.carrier, world.starting, self._admitted)
        journal = self._conversation.journal
        mirrors = agent if isinstance(agent, MirrorsHistories) else None

        def sink(batch: list[Message]) -> None:
            if notices.is_wanted:
                notices.look(batch)
            if journal is not None and mirrors is not None:
                batch = without_mirrors(batch, mirrors, options, journal)
            self._owner.hear(generation, batch)
            place.leave()  # it speaks, so it has started
            if self._wants is not None and self._session.link.was_greeted:
                self._tell_start()

        try:
            self.waits_for = "log-in"
            await world.oversight.queue_to_start(self._conversation, generation, options)
            self.waits_for = None
            place.take_if_free()
            opening = world.oversight.connect(self._conversation, generation, options, sink=sink, carrier=place)
            async with opening as connection:
                self.connection = connection
                self._send_unsent()
                place.opened()
                steps = tuple(agent.preparations(options)) if isinstance(agent, PreparesSessions) else ()
                last = tuple(agent.conclusions(options)) if isinstance(agent, ConcludesSessions) else ()
                self._owner.apply(on.Linked(generation, agent.initialize(options), steps, last))
                gone = await connection.wait_exit()
                self._has_left = True
            # Nothing of it is alive; but callbacks and MCP servers, which are ended next, may take their time.
            error = agent.diagnose(gone, self._session.refusal, options)
            self._tell_start(error)
            self._owner.apply(lost(generation, error))
            await notices.finish(gone.code, world.deadlines.close)
            return error
        except TriologueError as error:
            return error
        finally:
            place.leave()

    def _admitted(self) -> None:
        self._world.oversight.starts(self._conversation, self._start.generation)
        self._owner.apply(on.Admitted(self._start.generation))

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self.send(message)


def wanted_start(options: Options) -> ResumeOutcome:
    """What a start with these options is, if it succeeds."""
    if not (options.resume or options.continue_conversation):
        return "fresh"
    return "forked" if options.fork_session else "resumed"


def failed_start(error: TriologueError) -> ResumeOutcome:
    """What a start was that failed so."""
    if isinstance(error, SessionNotFound):
        return "missing"
    return "refused" if isinstance(error, CallerError | AgentNotFound | NotLoggedIn) else "transient"


def lost(generation: int, error: TriologueError) -> on.Lost:
    """The word that an agent went away by itself, just now."""
    return on.Lost(generation, error, trio.current_time(), random.random())
