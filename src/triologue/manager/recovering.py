"""What an earlier host left in the sessions of a store: turns without an outcome, and ids that were used."""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import final
from uuid import uuid4

import trio
from msgspec import Struct
from msgspec.structs import replace

from triologue.actors import Conversation, Reply, Turn, digest_of, log_extra
from triologue.errors import ManagerClosed, SessionElsewhere, StoreError, TriologueError, TurnCancelled, TurnLost
from triologue.manager.directory import Directory
from triologue.manager.intake import Intake
from triologue.messages import Message, Outcome, TurnAccepted, TurnEnded
from triologue.ports import Record, SessionStore, StoredSession, UnfinishedTurn
from triologue.session import inputs as on
from triologue.session.mailbox import joined
from triologue.session.run import failed_by
from triologue.wire import decode_record

logger = logging.getLogger("triologue.manager")

PAGE = 500
"""Records, or sessions, that are read at once."""

AT_ONCE = 20
"""Sessions that are recovered at the same time."""

_ENDS = ("#turn_accepted", "#turn_ended")

TOLD = 10_000
"""Recovered turns that wait to be told by `recover()`; of more, the oldest are told no more."""


class RecoveredTurn(Struct, frozen=True, kw_only=True):
    """A turn that was accepted, and had no outcome when the host that had accepted it died, or was closed."""

    key: str
    """Of its session."""
    turn: Turn
    """With its `id`, its `meta` and, where it is `lost`, its outcome; else it waits, or runs, again."""
    attempts: int
    """How often it was started before."""


@final
class Recovery:
    """Begins again what was left unfinished, at the first use of each session, or of all by `recover`.

    Args:
        directory: knows the sessions.
        store: has what was left.
    """

    def __init__(self, directory: Directory, store: SessionStore) -> None:
        self._directory = directory
        self._store = store
        self._found: deque[RecoveredTurn] = deque(maxlen=TOLD)

    async def recover(self) -> list[RecoveredTurn]:
        """Take every session that has unfinished turns, but for those that a living host has; tell each turn once.

        Waits for leases of hosts that may be dead, until they have run out.

        Raises:
            ManagerClosed: the manager's block is being left meanwhile.
            StoreError: the store cannot be read.
        """
        elsewhere = await self._take_all(await self._unfinished())
        if elsewhere:
            await trio.sleep(self._directory.world.deadlines.lease)
            left = set(await self._unfinished())
            for key in await self._take_all(sorted(left & set(elsewhere))):
                told = log_extra(key)
                logger.info("the session %r has unfinished turns, and another host that is alive", key, extra=told)
        found = list(self._found)
        self._found.clear()
        return found

    async def _unfinished(self) -> list[str]:
        """The keys of all sessions with turns that have no outcome."""
        limit = PAGE
        while len(heads := await self._store.list_sessions(unfinished=True, limit=limit)) == limit:
            limit *= 2
        return [head.key for head in heads]

    async def _take_all(self, keys: list[str]) -> list[str]:
        """Take these sessions, some at a time; gives those that another host has."""
        elsewhere: list[str] = []
        closed: ManagerClosed | None = None
        places = trio.CapacityLimiter(AT_ONCE)

        async def take(key: str) -> None:
            nonlocal closed
            async with places:
                try:
                    find = partial(self._directory.conversation, key, None, None)
                    async with self._directory.taken(await self._directory.as_kept(key, find)):
                        pass
                except SessionElsewhere:
                    elsewhere.append(key)
                except ManagerClosed as error:  # raised below, as the nursery would put it into a group
                    closed = error
                    nursery.cancel_scope.cancel()
                except TriologueError as error:  # which harms only itself
                    told = log_extra(key)
                    logger.warning("the session %r cannot be recovered: %s", key, error, extra=told)
                except Exception:  # a bug of the caller's function for options, for one key: the others go on
                    logger.exception("the session %r cannot be recovered", key, extra=log_extra(key))

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(take, key)
        if closed is not None:
            raise closed
        return elsewhere

    async def resume(self, conversation: Conversation, head: StoredSession) -> Callable[[], None]:
        """Read what is unfinished in a session; what this returns queues it again, or ends it.

        Raises:
            ManagerClosed: nothing begins any more.
            StoreError: it cannot be read.
        """
        left = await self._read_left(head)
        self._directory.refuse_if_closed()
        return partial(self._begin_again, conversation, left)

    async def _read_left(self, head: StoredSession) -> list[tuple[UnfinishedTurn, TurnAccepted | None]]:
        """The unfinished turns with what they were to do; None where that cannot be read."""
        accepted: dict[str, TurnAccepted] = {}
        into: dict[str, list[str]] = {}
        page = await self._store.read(head.key, after=head.unfinished[0].seq - 1, limit=PAGE)
        while page:
            for record in page:
                match record.turn_id, _message(record) if record.kind in _ENDS else None:
                    case str(turn_id), TurnAccepted() as message:
                        accepted.setdefault(turn_id, message)
                    case str(turn_id), TurnEnded(outcome=Outcome(into=str(survivor))):
                        into.setdefault(survivor, []).append(turn_id)
                    case _:
                        pass
            page = await self._store.read(head.key, after=page[-1].seq, limit=PAGE)
        for survivor, merged in into.items():
            for turn_id in merged:
                if survivor in accepted and turn_id in accepted:
                    both = joined(accepted[survivor].prompt, accepted[turn_id].prompt)
                    accepted[survivor] = replace(accepted[survivor], prompt=both)
        return [(turn, accepted.get(turn.id)) for turn in head.unfinished]

    def _begin_again(self, conversation: Conversation, left: list[tuple[UnfinishedTurn, TurnAccepted | None]]) -> None:
        key = conversation.key
        for unfinished, accepted in left:
            intake = Intake(self._directory, key, lambda: conversation, None)
            meta = accepted.meta if accepted is not None else {}
            begin = unfinished.seq - 1 if unfinished.is_started else None  # else nothing of it is there
            turn = intake.new_turn(conversation, unfinished.id, meta, begin=begin)
            reply = Reply()
            if accepted is None or (unfinished.is_started and not self._may_run_again(unfinished)):
                why = self._why_lost(conversation) if accepted is not None else "its prompt cannot be read"
                lost = _lost(turn, why)
                logger.warning("the session %r: %s", key, lost.error, extra=log_extra(key, turn.id))
                self._end(conversation, turn, lost)
                reply.settle()
            elif not self._directory.world.guard.admits(key, accepted.meta):
                self._end(conversation, turn, _refused(turn))
                reply.settle()
            else:
                reply = self._submit(conversation, unfinished, accepted)
            if accepted is not None:
                conversation.remember(turn, digest_of(accepted.prompt), reply)
            self._found.append(RecoveredTurn(key=key, turn=turn, attempts=unfinished.attempts))

    def _submit(self, conversation: Conversation, unfinished: UnfinishedTurn, accepted: TurnAccepted) -> Reply:
        prompt = accepted.prompt
        if unfinished.attempts:  # under its old uuid, an agent may take it for done
            prompt = replace(prompt, uuid=str(uuid4()), line=b"")
        if accepted.is_command:
            conversation.commands += (unfinished.id,)
        submit = on.Submit(
            unfinished.id,
            prompt,
            accepted.meta,
            "queue",
            is_recovered=True,
            is_command=accepted.is_command,
            is_guarded=self._directory.world.guard.covers(accepted.meta),
        )
        return self._directory.registry.post(conversation, submit)

    def _may_run_again(self, turn: UnfinishedTurn) -> bool:
        policy = self._directory.world.restart
        return policy.retry_turn and turn.attempts <= policy.max_restarts

    def _why_lost(self, conversation: Conversation) -> str:
        # An error of the store is only remembered where this very host had the session.
        return "it could not be kept" if isinstance(conversation.last_error, StoreError) else "the host died"

    def _end(self, conversation: Conversation, turn: Turn, outcome: Outcome) -> None:
        ended = [TurnEnded(outcome=outcome)]
        journal = conversation.journal
        assert journal is not None

        def tell() -> None:
            conversation.publish(turn.id, ended)
            conversation.settle_turn(turn.id, outcome)

        journal.add(turn.id, ended)
        journal.then(tell, otherwise=lambda error: conversation.settle_turn(turn.id, failed_by(error)))

    async def recall(self, conversation: Conversation, turn_id: str) -> None:
        """If the store knows a turn of this session under this id, let the conversation know it too."""
        if conversation.remembers(turn_id) or conversation.log.last == 0:
            return
        records = await self._read_turn(conversation.key, turn_id)
        accepted, ended = (_message(records[0]), _message(records[-1])) if records else (None, None)
        if not isinstance(accepted, TurnAccepted) or not isinstance(ended, TurnEnded):
            return
        into = ended.outcome.into
        if into is not None:  # who asks for its answer gets that one's
            await self.recall(conversation, into)
        if conversation.remembers(turn_id):
            return
        intake = Intake(self._directory, conversation.key, lambda: conversation, None)
        turn, reply = intake.new_turn(conversation, turn_id, accepted.meta, begin=records[0].seq - 1), Reply()
        reply.settle()
        conversation.remember(turn, digest_of(accepted.prompt), reply)
        conversation.settle_turn(turn_id, ended.outcome)
        conversation.ended -= 1  # that was counted when it ended
        if into is not None:
            conversation.follow(turn_id, into)

    async def _read_turn(self, key: str, turn_id: str) -> list[Record]:
        """The first and the last record of a turn, at least."""
        page = records = await self._store.read(key, turn_id=turn_id, limit=PAGE)
        while len(page) == PAGE:
            page = await self._store.read(key, turn_id=turn_id, after=page[-1].seq, limit=PAGE)
            records = [records[0], *page]
        return records


def _lost(turn: Turn, reason: str) -> Outcome:
    text = f"the turn {turn.id!r} had started, and {reason}; nobody can tell how far it got"
    return Outcome(kind="lost", error=TurnLost(text), reason=reason)


def _refused(turn: Turn) -> Outcome:
    text = f"the turn {turn.id!r} waited when its host ended, and who sent it may not have it run any more"
    return Outcome(kind="cancelled", error=TurnCancelled(text), reason="not permitted any more")


def _message(record: Record) -> Message:
    return decode_record(record.kind, record.line)
