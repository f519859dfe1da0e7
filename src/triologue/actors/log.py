"""A session's log, and the cursors that read it: one writer, many readers, and none of them slows another."""

import contextlib
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import msgspec
import trio
from msgspec import Raw, Struct

from triologue.messages import (
    AssistantMessage,
    Event,
    Gap,
    Message,
    ResultMessage,
    StreamEvent,
    TurnEnded,
    UnknownMessage,
)
from triologue.wire import decode_line

# Batches that a reader may be behind before it is treated as slow. One read of an agent's output is one batch.
CURSOR_BATCHES = 64


class Batch(Struct, frozen=True, gc=False):
    """What was published at once, of one turn."""

    turn_id: str | None
    messages: Sequence[Message]
    first: int
    """The `seq` of the first message that has one; those after it count on from there."""
    last: int = 0
    """The `seq` of the last message that has one."""

    def events(self) -> list[Event]:
        """Its messages, each with its place in the log."""
        events, seq = [], self.first
        for message in self.messages:
            if type(message) in (StreamEvent, Gap):
                events.append(Event(None, self.turn_id, message))
            else:
                events.append(Event(seq, self.turn_id, message))
                seq += 1
        return events


class _Record(NamedTuple):
    turn_id: str | None
    kept: Message | bytes
    """What the agent said is kept as the line that it came in, and decoded again for who asks late: a line takes less
    than half the memory of its message. A result is kept as it is, because its cost was worked out here."""
    size: int


# What a record of ours, which has no line, is taken to weigh.
NOMINAL_BYTES = 512


@final
class Log:
    """Records in order, with a gapless `seq` from 1; a tail of them is kept.

    Partial text is not recorded: it passes by the cursors that are open.

    Args:
        limit: records that are kept at most.
        limit_bytes: what the kept records may weigh, counted by their lines. The newest is kept whatever it weighs.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._records: deque[_Record] = deque()
        self._bytes = 0
        self.last = 0
        """The `seq` of the newest record."""
        # Replaced and never changed, because a reader may be closed by the garbage collector while it is gone through.
        self._cursors: frozenset[Cursor] = frozenset()
        self._is_finished = False

    def __repr__(self) -> str:
        kept = f"{len(self._records)} records ({self._bytes} bytes)"
        return f"<Log: {kept} up to {self.last}, {len(self._cursors)} readers>"

    @property
    def first(self) -> int:
        """The `seq` of the oldest record that is kept."""
        return self.last - len(self._records) + 1

    def publish(self, turn_id: str | None, messages: Sequence[Message]) -> None:
        """Record all but the partials, and hand everything to the cursors. Never waits."""
        first = self.last
        for message in messages:
            if type(message) is not StreamEvent:
                self._keep(turn_id, message)
        if self._cursors:
            batch = Batch(turn_id, messages, first + 1, self.last)
            for cursor in self._cursors:
                cursor.offer(batch)

    def _keep(self, turn_id: str | None, message: Message) -> None:
        line, records = message.line, self._records
        size = len(line) or NOMINAL_BYTES
        records.append(_Record(turn_id, line if line and type(message) is not ResultMessage else message, size))
        self.last += 1
        self._bytes += size
        while (self._bytes > self._limit_bytes or len(records) > self._limit) and len(records) > 1:
            self._bytes -= records.popleft().size

    def since(self, seq: int) -> list[Batch]:
        """The records after `seq`, oldest first; a `Gap` stands for those that are gone."""
        missing = self.first - (seq + 1)
        batches = [] if missing <= 0 else [Batch(None, [Gap(first=seq + 1, last=self.first - 1)], self.first)]
        first = max(seq + 1, self.first)
        records = itertools.islice(self._records, first - self.first, None)
        for turn_id, group in itertools.groupby(records, key=lambda record: record.turn_id):
            messages = [_message(record) for record in group]
            batches.append(Batch(turn_id, messages, first, first + len(messages) - 1))
            first += len(messages)
        return batches

    def open(self, after: int, *, turn_id: str | None = None) -> "Cursor":
        """A new reader, of everything after `after`, or of one turn only. Close it."""
        cursor = Cursor(self, max(after, 0), turn_id)
        self._cursors |= {cursor}
        if self._is_finished:
            cursor.finish()
        return cursor

    def finish(self) -> None:
        """Nothing follows: who waits for more is told so."""
        self._is_finished = True
        for cursor in self._cursors:
            cursor.finish()

    def wake(self) -> None:
        """Let every reader look again at what it waits for."""
        for cursor in self._cursors:
            cursor.wake()

    def close(self, cursor: "Cursor") -> None:
        """Forget a reader."""
        self._cursors -= {cursor}


def _message(record: _Record) -> Message:
    if isinstance(record.kept, Message):
        return record.kept
    return decode_line(record.kept) or UnknownMessage(line=record.kept)


@final
class Cursor:
    """One reader's place in a log.

    Batches come through a bounded channel. When it is full the reader is slow: from then on it gets the records from
    the log itself, once it asks, and of the partials since the newest record only their sum.
    """

    def __init__(self, log: Log, after: int, turn_id: str | None) -> None:
        self._log = log
        self._turn_id = turn_id
        self._seen = after
        self._send, self._receive = trio.open_memory_channel[Batch](CURSOR_BATCHES)
        self._is_behind = after < log.last
        self._late = Late()

    def offer(self, batch: Batch) -> None:
        """The log has something new. Never waits."""
        if self._turn_id is not None and batch.turn_id != self._turn_id:
            return
        if not self._is_behind:
            try:
                self._send.send_nowait(batch)
                return
            except trio.WouldBlock:
                self._is_behind = True
        for message in batch.messages:
            self._late.add(batch.turn_id, message)

    def wake(self) -> None:
        """Let the reader look again at what it waits for: it receives an empty batch."""
        with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError):  # a full channel wakes it too
            self._send.send_nowait(Batch(self._turn_id, [], self._seen + 1, self._seen))

    @property
    def is_drained(self) -> bool:
        """Would `receive` have to wait?"""
        return not self._is_behind and not self._receive.statistics().current_buffer_used

    def finish(self) -> None:
        """Nothing follows."""
        self._send.close()

    def close(self) -> None:
        """Nobody reads here any more."""
        self._log.close(self)

    async def receive(self) -> list[Batch]:
        """Wait for something new; one checkpoint for all of it. May be empty when only other turns went on.

        Cancelling it loses nothing.

        Raises:
            trio.EndOfChannel: nothing follows.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        batches = self._take_all()
        if not batches and self._is_behind:
            batches = self._catch_up()
        elif not batches:
            batches = [await self._receive.receive()]
            self._seen = max(self._seen, batches[0].last)
            return batches
        # After the taking, so that what comes meanwhile finds the channel open.
        await trio.lowlevel.cancel_shielded_checkpoint()
        return batches

    def _take_all(self) -> list[Batch]:
        batches: list[Batch] = []
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                batches.append(self._receive.receive_nowait())
        if batches:
            self._seen = max(self._seen, batches[-1].last)
        return batches

    def _catch_up(self) -> list[Batch]:
        self._is_behind = False
        batches = [batch for batch in self._log.since(self._seen) if self._is_mine(batch)]
        self._seen = self._log.last
        batches += [Batch(turn_id, [partial], self._seen + 1) for turn_id, partial in self._late.take()]
        return batches

    def _is_mine(self, batch: Batch) -> bool:
        return self._turn_id is None or batch.turn_id == self._turn_id or type(batch.messages[0]) is Gap


class _Part(Struct, frozen=True):
    """A partial, and the pieces of those after it that go on with it."""

    turn_id: str | None
    partial: StreamEvent
    event: dict[str, Any]
    pieces: list[str]


@final
class Late:
    """The partials that a slow reader missed, added up: at most one for each block that is still open."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add(self, turn_id: str | None, message: Message) -> None:
        """Remember a partial; a complete message repeats what its partials said, so they go."""
        if isinstance(message, AssistantMessage):
            parent = message.parent_tool_use_id
            self._parts = [part for part in self._parts if part.partial.parent_tool_use_id != parent]
        elif isinstance(message, TurnEnded):
            self._parts = [part for part in self._parts if part.turn_id != turn_id]
        elif isinstance(message, StreamEvent):
            event = message.event
            piece = _piece(event)
            if piece is not None and self._parts and _goes_on(self._parts[-1], turn_id, message, event):
                self._parts[-1].pieces.append(piece)
            else:
                self._parts.append(_Part(turn_id, message, event, [] if piece is None else [piece]))

    def take(self) -> list[tuple[str | None, StreamEvent]]:
        """Give them away, each with its turn."""
        parts, self._parts = self._parts, []
        return [(part.turn_id, _joined(part)) for part in parts]


# Which field of a delta carries its piece of text.
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def _piece(event: dict[str, Any]) -> str | None:
    delta = event.get("delta")
    if event.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return None
    piece = delta.get(_PIECES.get(str(delta.get("type")), ""))
    return piece if isinstance(piece, str) else None


def _goes_on(last: _Part, turn_id: str | None, partial: StreamEvent, event: dict[str, Any]) -> bool:
    return (
        bool(last.pieces)
        and last.turn_id == turn_id
        and last.partial.parent_tool_use_id == partial.parent_tool_use_id
        and last.event.get("index") == event.get("index")
        and last.event["delta"]["type"] == event["delta"]["type"]
    )


def _joined(part: _Part) -> StreamEvent:
    if len(part.pieces) < 2:
        return part.partial
    delta = {**part.event["delta"], _PIECES[part.event["delta"]["type"]]: "".join(part.pieces)}
    raw = Raw(msgspec.json.encode({**part.event, "delta": delta}))
    return msgspec.structs.replace(part.partial, line=b"", event_raw=raw)
