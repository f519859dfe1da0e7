"""What an earlier host left in the sessions of a store: turns without an outcome, and ids that were used."""

from collections import deque
from typing import final
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from triologue.actors import Conversation, Reply, Turn
from triologue.errors import SessionElsewhere, StoreError, TurnLost
from triologue.manager.directory import Directory
from triologue.manager.intake import Intake
from triologue.messages import Message, Outcome, TurnAccepted, TurnEnded
from triologue.ports import Record, SessionStore, StoredSession, UnfinishedTurn
from triologue.session import inputs as on
from triologue.wire import decode_record

PAGE = 500
"""Records that are read at once."""

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
        """Take every session that has unfinished turns, but for those that another host has; tell each turn once."""
        before: float | None = None
        while heads := await self._store.list_sessions(unfinished=True, limit=PAGE, before=before):
            for head in heads:
                await self._take(head)
            before = heads[-1].last_active
        found = list(self._found)
        self._found.clear()
        return found

    async def _take(self, head: StoredSession) -> None:
        conversation = self._directory.conversation(head.key, None, None)
        try:
            async with self._directory.taken(conversation):
                pass
        except SessionElsewhere:  # whose turns are going on there
            pass

    async def begin_again(self, conversation: Conversation, head: StoredSession) -> None:
        """The session was taken just now: queue what was never started, and end what was, or run that again too."""
        for unfinished in head.unfinished:
            accepted = await self._accepted(head.key, unfinished)
            intake = Intake(self._directory, head.key, lambda: conversation, None)
            turn = intake.new_turn(conversation, unfinished.id, accepted.meta)
            prompt, reply = accepted.prompt, Reply()
            if unfinished.is_started and not self._may_run_again(unfinished):
                self._lose(conversation, turn)
                reply.settle()
            else:
                if unfinished.is_started:  # under its old uuid, an agent may take it for done
                    prompt = replace(prompt, uuid=str(uuid4()), line=b"")
                submit = on.Submit(unfinished.id, prompt, accepted.meta, "queue")
                reply = self._directory.registry.post(conversation, submit)
            conversation.remember(accepted.prompt, turn, reply)
            self._found.append(RecoveredTurn(key=head.key, turn=turn, attempts=unfinished.attempts))

    def _may_run_again(self, turn: UnfinishedTurn) -> bool:
        policy = self._directory.world.restart
        return policy.retry_turn and turn.attempts <= policy.max_restarts

    def _lose(self, conversation: Conversation, turn: Turn) -> None:
        text = f"the turn {turn.id!r} had started when its host died; nobody can tell how far it got"
        outcome = Outcome(kind="lost", error=TurnLost(text), reason="the host died")
        ended: list[Message] = [TurnEnded(outcome=outcome)]
        assert conversation.journal is not None
        conversation.journal.add(turn.id, ended, then=lambda: conversation.log.publish(turn.id, ended))
        conversation.settle_turn(turn.id, outcome)

    async def _accepted(self, key: str, turn: UnfinishedTurn) -> TurnAccepted:
        records = await self._store.read(key, after=turn.seq - 1, limit=1)
        accepted = _message(records[0]) if records else None
        if not isinstance(accepted, TurnAccepted):
            raise StoreError(f"the session {key!r} has no prompt of its unfinished turn {turn.id!r} at seq {turn.seq}")
        return accepted

    async def recall(self, conversation: Conversation, turn_id: str) -> None:
        """If the store knows a turn of this session under this id, let the conversation know it too."""
        if conversation.remembers(turn_id) or conversation.log.last == 0:
            return
        records = await self._read_turn(conversation.key, turn_id)
        accepted, ended = (_message(records[0]), _message(records[-1])) if records else (None, None)
        if (
            not isinstance(accepted, TurnAccepted)
            or not isinstance(ended, TurnEnded)
            or conversation.remembers(turn_id)
        ):
            return
        turn = Intake(self._directory, conversation.key, lambda: conversation, None).new_turn(
            conversation, turn_id, accepted.meta
        )
        reply = Reply()
        reply.settle()
        conversation.remember(accepted.prompt, turn, reply)
        conversation.settle_turn(turn_id, ended.outcome)

    async def _read_turn(self, key: str, turn_id: str) -> list[Record]:
        """The first and the last record of a turn, at least."""
        page = records = await self._store.read(key, turn_id=turn_id, limit=PAGE)
        while len(page) == PAGE:
            page = await self._store.read(key, turn_id=turn_id, after=page[-1].seq, limit=PAGE)
            records = [records[0], *page]
        return records


def _message(record: Record) -> Message:
    return decode_record(record.kind, record.line)
