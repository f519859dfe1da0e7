"""What of one session is on its way to the store, and what has to wait for that."""

import time
from collections.abc import Callable, Sequence
from typing import final

import trio
from msgspec import Struct
from msgspec.structs import replace

from triologue.errors import LeaseLost, ManagerClosed, StoreError
from triologue.messages import Message, Outcome, ResultMessage, TurnAccepted, TurnEnded, TurnStarted
from triologue.ports import Append, Lease, Record, SessionStore, StoredSession, TranscriptEntry, UnfinishedTurn
from triologue.wire import encode_record, kind_of

# Bytes that may wait for the disk. One session cannot fill the memory because the disk is slow: it breaks.
BACKLOG = 256 * 2**20

# Seconds for one append. A store that does not answer would hold up interrupts, closes and the end of the manager.
PATIENCE = 30.0

_ENDS = frozenset({TurnAccepted, TurnEnded})


class Then(Struct, frozen=True):
    """Something that waits until all that was said before it is kept."""

    act: Callable[[], object]
    otherwise: Callable[[StoreError], object]
    """What is done where that cannot be kept."""


@final
class Journal:
    """Writes a session's records in order, all that have come meanwhile at once, while there are any.

    Args:
        store: where to.
        lease: the right to write.
        head: the session as it is kept.
        is_new: nothing of it is kept yet.
        describe: puts into a head what is known of the session now.
        nursery: where it writes; not cancelled before the session is closed.
        fail: takes the error after which nothing of this session is kept any more.
    """

    def __init__(
        self,
        store: SessionStore,
        lease: Lease,
        head: StoredSession,
        *,
        is_new: bool,
        describe: Callable[[StoredSession], StoredSession],
        nursery: trio.Nursery,
        fail: Callable[[StoreError], None],
    ) -> None:
        self.lease = lease
        self.head = head
        self.is_new = is_new
        """The store had nothing of it."""
        self._store = store
        self._describe = describe
        self._nursery = nursery
        self._fail = fail
        self._last = head.last_seq
        self._unfinished = {turn.id: turn for turn in head.unfinished}
        self._kept = head.unfinished
        """The same, as the store has it."""
        self._records: list[Record] = []
        self._mirrored: list[TranscriptEntry] = []
        self._waiting: list[Then] = []
        self._backlog = 0
        self._is_touched = False
        self._written: trio.Event | None = None
        """Set when all is kept that there was; None while nothing is being written."""
        self._error: StoreError | None = None

    def __repr__(self) -> str:
        return f"<Journal of {self.lease.key!r} up to {self._last}, {len(self._records)} not kept yet>"

    @property
    def is_broken(self) -> bool:
        """Nothing is kept any more, and this session must be read anew."""
        return self._error is not None

    @property
    def is_writing(self) -> bool:
        """Something is on its way to the store."""
        return self._written is not None

    def unfinished(self, turn_id: str) -> UnfinishedTurn | None:
        """A turn that was accepted, and has no outcome yet, not even one that is being written."""
        return self._unfinished.get(turn_id)

    def to_be_kept(self, turn_id: str | None, messages: Sequence[Message]) -> Sequence[Message]:
        """All but what is there already, and what is not so: a turn that waits goes on to wait when its manager closes."""
        if _ENDS.isdisjoint(map(type, messages)):
            return messages
        return [message for message in messages if not self._is_left_out(turn_id, message)]

    def _is_left_out(self, turn_id: str | None, message: Message) -> bool:
        match message:
            case TurnAccepted():
                return turn_id in self._unfinished
            case TurnEnded(outcome=Outcome(kind="cancelled", error=ManagerClosed())):
                self._wait_again(turn_id)
                return True
            case _:
                return False

    def _wait_again(self, turn_id: str | None) -> None:
        """It never ran, even if an agent had it: it drops what was to be folded into a turn that was stopped."""
        turn = self._unfinished.get(turn_id or "")
        if turn is not None and turn.is_started:
            self._unfinished[turn.id] = replace(turn, is_started=False)
            self.touch()

    # Adding.

    def add(self, turn_id: str | None, messages: Sequence[Message]) -> None:
        """The next complete messages of the log."""
        if self._error is not None:
            return
        now = time.time()
        for message in messages:
            line = encode_record(message)
            self._last += 1
            self._count(turn_id, message)
            self._records.append(Record(seq=self._last, turn_id=turn_id, kind=kind_of(message), time=now, line=line))
            self._weigh(len(line))
        if messages:
            self._begin()

    def mirror(self, entries: Sequence[TranscriptEntry]) -> None:
        """What the agent wrote into its own history."""
        self._mirrored += entries
        self._weigh(sum(len(entry.line) for entry in entries))
        self._begin()

    def touch(self) -> None:
        """What is known of the session has changed, and nothing is recorded with that."""
        self._is_touched = True
        self._begin()

    def descend_from(self, parent: str, at: str | None) -> None:
        """The session is a copy of another one."""
        self.head = replace(self.head, parent=parent, forked_at=at)
        self.touch()

    def begin_anew(self) -> None:
        """What was counted so far is told by another head."""
        self.head = replace(self.head, turns=0, input_tokens=0, output_tokens=0)
        self.touch()

    def then(self, act: Callable[[], object], *, otherwise: Callable[[StoreError], object], weight: int = 0) -> None:
        """Call `act` when all that was added so far is kept: at once, where it is; `otherwise` if it cannot be kept.

        Args:
            act: must not wait.
            otherwise: the same.
            weight: bytes that it holds meanwhile.
        """
        if self._error is not None:
            otherwise(self._error)
        elif self._written is not None:
            self._waiting.append(Then(act, otherwise))
            self._weigh(weight)
        else:
            act()

    async def wait_written(self) -> None:
        """Wait until nothing is on its way any more, kept or not."""
        while self._written is not None:
            await self._written.wait()

    async def kept(self) -> None:
        """Wait until all that was added is kept.

        Raises:
            StoreError: it cannot be.
        """
        await self.wait_written()
        if self._error is not None:
            raise self._error

    # Writing.

    def _begin(self) -> None:
        if self._written is None and self._error is None:
            written = trio.Event()
            try:
                self._nursery.start_soon(self._write, written)
            except RuntimeError:  # its end was not waited for by who uses the session from outside of it
                text = f"the manager's block was left, so nothing more of the session {self.lease.key!r} is kept"
                raise ManagerClosed(text) from None
            self._written = written

    def _weigh(self, size: int) -> None:
        self._backlog += size
        if self._backlog > BACKLOG:
            self._break(
                StoreError(f"more than {BACKLOG >> 20} MiB of the session {self.lease.key!r} wait for the disk")
            )

    async def _write(self, written: trio.Event) -> None:
        try:
            while self._error is None and (self._records or self._mirrored or self._waiting or self._is_touched):
                await self._write_once()
        finally:
            self._written = None
            written.set()

    async def _write_once(self) -> None:
        records, self._records = self._records, []
        mirrored, self._mirrored = self._mirrored, []
        waiting, self._waiting = self._waiting, []
        is_touched, self._is_touched, self._backlog = self._is_touched, False, 0
        try:
            if records or mirrored or is_touched:
                self.head = self._now(records[-1].seq if records else self.head.last_seq)
                await self._append(Append(lease=self.lease, session=self.head, records=records, transcript=mirrored))
                self._kept = self.head.unfinished
            # Once more, because the session may have been given up meanwhile: then it is another's to tell of it.
            _settle(waiting, self._error)
        except StoreError as error:
            self._break(error, waiting)
        except trio.Cancelled:
            left = StoreError(f"the session {self.lease.key!r} was not kept before the manager was left")
            self._break(left, waiting)
            raise
        except Exception as error:  # noqa: BLE001 - a bug, of a store perhaps: it ends this session, and not the others
            broken = StoreError(f"the session {self.lease.key!r} could not be kept: {error!r}")
            broken.__cause__ = error
            self._break(broken, waiting)

    async def _append(self, write: Append) -> None:
        with trio.move_on_after(PATIENCE) as patience:
            try:
                await self._store.append(write)
            except StoreError:  # so nothing of it is there: what was to be started then has not started
                self._unfinished = {turn.id: turn for turn in self._kept}
                raise
        if patience.cancelled_caught:
            raise StoreError(f"the store did not keep the session {self.lease.key!r} within {PATIENCE:g} s")

    def _now(self, last: int) -> StoredSession:
        unfinished = tuple(self._unfinished.values())
        return replace(self._describe(self.head), last_seq=last, last_active=time.time(), unfinished=unfinished)

    def lose(self) -> None:
        """The lease is another host's."""
        why = "as this one did not say for Deadlines.lease that it is alive; it goes on there"
        self._break(LeaseLost(f"another host has taken the session {self.lease.key!r} over, {why}"))

    def _break(self, error: StoreError, waiting: Sequence[Then] = ()) -> None:
        is_first = self._error is None
        self._error = self._error or error
        waiting, self._waiting = [*waiting, *self._waiting], []
        self._records, self._mirrored = [], []
        _settle(waiting, self._error)
        if is_first:
            self._fail(error)

    def _count(self, turn_id: str | None, message: Message) -> None:
        """What the head tells of turns and tokens."""
        match message:
            case TurnAccepted() if turn_id is not None:
                self._unfinished[turn_id] = UnfinishedTurn(id=turn_id, seq=self._last)
            case TurnStarted() if turn_id in self._unfinished:
                turn = self._unfinished[turn_id]
                self._unfinished[turn_id] = replace(turn, is_started=True, attempts=turn.attempts + 1)
            case TurnEnded():
                self._unfinished.pop(turn_id or "", None)
                self.head = replace(self.head, turns=self.head.turns + 1)
            case ResultMessage(usage=dict() as usage):
                self.head = replace(
                    self.head,
                    input_tokens=self.head.input_tokens + _count_of(usage.get("input_tokens")),
                    output_tokens=self.head.output_tokens + _count_of(usage.get("output_tokens")),
                )
            case _:
                pass


def _settle(waiting: Sequence[Then], error: StoreError | None) -> None:
    for then in waiting:
        if error is None:
            then.act()
        else:
            then.otherwise(error)


def _count_of(value: object) -> int:
    return value if isinstance(value, int) else 0
