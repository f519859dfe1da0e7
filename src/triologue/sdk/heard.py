"""What a session says, for who reads all of it: each turn once and in order, and its result also where a gap has it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain
from typing import final

import trio

from triologue.actors import Batch, Cursor, Turn
from triologue.errors import TriologueError, TurnError
from triologue.messages import Event, Gap, Message, Outcome, ResultMessage, TurnEnded, is_of_agent


@final
class Background:
    """What the agent says of its own accord, between the turns, and how far that was told; by whichever reader.

    Args:
        told: what was said up to this `seq` is for nobody.
    """

    def __init__(self, told: int = 0) -> None:
        self.told = told
        """The `seq` up to which nothing of it is untold."""

    def untold(self, batch: Batch) -> Batch:
        """The batch without what was told."""
        if batch.turn_id is not None or batch.first > self.told:
            return batch
        left = [event.message for event in batch.events() if self._is_untold(event)]
        return Batch(None, left, self.told + 1, batch.last)

    def _is_untold(self, event: Event) -> bool:
        seq = event.message.last if type(event.message) is Gap else event.seq
        return seq is None or seq > self.told


@final
class Heard:
    """What a session says that is for who reads it, in order; with the errors of turns that have no result.

    Args:
        reader: hears it.
        left_behind: the ids of turns that are somebody else's, of which nothing is given.
        untold: the turns whose ends are still to be told, oldest first.
        note_told: is told of each that was told to its end, at its result if it has one.
        background: what is told already of what belongs to no turn.
        may_be_new: is this of a turn that is not known yet to be accepted?
    """

    def __init__(
        self,
        reader: Cursor,
        left_behind: frozenset[str],
        untold: Callable[[], Iterable[Turn]],
        note_told: Callable[[str], None],
        background: Background,
        may_be_new: Callable[[Batch], bool] | None = None,
    ) -> None:
        self._reader = reader
        self._left_behind = left_behind
        self._untold = untold
        self._note_told = note_told
        self._background = background
        self._since = background.told
        self._has_gap = False
        """Since the last turn ended."""
        self._result: ResultMessage | None = None
        """The last one that was given."""
        # What was missed of the turns they keep themselves, far longer than the log does. That may have more of others,
        # which were told: a turn begins in it where it was accepted.
        turns: dict[str, Turn] = {}
        for turn in untold():  # one whose prompt was sent twice under its uuid is there twice
            turns.setdefault(turn.id, turn)
        others = [
            background.untold(each)
            for each in reader.take_all()
            if each.turn_id is None or (may_be_new and each.turn_id not in turns and may_be_new(each))
        ]
        missing = others[0].messages[:1] if others else []
        self._gap = next((message for message in missing if type(message) is Gap), None)
        """What the log has no more, until that is given: what the turns keep of it comes before."""
        self._to_come = {turn.id for turn in turns.values() if turn.outcome is not None}
        """Of the turns that had ended, those whose end may still come from what they keep: then it was in no gap."""
        earlier = [turn for turn in turns.values() if not turn.is_where(reader)]
        now = [_of(turn, turn.recorded()) for turn in turns.values() if turn.is_where(reader)]
        missed = chain(_unplaced(earlier), merge(others, *now, key=_place))
        self._said: Iterator[Message | Exception] = self._hear_missed(missed)

    def next(self) -> Message | None:
        """What comes next; None: that is still to be heard.

        Raises:
            Exception: what ended a turn without a result; what follows it comes all the same.
        """
        said = next(self._said, None)
        if said is None and self._reader.is_drained and (ended := self._ended()):
            self._said = self._give_ends(ended)
            said = next(self._said, None)
        if isinstance(said, Exception):
            raise said.with_traceback(None)
        return said

    def _ended(self) -> list[Turn]:
        # With nothing left to hear, their ends were in a gap, or could not be kept and are in no log.
        return [turn for turn in self._untold() if turn.outcome is not None]

    async def hear(self) -> None:
        """Wait for more, when `next` has given all.

        Raises:
            trio.EndOfChannel: nothing follows.
        """
        if self._reader.is_drained:
            batches = await self._reader.receive()
            self._said = chain(self._said, self._hear(batches))  # another task may have heard something meanwhile
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            # At once, for to another task it would look as if nothing of this were left to hear.
            self._said = chain(self._said, self._hear(self._reader.take_all()))
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _hear_missed(self, batches: Iterable[Batch]) -> Iterator[Message | Exception]:
        yield from self._hear(batches)
        self._to_come.clear()

    def _hear(self, batches: Iterable[Batch]) -> Iterator[Message | Exception]:
        # Not further than it is asked, so that who leaves goes on there with another reader.
        for batch in batches:
            # Nothing of it is in what a turn says: where who reads that leaves, the next one begins behind it.
            heard = batch.first - 1 if batch.turn_id is None else batch.last
            heard = heard if self._gap is None else min(heard, self._gap.first - 1)
            self._background.told = max(self._background.told, heard)
            if batch.turn_id in self._left_behind:
                continue
            if batch.turn_id is None:
                yield from self._give_background(batch)
            else:
                yield from self._give_turn(batch.turn_id, batch.messages)

    def _give_turn(self, turn_id: str, messages: Sequence[Message]) -> Iterator[Message | Exception]:
        for message in messages:
            if type(message) is TurnEnded:
                self._to_come.discard(turn_id)
                if self._has_gap:
                    yield from self._give_missed(turn_id)
                yield from self._give_end(turn_id, message.outcome, is_missed=self._has_gap)
                self._has_gap = False
            elif is_of_agent(message) or type(message) is Gap:
                if self._has_gap:
                    yield from self._give_missed(turn_id)
                yield self._given(turn_id, message)

    def _give_background(self, batch: Batch) -> Iterator[Message]:
        for event in batch.events():
            seq = event.message.last if type(event.message) is Gap else event.seq or 0
            if type(event.message) is Gap and seq <= self._since <= self._background.told:
                continue  # it was read from the store how far the log had got; nobody here has missed anything of that
            self._background.told = max(self._background.told, seq)  # who leaves at a gap has heard of it
            self._gap = None if event.message is self._gap else self._gap
            if is_of_agent(event.message) or type(event.message) is Gap:
                yield self._given(None, event.message)

    def _give_missed(self, turn_id: str) -> Iterator[Message | Exception]:
        """Something of a turn came behind a gap: the ends of those before it were in that."""
        untold = [*self._untold()]
        place = next((index for index, turn in enumerate(untold) if turn.id == turn_id), 0)
        yield from self._give_ends(untold[:place])

    def _give_ends(self, turns: Sequence[Turn]) -> Iterator[Message | Exception]:
        for turn in turns:
            if turn.outcome is not None and turn.id not in self._to_come:
                yield from self._give_end(turn.id, turn.outcome, is_missed=True)

    def _give_end(self, turn_id: str, outcome: Outcome, *, is_missed: bool) -> Iterator[Message | Exception]:
        result = outcome.result
        # A slow reader misses a long result, and would wait for it for ever.
        if is_missed and result is not None and not _is_same(self._result, result):
            yield self._given(turn_id, result)
        else:
            self._note_told(turn_id)
        if result is None and outcome.error is not None:
            yield cause_of(outcome.error)

    def _given(self, turn_id: str | None, message: Message) -> Message:
        if type(message) is Gap:
            self._has_gap = True
        elif isinstance(message, ResultMessage):
            self._result = message
            if turn_id is not None:
                self._note_told(turn_id)
        return message


def _of(turn: Turn, recorded: Iterable[Batch]) -> Iterator[Batch]:
    """What it keeps; a gap in that is its own."""
    for batch in recorded:
        yield Batch(turn.id, batch.messages, batch.first, batch.last)


def _unplaced(turns: Iterable[Turn]) -> Iterator[Batch]:
    """What turns keep whose places are in a log that is no more; one that began anew counts from 1 again."""
    for turn in turns:
        for batch in turn.recorded():
            yield Batch(turn.id, batch.messages, 0)


def _place(batch: Batch) -> int:
    """Where it comes among what was missed: a gap is right before what follows it."""
    first = batch.messages[0] if batch.messages else None
    return first.last if type(first) is Gap else batch.last


def _is_same(came: ResultMessage | None, result: ResultMessage) -> bool:
    """What came may be a copy, read from its line."""
    return came is result or (came is not None and came.uuid is not None and came.uuid == result.uuid)


def cause_of(error: Exception) -> Exception:
    """The agent's own error behind a failed turn: what a caller of one query wants to catch."""
    while isinstance(error, TurnError) and isinstance(error.__cause__, TriologueError):
        error = error.__cause__
    return error
