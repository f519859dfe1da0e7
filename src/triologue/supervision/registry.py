"""The registry: every conversation of a manager by its key, and the supervised task of each that is awake."""

import logging
from collections.abc import Callable, Iterator
from typing import final

import trio

from triologue.actors import Actor, Conversation, Reply, World, log_extra, log_safely
from triologue.errors import AgentCrashed, ManagerClosed, StoreError, TriologueError
from triologue.session import inputs as on
from triologue.supervision.asleep import Asleep
from triologue.supervision.shelf import Shelf

logger = logging.getLogger("triologue.supervision")


@final
class Registry:
    """Wakes an actor when its conversation needs one; a conversation that breaks harms only itself.

    Args:
        nursery: where the actors run.
        world: what they share.
    """

    def __init__(self, nursery: trio.Nursery, world: World) -> None:
        self._nursery = nursery
        self._world = world
        self._conversations: dict[str, Conversation] = {}
        self._actors: dict[str, Actor] = {}
        self._ends: dict[str, trio.Event] = {}
        """Of those whose end somebody waits for; set too when one is given something, or is left by who took it."""
        self.shelf: Shelf | None = None
        """Where there is a store: the sessions of it that are written to here."""
        self.asleep: Asleep | None = None
        """Where there is a store, and a bound on how many that sleep are remembered."""
        self.renew: Callable[[Conversation], None] | None = None
        """Where options come from a function: asks it again, for a conversation that is about to wake."""
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._conversations)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._conversations.values()))

    def get(self, key: str) -> Conversation | None:
        """The conversation of a key, if it has one."""
        conversation = self._conversations.get(key)
        if conversation is None and self.asleep is not None and (conversation := self.asleep.again(key)) is not None:
            self._conversations[key] = conversation
        return conversation

    def add(self, conversation: Conversation) -> None:
        """Enter a conversation."""
        if self.asleep is not None:
            self.asleep.drop(conversation.key)
        self._conversations[conversation.key] = conversation

    def remove(self, key: str) -> None:
        """Forget a conversation that sleeps; who still reads it is told that nothing follows."""
        conversation = self.get(key)
        if conversation is not None:
            del self._conversations[key]
            if self.asleep is not None:
                self.asleep.drop(key)
            conversation.log.finish()

    def forget(self, conversation: Conversation) -> None:
        """Drop one that sleeps, with what it has cost: the store has no such log any more."""
        if self._conversations.get(conversation.key) is conversation:
            self.remove(conversation.key)
            self._world.oversight.forget(conversation.key)

    def rests(self, conversation: Conversation) -> None:
        """It was used, or looked at. If it sleeps now, and too many do, others that nobody uses are put away."""
        key = conversation.key
        if (
            self.asleep is None
            or self.is_closed
            or self.is_awake(key)
            or self._conversations.get(key) is not conversation
        ):
            return
        self.asleep.add(conversation)
        for other in self.asleep.surplus(but=conversation):
            del self._conversations[other.key]
            self._world.oversight.forget(other.key)

    def awake(self, key: str) -> Actor | None:
        """The actor of a conversation, if it is awake."""
        actor = self._actors.get(key)
        return actor if actor is not None and not actor.is_over else None

    def is_awake(self, key: str) -> bool:
        """Has it a task, one that is just ending too?"""
        return key in self._actors

    def crash(self, key: str, error: StoreError) -> None:
        """End a session that cannot be kept any more."""
        actor = self.awake(key)
        if actor is not None:
            actor.crash(error)

    def tell_ends(self, key: str) -> None:
        """Let those look again that wait for the end of this one."""
        if (waited_for := self._ends.pop(key, None)) is not None:
            waited_for.set()

    async def wait_asleep(self, key: str) -> None:
        """Wait until a conversation has no task, not even one that is just ending."""
        while key in self._actors:
            await self._ends.setdefault(key, trio.Event()).wait()

    def has_work(self, key: str) -> bool:
        """Has a conversation an agent, or something to do, or is it given that just now?"""
        actor = self._actors.get(key)
        return actor is not None and (not actor.session.is_quiet or actor.inbox.wakes)

    async def wait_ended(self, key: str) -> None:
        """Wait until one that is just ending has no task, or is given something, with which it goes on."""
        if (actor := self._actors.get(key)) is not None and actor.is_ending:
            await self._ends.setdefault(key, trio.Event()).wait()

    async def wait_left(self, key: str) -> None:
        """Wait until nobody takes a conversation that has no task; one that is given something meanwhile has one."""
        while self.shelf is not None and self.shelf.is_used(key) and key not in self._actors:
            await self._ends.setdefault(key, trio.Event()).wait()

    async def wait_put_back(self, conversation: Conversation) -> None:
        """Wait until a session sleeps, and its lease is given back; not for longer than `Deadlines.close`.

        One that has something to do, or is given something meanwhile, keeps its lease, and is not waited for.
        """
        if self.shelf is None:
            return
        key = conversation.key
        with trio.move_on_after(self._world.deadlines.close):
            await self.wait_ended(key)
            if key not in self._actors:
                await self.shelf.let_go(conversation)

    def all_awake(self) -> list[Actor]:
        """Every actor that is awake."""
        return [actor for actor in self._actors.values() if not actor.is_over]

    def live_count(self) -> int:
        """How many have a connection."""
        return sum(1 for actor in self._actors.values() if actor.is_live)

    def post(self, conversation: Conversation, event: on.Input) -> Reply:
        """Give an input to a conversation, waking it if it sleeps; the reply says that it was taken in."""
        accepted = Reply()
        self._wake(conversation).post(event, accepted)
        return accepted

    def request(self, conversation: Conversation, make: Callable[[int], on.Input]) -> Reply:
        """The same for an input that is answered."""
        return self._wake(conversation).request(make)

    def _wake(self, conversation: Conversation) -> Actor:
        actor = self.awake(conversation.key)
        if actor is None:
            if self.is_closed:
                raise ManagerClosed("the manager's block was left; open another one")
            if self.shelf is not None and conversation.journal is None:
                raise StoreError(f"the session {conversation.key!r} was lost before this could begin; try it again")
            if self.renew is not None:
                self.renew(conversation)
            actor = self._actors[conversation.key] = Actor(conversation, self._world)
            if self.asleep is not None:
                self.asleep.drop(conversation.key)
            self._nursery.start_soon(self._supervise, actor, name=f"triologue session {conversation.key!r}")
        self.tell_ends(conversation.key)
        return actor

    async def _supervise(self, actor: Actor) -> None:
        """Run it to its end, or to what breaks it, which harms no other conversation; also while the manager is left."""
        key = actor.conversation.key
        try:
            try:  # here, as a function of its own would weigh something for each session
                await actor.run()
            except* Exception as errors:  # noqa: BLE001 - see above
                actor.fail(self._told(actor, _alone(errors)))
        except BaseException:  # the manager is gone, and whoever waits for this session waits no longer
            if not actor.is_over:
                actor.fail(ManagerClosed("the manager's block was left"))
            raise
        finally:
            if self._actors.get(key) is actor:
                del self._actors[key]
                self.tell_ends(key)
            if self.shelf is not None:
                with trio.CancelScope(shield=True), trio.move_on_after(self._world.deadlines.close):
                    await self.shelf.let_go(actor.conversation)
                self.rests(actor.conversation)

    def _told(self, actor: Actor, error: Exception) -> TriologueError:
        """Log what broke a session; gives what its callers hear."""
        key = actor.conversation.key
        told = log_extra(key, actor.turn_id)
        if isinstance(error, StoreError):
            log_safely(logger, logging.ERROR, "the session %r cannot be kept: %s", key, error, extra=told)
            return error
        log_safely(logger, logging.ERROR, "the session %r broke", key, exc_info=error, extra=told)
        cause = AgentCrashed(f"the session {key!r} broke: {error!r}")
        cause.__cause__ = error
        return cause


def _alone(error: Exception) -> Exception:
    """Out of the groups that nurseries make, where it is the only one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
