"""The manager: sessions by key, and what is to be seen of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias, final

import trio
from msgspec import Struct

from triologue.actors import Conversation, Turn, World
from triologue.errors import InvalidOption, ManagerClosed, SessionExists, TriologueError, brief
from triologue.manager.session import Session
from triologue.messages import SessionState
from triologue.options import IDENTITY, Options, check_options
from triologue.session import Setting, inputs as on

if TYPE_CHECKING:
    from collections.abc import Callable

    from triologue.ports import Agent
    from triologue.supervision import Registry

logger = logging.getLogger("triologue.manager")

OptionsFor: TypeAlias = "Options | Callable[[str], Options] | None"

MAX_KEY_LENGTH = 512


class SessionStatistics(Struct, frozen=True, kw_only=True):
    """One conversation, as it stands."""

    key: str
    session_id: str | None
    state: SessionState
    pid: int | None
    """Of the agent's process; None without one."""
    waiting: int
    """Turns that wait."""
    total_cost_usd: float | None
    """US dollars so far, where the agent tells."""
    records: int
    """In the log, ever."""


class ManagerStatistics(Struct, frozen=True, kw_only=True):
    """A manager, as it stands."""

    sessions: int
    """Conversations that it knows."""
    live: int
    """Of these, with a connection."""
    starting: int
    """Starts under way."""
    starts_waiting: int
    """Starts in line behind `Limits.max_starting`."""
    timers: int


@final
class SessionManager:
    """Owns every conversation of its block. Made by `open_manager`."""

    def __init__(self, agent: Agent, options: OptionsFor, registry: Registry, world: World) -> None:
        self._agent = agent
        self._registry = registry
        self._world = world
        self._is_draining = False
        self._options_for = options if callable(options) else None
        self._options = Options() if options is None or callable(options) else options.copy()

    def __repr__(self) -> str:
        return f"<SessionManager: {self._agent.name}, {len(self._registry)} sessions>"

    def session(self, key: str, *, agent: Agent | None = None, options: Options | None = None) -> Session:
        """The session of a key: a handle that costs nothing. The conversation starts when a message needs it.

        Args:
            key: your name for it: not empty, at most 512 characters.
            agent: who holds it, if not the manager's agent.
            options: on top of the manager's, field by field. For a key that has a conversation they are wanted from
                its next start on. Options of identity (`resume`, `session_id` ...) name how a new key starts.

        Raises:
            InvalidOption: a key that cannot be; options of identity, or another agent, for a key in use.
            UnsupportedOption: an option that the agent does not have.
        """
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
            raise InvalidOption(f"a key is a str of 1 to {MAX_KEY_LENGTH} characters, not {brief(key)}")
        conversation = self._registry.get(key)
        if conversation is not None:
            self._amend(conversation, agent, options)
        elif options is not None or agent is not None:
            check_for(agent or self._agent, self._merged(key, options))
        return Session(self, key, agent, options.copy() if options is not None else None)

    async def delete(self, key: str) -> None:
        """Close the conversation of a key, as `Session.close` does, and forget it."""
        await self.session(key).close()
        self._registry.remove(key)

    def sessions(self) -> list[SessionStatistics]:
        """Every conversation, as it stands."""
        return [self.statistics_of(conversation) for conversation in self._registry]

    def statistics(self) -> ManagerStatistics:
        """A snapshot."""
        starting = self._world.starting.statistics()
        return ManagerStatistics(
            sessions=len(self._registry),
            live=self._registry.live_count(),
            starting=starting.borrowed_tokens,
            starts_waiting=starting.tasks_waiting,
            timers=len(self._world.timers),
        )

    # For sessions.

    @property
    def registry(self) -> Registry:
        """Who is there and who is awake."""
        return self._registry

    @property
    def interrupt_patience(self) -> float:
        """Seconds that a turn may take to stop."""
        return self._world.deadlines.interrupt

    def refuse_if_closed(self) -> None:
        """Take nothing in while the block is left, or after.

        Raises:
            ManagerClosed: that is so.
        """
        if self._is_draining or self._registry.is_closed:
            raise ManagerClosed("the manager's block is being left or was left, so nothing new is taken in")

    def conversation(self, key: str, agent: Agent | None, options: Options | None) -> Conversation:
        """The conversation of a key; a new one where there is none yet."""
        conversation = self._registry.get(key)
        if conversation is None:
            self.refuse_if_closed()
            who, how = agent or self._agent, self._merged(key, options)
            check_for(who, how)
            conversation = Conversation(key, who, how, limits=self._world.limits)
            self._registry.add(conversation)
        return conversation

    def begin(self, key: str, conversation: Conversation, options: Options) -> Session:
        """A new key whose conversation begins with options of identity (a fork).

        Raises:
            SessionExists: the key has a conversation.
        """
        self.refuse_if_closed()
        if self._registry.get(key) is not None:
            raise SessionExists(f"the key {key!r} has a conversation already; fork to another key")
        session = self.session(key, agent=conversation.agent, options=options)
        self._registry.add(Conversation(key, conversation.agent, options, limits=self._world.limits))
        return session

    def statistics_of(self, conversation: Conversation) -> SessionStatistics:
        """One conversation, as it stands."""
        actor = self._registry.awake(conversation.key)
        asleep: SessionState = "new" if conversation.session_id is None else "hibernated"
        return SessionStatistics(
            key=conversation.key,
            session_id=conversation.session_id,
            state=actor.session.state if actor is not None else asleep,
            pid=actor.pid if actor is not None else None,
            waiting=len(actor.session.mailbox) if actor is not None else 0,
            total_cost_usd=conversation.total_cost_usd,
            records=conversation.log.last,
        )

    # The end.

    async def drain(self, patience: float) -> None:
        """Take nothing in any more, let what runs go on for `patience` seconds, then let every agent go."""
        self._is_draining = True
        awake = [conversation for conversation in self._registry if self._registry.awake(conversation.key)]
        deadlines = self._world.deadlines
        with trio.move_on_after(patience + deadlines.interrupt + 2 * deadlines.close):
            async with trio.open_nursery() as nursery:
                for conversation in awake:
                    nursery.start_soon(self._let_go, conversation, patience)
        self._registry.is_closed = True

    def finish(self) -> None:
        """Nothing follows: tell those who still read."""
        for conversation in self._registry:
            conversation.log.finish()

    async def _let_go(self, conversation: Conversation, patience: float) -> None:
        closed = ManagerClosed("the manager's block was left before this turn began")
        if self._registry.awake(conversation.key) is None:
            return
        try:
            await self._registry.post(conversation, on.Hold()).wait()  # behind the prompts that are on their way in
            turn = self._running_turn(conversation)
            if turn is not None:
                with trio.move_on_after(patience):
                    await turn.wait()
            if self._registry.awake(conversation.key) is not None:
                await self._registry.request(conversation, lambda ticket: on.Leave(ticket, error=closed)).wait()
        except TriologueError as error:  # it broke, which harms only itself
            logger.warning("the session %r broke while it was closed: %s", conversation.key, error)

    def _running_turn(self, conversation: Conversation) -> Turn | None:
        actor = self._registry.awake(conversation.key)
        run = actor.session.run if actor is not None else None
        return conversation.turns.get(run.turn_id) if run is not None else None

    # Options.

    def _merged(self, key: str, options: Options | None) -> Options:
        base = self._options
        if self._options_for is not None:
            base = self._options_for(key)
            if not isinstance(base, Options):
                raise InvalidOption(f"the function for options gave {brief(base)} for {key!r}, and not Options")
            _refuse_identity(base)
        return options.over(base) if options is not None else base.copy()

    def _amend(self, conversation: Conversation, agent: Agent | None, options: Options | None) -> None:
        if agent is not None and agent is not conversation.agent:
            raise InvalidOption(f"the key {conversation.key!r} has a conversation with {conversation.agent.name!r}")
        if options is None:
            return
        named = options.named()
        if identity := sorted(set(named) & set(IDENTITY)):
            raise InvalidOption(
                f"the key {conversation.key!r} has a conversation already, so {', '.join(identity)} cannot begin "
                "another one under it; use another key, or session.reset()"
            )
        changed = options.over(conversation.options)
        check_for(conversation.agent, changed)
        conversation.options = changed
        for setting in conversation.settings:
            if setting in named:
                self._want(conversation, setting, getattr(changed, setting))

    def _want(self, conversation: Conversation, setting: Setting, value: str | None) -> None:
        if self._registry.awake(conversation.key) is not None:
            self._registry.post(conversation, on.Change(None, setting, value))
        else:
            conversation.settings[setting] = value


def check_defaults(agent: Agent, options: OptionsFor) -> None:
    """Refuse a manager's options that no session of it could have.

    Raises:
        InvalidOption, UnsupportedOption: such options.
    """
    if isinstance(options, Options):
        _refuse_identity(options)
        check_for(agent, options)


def check_for(agent: Agent, options: Options) -> None:
    """Refuse options that this agent could not be started with.

    Raises:
        InvalidOption, UnsupportedOption: such options.
    """
    check_options(options)
    agent.check(options)


def _refuse_identity(options: Options) -> None:
    if identity := sorted(set(options.named()) & set(IDENTITY)):
        raise InvalidOption(
            f"{', '.join(identity)} name one conversation, and a manager has many; "
            "give them to manager.session(key, options=...)"
        )
