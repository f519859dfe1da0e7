"""The manager: sessions by key, and what is to be seen of them."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import final

import msgspec
import trio
from msgspec import Struct

from triologue.actors import Durations, OnMissing, Turn, current_home
from triologue.agents import Leftovers, measure_trees
from triologue.errors import InvalidOption, brief
from triologue.manager.checks import check_key
from triologue.manager.directory import Directory, SessionStatistics
from triologue.manager.draining import Draining
from triologue.manager.explaining import SessionExplanation, explain, oldest_turn
from triologue.manager.forking import begin_copy
from triologue.manager.kept import KeptSessions
from triologue.manager.listing import OverviewPage, SessionOverview, overview
from triologue.manager.permissions import PermissionRequest
from triologue.manager.recovering import RecoveredTurn, Recovery
from triologue.manager.session import Session
from triologue.messages import OutcomeKind, SessionState
from triologue.options import Options, Overlap, check_overlap
from triologue.ports import Agent, StoredSession


class ManagerStatistics(Struct, frozen=True, kw_only=True):
    """A manager, as it stands."""

    sessions: int
    """Conversations that it knows."""
    states: dict[SessionState, int]
    """How many of them are in which state; without those in which none is."""
    turns: dict[OutcomeKind, int]
    """Turns that have ended, by how; those of forgotten conversations too."""
    running: int
    """Turns that are with an agent, or on their way to one: also those whose session waits in line to start."""
    waiting: int
    """Turns in line behind others of their session."""
    live: int
    """Conversations whose agent is there: those with a connection."""
    starting: int
    """Starts under way."""
    starts_waiting: int
    """Starts in line: for room (`Limits.max_live` and its like), or behind others that start."""
    timers: int
    """Deadlines that run, of all conversations."""
    permissions: int = 0
    """Permission requests that wait for an answer."""
    restarts: int = 0
    """Agents that were started after one of their session had gone away by itself."""
    cost_usd: float = 0.0
    """US dollars that its conversations have cost so far, as far as their agents tell."""
    rss_bytes: int | None = None
    """Of the agents' processes and all below them (PSS), if it was asked for and the system tells."""
    turn_durations: Durations = msgspec.field(default_factory=Durations)
    """How long the turns took that have ended, from their acceptance on."""
    oldest_turn: float | None = None
    """Seconds since the oldest turn without an outcome was accepted; None when there is none."""
    leftovers: Leftovers = Leftovers()
    """What earlier runs had left behind when this manager was opened."""
    put_away: int = 0
    """Times that a session which slept was left to the store, as too many did (`Limits.max_asleep`)."""
    is_draining: bool = False
    """Its end was asked for: nothing new is taken in."""


@final
class SessionManager:
    """Owns every conversation of its block. Made by `open_manager`."""

    def __init__(
        self, directory: Directory, draining: Draining, leftovers: Leftovers, recovery: Recovery | None = None
    ) -> None:
        self._recovery = recovery
        self._leftovers = leftovers
        self._directory = directory
        self._draining = draining
        self._token = trio.lowlevel.current_trio_token()
        self._registry = directory.registry
        self._world = directory.world

    def __repr__(self) -> str:
        return f"<SessionManager: {self._directory.agent.name}, {len(self._registry)} sessions>"

    def session(
        self,
        key: str,
        *,
        agent: Agent | None = None,
        options: Options | None = None,
        overlap: Overlap | None = None,
        on_missing: OnMissing | None = None,
    ) -> Session:
        """The session of a key: a handle that costs nothing. The conversation starts when a message needs it.

        Args:
            key: your name for it: not empty, at most 512 characters.
            agent: who holds it, if not the manager's agent.
            options: on top of the manager's, field by field. For a key that has a conversation they are wanted from
                its next start on. Options of identity (`resume`, `session_id` ...) name how a new key starts.
            overlap: what happens to a message that is sent by this handle while another one is worked on, if not what
                the manager has.
            on_missing: what follows where the agent does not know the conversation any more: `raise`, the turn fails with
                `SessionNotFound` as its cause, and the id is kept, which is the rule; or `fresh`, a new one takes its
                place.

        Raises:
            InvalidOption: a key that cannot be; options of identity, or another agent, for a key in use; another folder
                (`cwd`) for one that the store has.
            UnsupportedOption: an option that the agent does not have.
        """
        check_key(key)
        if overlap is not None:
            check_overlap(overlap)
        if on_missing not in (None, "raise", "fresh"):
            raise InvalidOption(f"on_missing={brief(on_missing)} is neither 'raise' nor 'fresh'")
        conversation = self._registry.get(key)
        if conversation is not None:
            self._directory.amend(conversation, agent, options)
        elif options is not None or agent is not None:
            self._directory.check(
                agent if agent is not None else self._directory.agent, self._directory.merged(key, options)
            )
        wanted = options.copy() if options is not None else None
        session = Session(self._directory, key, agent, wanted, conversation, overlap=overlap, on_missing=on_missing)
        if conversation is not None and on_missing is not None:
            conversation.on_missing = on_missing
        return session

    @property
    def store(self) -> KeptSessions | None:
        """What is kept of conversations, those of other programs too; None: they are in memory only."""
        return KeptSessions(self._world.store) if self._world.store is not None else None

    async def recover(self) -> list[RecoveredTurn]:
        """Go on with what was accepted when the last host died, or was closed: all of it, now.

        Turns that had not started are queued again; those that had end as `lost`, or run again where
        `RestartPolicy(retry_turn=True)` says so, at most `max_restarts` times. Without this, it happens for each session
        at its first use. Sessions that another host holds are left to it.

        Returns each such turn once, those that were found at the use of a session too.

        Raises:
            ManagerClosed: the manager's block is being left; what was not reached stays as it is.
            StoreError: the store cannot be read.
        """
        if self._recovery is None:
            await trio.lowlevel.checkpoint()
            return []
        return await self._recovery.recover()

    async def delete(self, key: str) -> None:
        """Close the conversation of a key, as `Session.close` does, and forget it, and what it has cost.

        Raises:
            SessionElsewhere: another host that is alive has it, where there is a store.
            StoreError: it could not be deleted there.
        """
        check_key(key)
        if self._world.store is None:
            await self._forget(key, is_kept=False)
            return
        conversation = self._directory.conversation(key, None, None)  # it may be in the store only
        try:
            await self._forget(key, is_kept=False)
        finally:
            self._directory.leave(conversation)

    async def put_away(self, key: str) -> None:
        """The same, but for what is kept of it in a store: the next use of the key takes it from there."""
        await self._forget(key, is_kept=True)

    async def _forget(self, key: str, *, is_kept: bool) -> None:
        session = self.session(key)
        await session.close()
        while not await self._directory.forget(key, is_kept=is_kept):  # a prompt came in while the agent went away
            await session.close()
            await self._registry.wait_ended(key)
            await self._registry.wait_left(key)  # the store may take its time with what somebody wants of it
        self._world.oversight.forget(key)

    def sessions(self) -> list[SessionStatistics]:
        """Every conversation that is known here, as it stands; not what is only in the store."""
        return [self._directory.statistics_of(conversation) for conversation in self._registry]

    def turns(self) -> list[Turn]:
        """Every turn without an outcome, those of a session in the order of their acceptance."""
        return [turn for conversation in self._registry for turn in conversation.turns.values()]

    async def overview(self, prefix: str = "") -> list[SessionOverview]:
        """A line for each conversation by key, and for those that sleep in the store, as far as it lists them at once.

        Args:
            prefix: what their keys begin with.

        Raises:
            StoreError: the store cannot be read.
        """
        return (await overview(self._directory, prefix)).lines

    @contextmanager
    def guarding(self, label: str, may_begin: Callable[[str, dict[str, str]], bool]) -> Generator[None]:
        """In this block a turn with this label in its `meta` begins only if this says so, of its key and `meta`, right then.

        Else it ends as `cancelled`; so does one that an earlier host left waiting, where `recover` is called inside.

        Raises:
            InvalidOption: somebody else says so already, and would not know whose turns these are.
        """
        guard = self._world.guard
        if guard.label is not None:
            raise InvalidOption(
                "a manager has one gateway at a time, and this one has one; leave that one's block first"
            )
        guard.label, guard.may_begin = label, may_begin
        try:
            yield
        finally:
            guard.label = None

    def explain(self, key: str, *, rss: bool = True) -> SessionExplanation:
        """Why a session is stuck: what it waits for, its next deadline, its turns with their ages, its agent.

        A key without a conversation is `new`, and is not given one; so is one that is only in the store.

        Args:
            key: of the session.
            rss: look at the memory of the agent's processes too. It blocks for some milliseconds.
        """
        check_key(key)
        return explain(self._directory, key, self._registry.get(key), rss=rss)

    def statistics(self, *, rss: bool = False) -> ManagerStatistics:
        """A snapshot; it goes through all conversations once.

        Args:
            rss: look at the memory of all agents' processes too. It blocks: some milliseconds, and one for each agent.
        """
        starting = self._world.starting.statistics()
        all_sessions = self.sessions()
        waiting = sum(session.waiting for session in all_sessions)
        pids = [session.pid for session in all_sessions if session.pid is not None]
        sizes = measure_trees(pids) if rss else None
        ages = map(oldest_turn, self._registry)
        return ManagerStatistics(
            sessions=len(self._registry),
            states=dict(Counter(session.state for session in all_sessions)),
            turns=dict(self._world.tally.outcomes),
            running=sum(len(conversation.turns) for conversation in self._registry) - waiting,
            waiting=waiting,
            live=self._registry.live_count(),
            starting=starting.borrowed_tokens,
            starts_waiting=starting.tasks_waiting + self._world.oversight.starts_waiting,
            timers=sum(len(actor.clock) for actor in self._registry.all_awake()),
            permissions=len(self._world.permissions),
            restarts=self._world.tally.restarts,
            cost_usd=sum(session.total_cost_usd or 0.0 for session in all_sessions),
            rss_bytes=sum(sizes.values()) if sizes is not None else None,
            turn_durations=self._world.tally.durations.copy(),
            oldest_turn=max((age for age in ages if age is not None), default=None),
            leftovers=self._leftovers,
            put_away=self._registry.asleep.put_away if self._registry.asleep is not None else 0,
            is_draining=self._directory.is_draining,
        )

    def permissions(self) -> list[PermissionRequest]:
        """Every permission request that waits for an answer, oldest first."""
        return [PermissionRequest(each, self._directory) for each in self._world.permissions]

    async def open_permissions(self) -> list[PermissionRequest]:
        """The same, as the protocol `Sessions` has it."""
        await trio.lowlevel.checkpoint()
        return self.permissions()

    def permission(self, id: str) -> PermissionRequest | None:
        """The permission request with this id; None: this manager never had it, or has forgotten it.

        It may be settled already: an answer to it raises `AlreadyAnswered`, which tells who answered what.
        """
        if not isinstance(id, str):
            raise InvalidOption(f"id={brief(id)} is no str")
        found = self._world.permissions.get(id)
        return PermissionRequest(found, self._directory) if found is not None else None

    # For the faces.

    @property
    def is_draining(self) -> bool:
        """Was the end asked for, or is the block being left? Nothing new is taken in then."""
        return self._directory.is_draining

    def is_waiting_for_caller(self, key: str) -> bool:
        """Does a tool, hook or permission callback ask this, whose end the session of this key waits for?"""
        conversation, asker = self._registry.get(key), current_home()
        return conversation is not None and asker is not None and conversation.home.reaches(asker)

    async def overview_page(self, prefix: str, *, after: str, limit: int) -> OverviewPage:
        """The lines of `overview` behind a key, at most so many; the others cost nearly nothing. Raises `StoreError`."""
        return await overview(self._directory, prefix, after=after, limit=limit)

    async def copy(
        self, head: StoredSession, key: str, *, agent: Agent, at: str | None = None, session_id: str | None = None
    ) -> Session:
        """As `Session.fork`, of a conversation that is only in the store for this manager, or is another one's."""
        await begin_copy(self._directory, self._directory.recalled(head, agent), key, at=at, session_id=session_id)
        return self.session(key)

    # The end.

    def drain(self) -> None:
        """Ask for the end, from anywhere, a turn of its own or a thread too; it comes by itself, and this waits for nothing.

        From now on nothing new is taken in. Turns that run may go on for `Deadlines.drain`, then they are interrupted;
        when all agents are gone the manager's block is cancelled, and left as if it had come to its end. Asked for
        again, turns that still run are interrupted at once. It is what a signal in `open_manager(drain_on=...)` does.
        """
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            self._draining.ask()
            return
        with suppress(trio.RunFinishedError):  # then it has ended already
            self._token.run_sync_soon(self._draining.ask)

    def finish(self) -> None:
        """Nothing follows: tell those who still read."""
        for conversation in self._registry:
            conversation.log.finish()
