"""Which conversations a manager has, and with which options each begins."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from math import inf
from pathlib import Path
from typing import final

import trio
from msgspec import Struct

from triologue.actors import (
    Conversation,
    World,
    check_fits,
    check_folder,
    is_another,
    is_kept_whole,
    pinned,
    restore,
    stays,
)
from triologue.errors import InvalidOption, ManagerClosed, SessionIdInUse, StoreError, brief
from triologue.loops import refuse_elsewhere
from triologue.manager.checks import OptionsFor, check_for, group_of, refuse_identity
from triologue.messages import SessionState
from triologue.options import IDENTITY, Options, Overlap, check_kinds
from triologue.ports import Agent, StoredSession
from triologue.session import Restarts, Setting, inputs as on
from triologue.supervision import Registry, Shelf


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
    last_error: str | None = None
    """Why the agent went away by itself the last time; None since one works."""


# One for all that take a session where there is no store.
_NOTHING = nullcontext()


@final
class Directory:
    """The conversations of one manager, by key."""

    def __init__(
        self, agent: Agent, options: OptionsFor, registry: Registry, world: World, *, overlap: Overlap
    ) -> None:
        self.agent = agent
        self.overlap: Overlap = overlap
        self.registry = registry
        self.world = world
        self.recall: Callable[[Conversation, str], Awaitable[None]] | None = None
        """Where there is a store: finds out whether it knows a turn under this id, and reminds the conversation of it."""
        self.is_draining = False
        """The manager's block is being left: nothing new is taken in."""
        self.drains_until = inf
        """When turns that still run are interrupted for that, on trio's clock."""
        self._options_for = options if callable(options) else None
        if self._options_for is not None:
            registry.renew = self._renew
        self._options = Options() if options is None or callable(options) else options.copy()
        self._latest = self._options
        self._loop = trio.lowlevel.current_trio_token()

    def check(self, agent: Agent, options: Options) -> None:
        """Refuse options that a session of this manager could not be started with.

        Raises:
            InvalidOption, UnsupportedOption: such options, or no agent.
        """
        check_for(agent, options, asks_people=self.world.on_permission is not None)

    def taken(self, conversation: Conversation, *, is_new: bool = False) -> AbstractAsyncContextManager[object]:
        """In this block the session may be written to, and is as the store has it; without a store it always is.

        Raises, on entering: `SessionElsewhere`, `SessionExists` (where it was to be new), `InvalidOption`, `StoreError`,
        `SessionIdInUse`, `ManagerClosed`.
        """
        shelf = self.registry.shelf
        return self._taken(shelf, conversation, is_new=is_new) if shelf is not None else _NOTHING

    @asynccontextmanager
    async def _taken(self, shelf: Shelf, conversation: Conversation, *, is_new: bool) -> AsyncGenerator[None]:
        is_unused = conversation.session_id is None and not conversation.log.last
        is_only_read = not conversation.generation  # it may be as the store has it, but for what is wanted
        try:
            async with shelf.taken(conversation, is_new=is_new):
                is_only_read = False
                self.refuse_if_closed()
                yield
        except (InvalidOption, SessionIdInUse):
            # The next one may name what fits; this one was only made to find out. A copy is its maker's to take back.
            is_over = conversation.journal is None and not self.is_used(conversation.key)
            is_current = self.registry.get(conversation.key) is conversation
            if (is_unused or is_only_read) and is_over and is_current and not is_new:
                self._drop_refused(conversation)
            raise
        finally:
            self.registry.rests(conversation)

    def _drop_refused(self, conversation: Conversation) -> None:
        key, log = conversation.key, conversation.log
        conversation.was_refused = True
        if not log.is_read:
            self.registry.remove(key)
            return
        limits = self.world.limits  # who watches wanted nothing of it, and hears how it goes on
        watched = Conversation(key, self.agent, self.merged(key, None), limits=limits, group=conversation.group)
        watched.log, watched.begun, watched.on_missing = log, conversation.begun, conversation.on_missing
        self.registry.add(watched)

    def refuse_if_closed(self) -> None:
        """Take nothing in while the block is left, or after, and nothing from elsewhere.

        Raises:
            ManagerClosed: that is so.
            RuntimeError: see `refuse_elsewhere`.
        """
        refuse_elsewhere(self._loop)
        if self.is_draining or self.registry.is_closed:
            raise ManagerClosed("the manager's block is being left or was left, so nothing new is taken in")

    def refuse_elsewhere(self) -> None:
        """Serve only the `trio.run` that the manager was opened in.

        Raises:
            RuntimeError: this is called in another one, or in none.
        """
        refuse_elsewhere(self._loop)

    def conversation(self, key: str, agent: Agent | None, options: Options | None) -> Conversation:
        """The conversation of a key; a new one where there is none yet."""
        conversation = self.registry.get(key)
        if conversation is None:
            self.refuse_if_closed()
            who, how = agent if agent is not None else self.agent, self.merged(key, options)
            self.check(who, how)
            limits = self.world.limits
            conversation = Conversation(key, who, how, limits=limits, group=group_of(limits, key))
            if options is not None:
                conversation.name(options.named())
            self.registry.add(conversation)
        return conversation

    def leave(self, conversation: Conversation) -> None:
        """It was looked at: one that has not begun is not kept for that, or looking at many keys would fill the memory."""
        key = conversation.key
        if conversation.is_blank and not self.is_used(key) and self.registry.get(key) is conversation:
            self.registry.remove(key)
        else:
            self.registry.rests(conversation)

    def is_used(self, key: str) -> bool:
        """Is its session awake, or being taken?"""
        shelf = self.registry.shelf
        return self.registry.is_awake(key) or (shelf is not None and shelf.is_used(key))

    def is_spare(self, conversation: Conversation) -> bool:
        """Does nobody use it, and would it come from the store as it is?

        What it would lose: an agent of its own, options that are not kept, and what counts against it for a while.
        """
        now = trio.current_time()
        restarts = Restarts(self.world.restart, conversation.crashes)
        return (
            conversation.is_at_rest
            and not self.is_used(conversation.key)
            and conversation.agent == self.agent
            and is_kept_whole(conversation)
            and conversation.start_after <= now
            and not (restarts.recent(now) or conversation.failure_at(now) or conversation.doubtful)
            and not isinstance(conversation.last_error, StoreError)
        )

    async def known(self, find: Callable[[], Conversation]) -> Conversation:
        """The conversation that is found, as the store has it, without writing to it.

        Who else leaves it meanwhile does not have it removed.

        Raises:
            StoreError: the store cannot be read.
        """
        conversation = find()
        if not await self._know(conversation):  # it was deleted elsewhere
            conversation = find()
            await self._know(conversation)
        return conversation

    async def as_kept(self, key: str, find: Callable[[], Conversation]) -> Conversation:
        """The conversation to take, which is not one here that another program has deleted since."""
        return find() if self.registry.get(key) is None else await self.known(find)

    async def _know(self, conversation: Conversation) -> bool:
        store, log = self.world.store, conversation.log
        if store is None or conversation.journal is not None:
            return True
        last, reader = log.last, log.open(log.last)  # a conversation that is read is not removed
        try:
            found = await store.get_session(conversation.key)
        except BaseException:
            log.close(reader)
            self.leave(conversation)
            raise
        log.close(reader)
        if conversation.journal is not None or log.last != last:
            return True  # it was used meanwhile, and is newer
        head = found if found is not None and found.key == conversation.key else None
        if is_another(conversation, head):
            if self.registry.is_awake(conversation.key):  # it is just ending: its next use finds it so
                return True
            self.registry.forget(conversation)
            return False
        if head is not None:
            restore(conversation, head)
        return True

    def recalled(self, head: StoredSession, agent: Agent) -> Conversation:
        """A conversation as the store has it, which is only looked at: it is not entered.

        Raises:
            InvalidOption: it is with another agent.
        """
        limits = self.world.limits
        conversation = Conversation(head.key, agent, self.merged(head.key, None), limits=limits)
        check_fits(conversation, head)
        restore(conversation, head)
        return conversation

    async def forget(self, key: str, *, is_kept: bool = False) -> bool:
        """Drop a conversation that sleeps; False, and nothing is done, where it does not sleep.

        Args:
            key: whose.
            is_kept: it stays in the store.

        Raises:
            SessionElsewhere: another host has it.
        """
        conversation, shelf = self.registry.get(key), self.registry.shelf
        if shelf is not None and conversation is not None:
            leaves = shelf.let_go if is_kept else shelf.delete
            if not await leaves(conversation):
                return False
        if self.registry.is_awake(key):
            return False
        self.registry.remove(key)
        return True

    def statistics_of(self, conversation: Conversation) -> SessionStatistics:
        """One conversation, as it stands."""
        actor = self.registry.awake(conversation.key)
        asleep: SessionState = "new" if conversation.session_id is None else "hibernated"
        # The time is not asked for where it does not matter: a session is shown in tracebacks outside of trio too.
        if conversation.failure is not None and conversation.failure_at(trio.current_time()) is not None:
            asleep = "failed"
        return SessionStatistics(
            key=conversation.key,
            session_id=conversation.session_id,
            state=actor.session.state if actor is not None else asleep,
            pid=actor.pid if actor is not None else None,
            waiting=len(actor.session.mailbox) if actor is not None else 0,
            total_cost_usd=conversation.total_cost_usd,
            records=conversation.log.last,
            last_error=str(conversation.last_error) if conversation.last_error is not None else None,
        )

    def merged(self, key: str, options: Options | None) -> Options:
        """The options of a key: the manager's, with these on top. Not to be changed, for many keys may share them."""
        base = self._options
        if self._options_for is not None:
            base = self._options_for(key)
            if not isinstance(base, Options):
                # By its type, because the value may hold secrets.
                raise InvalidOption(f"the function for options gave {type(base)} for {brief(key)}, and not Options")
            refuse_identity(base)
        if options is not None:
            check_kinds(options)
        merged = base.copy() if options is None else options.over(base)
        if merged != self._latest:
            self._latest = merged
        return self._latest

    def _renew(self, conversation: Conversation) -> None:
        """Take the options that the function gives now, but for what callers gave for this session, and what it is.

        Raises:
            InvalidOption, UnsupportedOption: such options; the conversation goes on sleeping with those that it had.
        """
        before, renewed = conversation.options, self.merged(conversation.key, None).copy()
        journal = conversation.journal
        if journal is not None:
            renewed = pinned(renewed, conversation.agent)
        # The folder too, because it is where agents find their histories.
        is_bound = stays(conversation, journal.head.unfinished if journal is not None else ())
        for name in {*IDENTITY, *conversation.given, *(["cwd"] if is_bound else [])}:
            setattr(renewed, name, getattr(before, name))
        if renewed == before:
            return
        self.check(conversation.agent, renewed)
        conversation.options = renewed
        for setting, now in conversation.settings.items():
            if now == getattr(before, setting) != getattr(renewed, setting):  # else somebody has set it since
                conversation.want(setting, getattr(renewed, setting))

    def amend(self, conversation: Conversation, agent: Agent | None, options: Options | None) -> None:
        """Other options are wanted for a conversation that there is already.

        Raises:
            InvalidOption: they would make it another one, or have it work in another folder than the store has.
        """
        # One that is only looked at may still begin in any way; who watches keeps nobody from that.
        is_open = not conversation.has_begun and not self.is_used(conversation.key)
        who = agent if agent is not None else conversation.agent
        if who != conversation.agent and not is_open:
            raise InvalidOption(f"the key {conversation.key!r} has a conversation with {conversation.agent.name!r}")
        if options is None and who == conversation.agent:
            return
        wanted = options if options is not None else Options()
        check_kinds(wanted)
        named = wanted.named()
        if not is_open and (identity := sorted(set(named) & set(IDENTITY))):
            raise InvalidOption(
                f"the key {conversation.key!r} has a conversation already, so {', '.join(identity)} cannot begin "
                "another one under it; use another key, or session.reset()"
            )
        wanted = self._staying(conversation, wanted)
        changed, named = wanted.over(conversation.options), wanted.named()
        self.check(who, changed)
        if is_open:
            conversation.begin_as(who, changed)
        conversation.options = changed
        conversation.name(named)
        for setting in conversation.settings:
            if setting in named:
                self._want(conversation, setting, getattr(changed, setting))

    def _staying(self, conversation: Conversation, wanted: Options) -> Options:
        """What is wanted, with the folder as the store has it: `.` is another one once the program is elsewhere.

        Raises:
            InvalidOption: it is another one.
        """
        if self.world.store is None or wanted.cwd is None:
            return wanted
        folder, staying, actor = conversation.options.cwd, wanted.copy(), self.registry.awake(conversation.key)
        is_begun = conversation.session_id is not None or (actor is not None and actor.holding is not None)
        if is_begun and folder is not None:
            # Not when it is taken next: what is wanted there is wanted by all, and they would all be refused.
            check_folder(conversation.key, wanted.named(), folder)
            staying.cwd = folder
        else:  # no agent has begun, and a wrong folder is no reason to begin under another key
            staying.cwd = str(Path(wanted.cwd).absolute())
        return staying

    def _want(self, conversation: Conversation, setting: Setting, value: str | None) -> None:
        if self.registry.awake(conversation.key) is not None:
            self.registry.post(conversation, on.Change(None, setting, value))
        elif self.world.store is None or conversation.journal is not None:
            conversation.want(setting, value)
        else:  # told when it is taken from the store
            conversation.settings = {**conversation.settings, setting: value}
