"""What the world hears of a session: at once, or, where there is a store, when that has it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

from triologue.actors.conversation import Conversation
from triologue.actors.holding import Holding
from triologue.actors.journal import Journal
from triologue.actors.owner import Owner
from triologue.actors.records import complete
from triologue.errors import ManagerClosed, StoreError, TriologueError, TurnCancelled
from triologue.messages import Message, Outcome, PermissionAnswered, StateChanged, TurnEnded, UserMessage
from triologue.ports import UnfinishedTurn
from triologue.session import Session
from triologue.session.run import failed_by


@final
class Outbox:
    """One awake session's.

    Args:
        conversation: whose.
        owner: gives a turn its outcome.
    """

    __slots__ = ("_conversation", "_head", "_journal", "_owner", "_unsent", "pass_on")

    def __init__(self, conversation: Conversation, owner: Owner) -> None:
        self._conversation = conversation
        self._journal: Journal | None = conversation.journal
        self._owner = owner
        self._head: tuple[object, ...] = ()
        """What the store was told last that the session is."""
        self._unsent = 0
        """Prompts that wait to be kept before they go to the agent."""
        self.pass_on = conversation.log.pass_on if self._journal is None else self.publish
        """As `publish`, for text that is not recorded."""

    @property
    def holds_prompt(self) -> bool:
        """A prompt waits to be kept before its agent gets it."""
        return self._unsent > 0

    @property
    def is_writing(self) -> bool:
        """Something is on its way to the store."""
        return self._journal is not None and self._journal.is_writing

    def then(self, act: Callable[[], object], *, otherwise: Callable[[StoreError], object], weight: int = 0) -> None:
        """Call `act` when everything that was said so far is kept, and `otherwise` if it cannot be."""
        if self._journal is None:
            act()
        else:
            self._journal.then(act, otherwise=otherwise, weight=weight)

    def publish(self, turn_id: str | None, messages: Sequence[Message]) -> None:
        """Tell those who listen, and the log."""
        publish = self._conversation.publish
        if self._journal is None:
            publish(turn_id, messages)
            return
        said = self._journal.to_be_kept(turn_id, messages)
        if not said:
            return
        records = complete(said)
        self._journal.add(turn_id, records)
        weight = 0 if len(records) == len(said) else sum(len(message.line) for message in said)
        self._journal.then(partial(publish, turn_id, said), otherwise=_nothing, weight=weight)

    def send_prompt(self, holding: Holding | None, frame: UserMessage) -> None:
        """Not before its start is kept: what an agent was never given can be given to another one after a crash."""
        if self._journal is None:
            self.send(holding, frame)
            return
        self._unsent += 1

        def sent(_: object = None) -> None:
            self._unsent -= 1

        def send() -> None:
            sent()
            if holding is not None:
                holding.send(frame)

        self.then(send, otherwise=sent)

    def send(self, holding: Holding | None, message: Message) -> None:
        """Control waits for no disk, only for a prompt that goes before it."""
        if holding is None:
            return
        if self._unsent:
            self.then(partial(holding.send, message), otherwise=_nothing)
        else:
            holding.send(message)

    def end(self, turn_id: str, outcome: Outcome) -> None:
        """A turn has its outcome when that is kept; where it cannot be, that is the outcome."""
        if self._journal is None:
            self._owner.settle(turn_id, outcome)
            return
        told = partial(self._owner.settle, turn_id, outcome)
        self.then(told, otherwise=lambda error: self._end_untold(turn_id, failed_by(error)))

    def _end_untold(self, turn_id: str, outcome: Outcome) -> None:
        """Nothing in the log tells of it, so who reads the turn there has to look at the turn itself."""
        self._owner.settle(turn_id, outcome)
        self._conversation.log.wake()

    def note(self, session: Session) -> None:
        """What a head tells of the conversation is kept as soon as it is another."""
        if self._journal is None:
            return
        head = (session.session_id, session.is_confirmed, *session.wanted.items())
        if head != self._head:
            self._head = head
            self._journal.touch()

    def give_up(self, cause: TriologueError, permissions: list[PermissionAnswered]) -> None:
        """The session broke, or its manager is gone: every turn ends."""
        journal, turns = self._journal, list(self._conversation.turns)
        if journal is not None and (journal.is_broken or isinstance(cause, ManagerClosed)):
            self._journal = (
                None  # nothing of this is kept, so nothing of it is said, and the turns have not ended there
            )
            for turn_id in turns:
                self._end_untold(turn_id, not_kept(cause, journal.unfinished(turn_id)))
            return
        if journal is not None:  # the ends of the others are on their way to it
            turns = [turn_id for turn_id in turns if journal.unfinished(turn_id) is not None]
        self.publish(None, permissions)
        for turn_id in turns:
            self.publish(turn_id, [TurnEnded(outcome=failed_by(cause))])
            self.end(turn_id, failed_by(cause))
        self.publish(None, [StateChanged(state="hibernated", reason=str(cause))])


def not_kept(cause: TriologueError, kept: UnfinishedTurn | None) -> Outcome:
    """The outcome of a turn whose session cannot be kept any more: in the store it has none yet."""
    if kept is None or kept.is_started:
        return failed_by(cause)
    error = TurnCancelled(f"the turn is kept, and runs when its session is used next, or by recover(): {cause}")
    error.__cause__ = cause
    return Outcome(kind="cancelled", error=error, reason=type(cause).__name__)


def _nothing(_: object = None) -> None:
    """Nobody has to be told."""
