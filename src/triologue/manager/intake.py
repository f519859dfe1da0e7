"""How prompts come into a session, and how their callers wait for what becomes of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, final
from uuid import uuid4

import trio

from triologue.actors import Conversation, Turn, WaitFor, current_home, digest_of, waiting_for
from triologue.errors import InvalidOption, WouldDeadlock
from triologue.manager.directory import Directory
from triologue.manager.prompts import check_labels, user_frame
from triologue.messages import Prompt, ResultMessage, UserMessage
from triologue.options import Overlap, check_overlap
from triologue.session import inputs as on


@final
class Intake:
    """The sending side of a session's handle.

    Args:
        directory: knows all conversations.
        key: the session's.
        conversation: gives its conversation, which begins with the first use.
        overlap: what its prompts do while another one is worked on, if not what the manager has.
    """

    def __init__(
        self, directory: Directory, key: str, conversation: Callable[[], Conversation], overlap: Overlap | None
    ) -> None:
        self._directory = directory
        self._registry = directory.registry
        self._key = key
        self._conversation = conversation
        self._overlap: Overlap | None = overlap
        self._recall = directory.recall

    async def send(
        self,
        prompt: UserMessage,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,
        meta: dict[str, str] | None = None,
        is_read: bool = False,
        is_command: bool = False,
    ) -> Turn:
        """Send a prompt; return when it is accepted.

        With `is_read`, its first iteration misses no partial; with `is_command`, it is a slash command for the agent.
        """
        if (known := await self._known_while_draining(prompt, id)) is not None:
            return known
        self._directory.refuse_if_closed()
        policy: Overlap = overlap if overlap is not None else self._overlap or self._directory.overlap
        try:
            check_overlap(policy)
            check_labels(id if id is not None else prompt.uuid, meta)
        except InvalidOption:
            self._leave()
            raise
        conversation = self._conversation()
        async with self._directory.taken(conversation):
            return await self._submit(
                conversation, prompt, policy, id, meta or {}, is_read=is_read, is_command=is_command
            )

    async def _submit(
        self,
        conversation: Conversation,
        prompt: UserMessage,
        policy: Overlap,
        id: str | None,
        meta: dict[str, str],
        *,
        is_read: bool,
        is_command: bool,
    ) -> Turn:
        # An agent takes a prompt's uuid as its identity too: the second prompt of that uuid is not answered.
        chosen = id if id is not None else prompt.uuid
        if chosen is not None and self._recall is not None:
            await self._recall(conversation, chosen)
        # Not when it is on its way already: whatever fails then fails for a turn that runs all the same.
        digest = digest_of(prompt) if chosen is not None else b""
        if chosen is not None and (known := conversation.known_turn(chosen, digest)) is not None:
            turn, accepted = known
            await accepted.wait()
            return turn
        if prompt.uuid is None:
            prompt.uuid = str(uuid4())
        turn_id = chosen if chosen is not None else prompt.uuid
        is_guarded = self._directory.world.guard.covers(meta)
        submit = on.Submit(turn_id, prompt, dict(meta), policy, is_command=is_command, is_guarded=is_guarded)
        self._directory.refuse_if_closed()  # a drain that began while the store was read does not know of this one
        accepted = self._registry.post(conversation, submit)
        # Not before that, which may be refused; the session takes the prompt in later.
        turn = self.new_turn(conversation, turn_id, meta, is_command=is_command)
        if is_read:
            turn.reserve()
        if chosen is not None:
            conversation.remember(turn, digest, accepted)
        else:
            turn.sent = prompt, accepted
        try:
            await accepted.wait()
        except trio.Cancelled:
            turn.release()
            turn.withdraw()
            raise
        except Exception:  # refused, which is no turn
            turn.release()
            raise
        return turn

    async def _known_while_draining(self, prompt: UserMessage, id: str | None) -> Turn | None:
        """The turn that was sent under this id: it is nothing new, and who hears that it is refused sends it again."""
        chosen, conversation = id if id is not None else prompt.uuid, self._registry.get(self._key)
        if not self._directory.is_draining or self._registry.is_closed or chosen is None or conversation is None:
            return None
        self._directory.refuse_elsewhere()
        check_labels(chosen, None)
        known = conversation.known_turn(chosen, digest_of(prompt))
        if known is None:
            return None
        turn, accepted = known
        await accepted.wait()
        return turn

    def new_turn(
        self,
        conversation: Conversation,
        turn_id: str,
        meta: dict[str, str],
        *,
        is_command: bool = False,
        begin: int | None = None,
    ) -> Turn:
        """A turn of this session: see `Conversation.new_turn`."""
        if is_command:
            conversation.commands += (turn_id,)
        return conversation.new_turn(turn_id, meta, withdraw=self._withdraw, position=self._position, begin=begin)

    async def ask(self, prompt: UserMessage, **more: Any) -> ResultMessage:
        """Send a prompt and wait for the result that answers it."""
        with self.waiting():
            turn = await self.send(prompt, **more)
        try:
            outcome = await turn.wait_answer()
        except (trio.Cancelled, WouldDeadlock):
            turn.withdraw()
            raise
        return outcome.unwrap()

    def waiting(self, what: WaitFor = "turn") -> AbstractContextManager[None]:
        """Refuse to wait for a turn that cannot end before the caller has it, before that turn is sent.

        Raises:
            WouldDeadlock: on entering, or later; see `waiting_for`.
        """
        self._directory.refuse_elsewhere()
        return waiting_for(self._conversation().home, current_home(), what)

    def _leave(self) -> None:
        """Nothing comes of it: who waits for a turn has entered its key already."""
        if (conversation := self._registry.get(self._key)) is not None:
            self._directory.leave(conversation)

    def _withdraw(self, turn_id: str) -> None:
        conversation = self._registry.get(self._key)
        if conversation is not None and self._registry.awake(self._key) is not None:
            self._registry.post(conversation, on.Withdraw(turn_id))

    def _position(self, turn_id: str) -> int | None:
        actor = self._registry.awake(self._key)
        if actor is None:
            return None
        run, place = actor.session.run, actor.session.mailbox.position(turn_id)
        if run is None or run.is_begun:
            return place
        # That one waits too: for its agent, or for room.
        return 0 if run.turn_id == turn_id else place + 1 if place is not None else None


@final
class TurnBlock:
    """Sends a prompt when its block is entered, and binds the turn to it; see `Session.turn`. Lighter than a generator.

    Args:
        intake: sends it.
        prompt: what is sent.
        patience: seconds that the outcome of a turn is waited for when its block was left early.
        more: what else `Intake.send` takes.
    """

    __slots__ = ("_intake", "_more", "_patience", "_prompt", "_turn")

    def __init__(self, intake: Intake, prompt: Prompt, patience: float, **more: Any) -> None:
        self._intake = intake
        self._prompt = prompt
        self._patience = patience
        self._more = more

    async def __aenter__(self) -> Turn:
        with self._intake.waiting():
            self._turn = await self._intake.send(user_frame(self._prompt), is_read=True, **self._more)
        return self._turn

    async def __aexit__(self, raised: type[BaseException] | None, *_: object) -> None:
        self._turn.release()
        if raised is not None:
            self._turn.withdraw()
        elif self._turn.outcome is None:
            with trio.move_on_after(self._patience):
                await self._turn.cancel()
