"""The life of one connection, from its place in the line of starts to the last that was heard of it."""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from threading import get_ident
from typing import final

import trio

from triologue.actors.callbacks import Callbacks
from triologue.actors.conversation import Conversation, ResumeOutcome
from triologue.actors.desk import Desk
from triologue.actors.histories import found_history, name_latest, without_mirrors
from triologue.actors.inside import AtHome
from triologue.actors.notices import Notices
from triologue.actors.owner import Owner
from triologue.actors.place import Place
from triologue.actors.serving import Servants
from triologue.actors.world import World
from triologue.errors import (
    AgentCrashed,
    AgentNotFound,
    AgentStartError,
    CallerError,
    NotLoggedIn,
    SessionNotFound,
    TriologueError,
    UnsupportedOption,
    brief,
)
from triologue.messages import Message
from triologue.options import Options
from triologue.ports import (
    ConcludesSessions,
    Connection,
    Exit,
    FindsLatest,
    MirrorsHistories,
    PreparesSessions,
)
from triologue.session import LogSampler, Session, effects as do, inputs as on


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
        "_generation",
        "_has_left",
        "_owner",
        "_place",
        "_reads",
        "_scope",
        "_servants",
        "_session",
        "_start",
        "_thread",
        "_unsent",
        "_wants",
        "_world",
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
        self._generation = start.generation
        self._reads: Callable[[list[Message]], list[Message]] | None = None
        """Looks through what the agent says, and gives what the session is to hear; None where nobody does."""
        # Made here, so that a stop finds it also before the task has made its first step.
        self._scope = trio.CancelScope()
        self._thread = get_ident()
        self._has_left = False
        """The agent has gone by itself, and the rest of its connection is being put away."""
        self._unsent: tuple[Message, ...] = ()
        """What an agent is owed that asks while its connection is still being opened."""
        self._wants: ResumeOutcome | None = None
        """What its start will have been, if it succeeds; None afterwards."""
        self.connection: Connection | None = None
        self._servants: Servants | None = None
        self.waits_for: str | None = None
        """What it waits for before the start is under way."""

    @property
    def callbacks(self) -> Callbacks | None:
        """What the agent may ask for, once that can be served."""
        return self._servants.callbacks if self._servants is not None else None

    def send(self, message: Message) -> None:
        """Send one frame to the agent, if it is there."""
        if self._has_left:
            return
        if self.connection is not None:
            try:
                self.connection.send(message)
            except Exception as error:  # noqa: BLE001 - not to be taken for one of the store, which has the prompt sent
                self._owner.crash(error)
        elif self._servants is not None:
            self._unsent += (message,)

    def stop(self, *, eof: bool) -> None:
        """Begin to close. What does not go then is left, which closes it."""
        if self.connection is not None:
            self.connection.stop(eof=eof)
            if not self._has_left:  # a process is gone in half of this
                patience = trio.current_time() + 2 * self._world.deadlines.close
                self._scope.deadline = min(self._scope.deadline, patience)
        else:
            self._scope.cancel()

    async def run(self) -> None:
        """Hold it until it is gone."""
        error: TriologueError | None = None
        with self._scope, AtHome(self._conversation.home):
            try:
                options = self._launch_options()
                self._wants = wanted_start(options)
                self._see_that_it_resumes(options)
                self._world.writers.enter(self._conversation.key, options)
                await self._wait_for_room(options)
                await self._name_latest(options)
                servants = Servants(options, self._world, self._conversation, self._owner)
                async with servants:
                    self._servants = servants
                    if (history := self._history(options)) is None:
                        error = await self._connect(options)
                    else:
                        self.waits_for = "history"
                        async with history as started:
                            error = await self._connect(started)
            except TriologueError as failure:
                error = failure
            finally:
                if error is not None:
                    # It says itself what is wrong. Its frames would stay as long as the outcome, and bury what it says.
                    error.__traceback__ = None
                    self._tell_start(error)
                self.connection = self._servants = None
                self._unsent = ()
                self._world.writers.leave(self._conversation.key)
                self._world.oversight.leave(self._conversation, self._start.generation)
        self._owner.let_go(self._start.generation, error)

    def _tell_start(self, error: TriologueError | None = None) -> None:
        """What became of the start; nothing where that is known."""
        if self._wants is not None:
            self._conversation.resumed = self._wants if error is None else failed_start(error)
            self._wants = None
            self._world.oversight.came_up(self._conversation, self._start.generation)

    def _tell_if_started(self) -> None:
        if self._session.link.was_greeted:
            self._tell_start()

    async def _wait_for_room(self, options: Options) -> None:
        self.waits_for = "back-off"
        if self._conversation.start_after > trio.current_time():
            await trio.sleep_until(self._conversation.start_after)
        self.waits_for = "room"
        await self._world.oversight.enter(self._conversation, self._start.generation, options)
        self.waits_for = None

    def _history(self, options: Options) -> AbstractAsyncContextManager[Options] | None:
        """In this block the agent finds its own history; gives the options to start with. None where none is kept."""
        agent, journal, store = self._conversation.agent, self._conversation.journal, self._world.store
        if store is not None and journal is not None and isinstance(agent, MirrorsHistories):
            return found_history(agent, options, store, journal)
        return None

    def _launch_options(self) -> Options:
        start = self._start
        options = self._conversation.launch_options(start.session_id, fresh=start.fresh)
        options.model, options.permission_mode = start.model, start.permission_mode
        self._desk.prepare(options)
        return options

    def _see_that_it_resumes(self, options: Options) -> None:
        """One that cannot go on with a conversation would begin another one, and nobody would know.

        Raises:
            SessionNotFound: it has no option `resume`.
        """
        agent = self._conversation.agent
        try:
            if options.resume:
                agent.check(options)
        except CallerError as error:  # whatever else it has against them it has said when they were given
            if isinstance(error, UnsupportedOption) and error.option == "resume":
                detail = f"{agent.name} has no option 'resume', so it cannot go on with any"
                raise SessionNotFound(options.resume or "", detail=detail) from error

    async def _name_latest(self, options: Options) -> None:
        """Where an agent knows what it would choose to go on with, that is resumed as if it had been named."""
        agent = self._conversation.agent
        if options.continue_conversation and isinstance(agent, FindsLatest):
            self.waits_for = "history"
            await name_latest(agent, options)
            self.waits_for = None
            self._wants = wanted_start(options)
            self._see_that_it_resumes(options)
            self._world.writers.enter(self._conversation.key, options)

    async def _connect(self, options: Options) -> TriologueError | None:
        """Hold the connection; returns why it ended, so that no nursery makes a group of it."""
        agent, world, generation = self._conversation.agent, self._world, self._start.generation
        place = self._place = Place(world.carrier, world.starting, self._admitted)
        self._reads = self._reading(options)
        try:
            self.waits_for = "log-in"
            await world.oversight.queue_to_start(self._conversation, generation, options)
            self.waits_for = None
            place.take_if_free()
            opening = world.oversight.connect(self._conversation, generation, options, sink=self._take, carrier=place)
            async with opening as connection:
                self.connection = connection
                self._send_unsent()
                place.opened()
                steps = tuple(agent.preparations(options)) if isinstance(agent, PreparesSessions) else ()
                last = tuple(agent.conclusions(options)) if isinstance(agent, ConcludesSessions) else ()
                self._owner.apply(on.Linked(generation, agent.initialize(options), steps, last))
                self._tell_if_started()  # by an agent that has answered within that
                gone = await connection.wait_exit()
                self._has_left, self._scope.deadline = True, inf
            # Nothing of it is alive; but callbacks and MCP servers, which are ended next, may take their time.
            error = self._diagnose(gone, options)
            self._tell_start(error)
            self._owner.apply(lost(generation, error))
            if (notices := self._notices) is not None:
                await notices.finish(gone.code, world.deadlines.close)
            return error
        except TriologueError as error:
            return error
        finally:
            place.leave()

    def _diagnose(self, gone: Exit, options: Options) -> TriologueError:
        """What the agent says of it; one of a user's own may have nothing to say, and what is known is told all the same."""
        agent = self._conversation.agent
        said: object = agent.diagnose(gone, self._session.refusal, options)
        if isinstance(said, TriologueError):
            return said
        text = f"{agent.name} went away, and its diagnose() gave {brief(said)}, which is no TriologueError"
        return AgentCrashed(text, exit_code=gone.code, stderr_tail=gone.stderr_tail)

    def _reading(self, options: Options) -> Callable[[list[Message]], list[Message]] | None:
        agent, notices = self._conversation.agent, self._notices
        journal = self._conversation.journal if isinstance(agent, MirrorsHistories) else None
        if journal is None and notices is None:
            return None
        strays = LogSampler()

        def read(batch: list[Message]) -> list[Message]:
            if notices is not None:
                notices.look(batch)
            return batch if journal is None else without_mirrors(batch, agent, options, journal, strays)

        return read

    def _take(self, batch: list[Message]) -> float:
        """The sink of the connection."""
        if get_ident() != self._thread:  # nothing of it may be heard: who is to be woken by it would not be
            raise RuntimeError(
                "an agent's sink was called from another thread, which cannot be heard; "
                "call it there by trio.from_thread.run_sync(sink, batch)"
            )
        if self._reads is not None:
            batch = self._reads(batch)
        patience = self._owner.hear(self._generation, batch)
        if self._place.is_taken:
            self._place.leave()  # it speaks, so it has started
        if self._wants is not None:
            self._tell_if_started()
        return patience

    @property
    def _notices(self) -> Notices | None:
        return self._servants.notices if self._servants is not None else None

    def _admitted(self) -> None:
        self._world.oversight.starts(self._conversation, self._start.generation)
        self._owner.apply(on.Admitted(self._start.generation))

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, ()
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
    is_refused = isinstance(error, CallerError | AgentNotFound | NotLoggedIn)
    return "refused" if is_refused or (isinstance(error, AgentStartError) and error.is_final) else "transient"


def lost(generation: int, error: TriologueError) -> on.Lost:
    """The word that an agent went away by itself, just now."""
    return on.Lost(generation, error, trio.current_time(), random.random())
