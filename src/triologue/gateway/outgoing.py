"""What goes to one client: replies first, then events, many in one frame."""

import random
from collections import deque
from typing import Final, final

import msgspec
import trio

from triologue.gateway.attachment import CHUNK_BYTES, Attachment
from triologue.gateway.flushing import Flusher
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.rooms import Item
from triologue.gateway.statistics import GatewayStatistics
from triologue.messages.loose import as_text
from triologue.protocol.carrier import Closed, ServerCarrier
from triologue.protocol.events import frame
from triologue.protocol.framing import FRAGMENT_BYTES, Fragment

WINDOW_BYTES: Final = 2 * CHUNK_BYTES
"""Of events and of what is long that a client has not read yet, as far as its pongs tell. More wait here, and not in the
buffers between, where replies and pongs would wait behind them."""

MARK_BYTES: Final = CHUNK_BYTES // 2
"""Between two pings that ask how far it has read: while one is on its way. Who has answered all keeps up, and is asked a
third as often."""

REPLY_BYTES: Final = 1024 * 1024
"""Replies that wait; while there are more, nothing else that the client asks is worked on."""

_NOTHING: Final = memoryview(b"")

_encode = msgspec.json.Encoder(enc_hook=as_text).encode


@final
class Outgoing:
    """What waits for a connection, and goes out at once where the client takes it; else `run`, a task, writes it.

    Args:
        carrier: where it writes.
        flusher: calls `flush`.
        limits: of the gateway.
        counters: of the gateway.
    """

    __slots__ = (
        "_awaited",
        "_bug",
        "_carrier",
        "_counters",
        "_flusher",
        "_is_deaf",
        "_keep_alive",
        "_news",
        "_ping_at",
        "_ponged_at",
        "_ready",
        "_replies",
        "_reply_bytes",
        "_rest",
        "_taken",
        "_unmarked",
        "_unread",
    )

    def __init__(
        self, carrier: ServerCarrier, flusher: Flusher, limits: GatewayLimits, counters: GatewayStatistics
    ) -> None:
        self._carrier = carrier
        self._flusher = flusher
        self._keep_alive = limits.keep_alive
        self._counters = counters
        self._replies: deque[bytes] = deque()
        self._reply_bytes = 0
        self._ready: dict[Attachment, None] = {}
        self._news = trio.Event()
        self._taken = trio.Event()
        # At some time within, as a thousand clients that come back at once would else be pinged at once for ever.
        self._ping_at = trio.current_time() + limits.keep_alive * random.random()
        self._rest = _NOTHING
        """Of a long text, of which a part was sent; it goes ahead of all."""
        self._unread = 0
        """Bytes of events and of long texts that were sent, and of whose reading no pong has told."""
        self._unmarked = 0
        """Those of them behind the last ping."""
        self._awaited: dict[object, float] = {}
        """When pings were sent that have no pong yet, the oldest first."""
        self._bug: Exception | None = None
        self._ponged_at = trio.current_time()
        """When a pong came last."""
        self._is_deaf = False
        """Nothing is read from the client, and no pong either."""

    # For those who have something to say.

    def reply(self, told: msgspec.Struct) -> None:
        """Say this, ahead of all events. Never waits."""
        self._replies.append(_encode(told))
        self._reply_bytes += len(self._replies[-1])
        self._flusher.soon(self)

    async def wait_for_room(self) -> None:
        """Wait until not too many replies wait."""
        while self._reply_bytes > REPLY_BYTES:
            await self._wait_taken()

    async def wait_sent(self) -> None:
        """Wait until all that waits now is sent."""
        while self._rest or self._replies or self._ready or self._carrier.sending_since is not None:
            await self._wait_taken()

    async def _wait_taken(self) -> None:
        if self._taken.is_set():
            self._taken = trio.Event()
        await self._taken.wait()

    def hear(self, *, is_deaf: bool) -> None:
        """Are pongs read? What is long does not wait for any where none is."""
        self._is_deaf = is_deaf
        self._news.set()

    def tell(self, attachment: Attachment) -> None:
        """It has something to send, now or when it is due."""
        self._ready.setdefault(attachment)
        if attachment.due > self._flusher.now:
            self._flusher.at(attachment.due, self)
        else:
            self._flusher.soon(self)

    def forget(self, attachment: Attachment) -> None:
        """It has nothing to send any more."""
        self._ready.pop(attachment, None)

    def flush(self, now: float) -> None:
        """See `Sender`. What the client does not take at once is left to the task."""
        try:
            is_sent = self._carrier.is_free and self._send_now(now)
        except Exception as bug:  # noqa: BLE001 - raised from the task: it ends this connection, and not the others
            self._bug, is_sent = bug, False
        if not is_sent or self._must_ask:
            self._news.set()

    def _send_now(self, now: float) -> bool:
        """Could all that is due be sent?"""
        while (self._rest or self._replies or self._ready) and (frames := self._next(now)):
            is_sent = self._carrier.send_now(*frames)
            self._taken.set()
            if not is_sent:
                return False
        return True

    # The writer.

    async def run(self) -> None:
        """Write what there is, until cancelled.

        Raises:
            Closed: the client has left; in a group.
        """
        async with trio.open_nursery() as pings:
            while True:
                now = trio.current_time()
                is_due = now >= self._ping_at
                if is_due:
                    self._ping_at = now + self._keep_alive
                if self._must_ask or (is_due and not self._awaited):  # one that is awaited will do
                    pings.start_soon(self._ask_how_far)
                if self._bug is not None:
                    raise self._bug
                if (frames := self._next(now)) or self._carrier.sending_since is not None:
                    await self._carrier.send(*frames)
                    self._taken.set()
                else:
                    await self._wait_news()

    @property
    def _must_ask(self) -> bool:
        return self._unmarked >= MARK_BYTES and (bool(self._awaited) or self._unmarked >= 3 * MARK_BYTES)

    async def _ask_how_far(self) -> None:
        asked, size, self._unmarked = object(), self._unmarked, 0
        self._awaited[asked] = trio.current_time()
        try:
            await self._carrier.ping()
        except Closed:
            return  # as the writer will hear too
        del self._awaited[asked]
        self._ponged_at = trio.current_time()
        self._unread -= size
        if self._rest or self._ready:
            self._news.set()

    @property
    def unheard_since(self) -> float | None:
        """Since when pongs are awaited, and none came; None where none is awaited."""
        oldest = next(iter(self._awaited.values()), None)
        return max(oldest, self._ponged_at) if oldest is not None else None

    async def _wait_news(self) -> None:
        self._news = trio.Event()
        with trio.move_on_at(self._ping_at):
            await self._news.wait()

    def _next(self, now: float) -> list[bytes | Fragment]:
        """About `CHUNK_BYTES` to write: more of a long text, or replies, and then events of each session in turn."""
        if self._rest:
            may_go = self._unread < WINDOW_BYTES or self._is_deaf
            return [self._cut(self._rest, is_first=False)] if may_go else []
        frames: list[bytes | Fragment] = []
        room = CHUNK_BYTES
        while self._replies and room > 0:
            reply = self._replies.popleft()
            self._reply_bytes -= len(reply)
            self._counters.bytes_sent += len(reply)
            room -= len(reply)
            frames.append(reply if len(reply) <= FRAGMENT_BYTES else self._cut(memoryview(reply), is_first=True))
        if room > 0 and self._unread < WINDOW_BYTES and (items := self._take_due(now, room)):
            events: list[bytes] = []
            for item in items:
                events.append(item.data)
                self._counters.events += len(item.messages)
            said = frame(events)
            self._counters.bytes_sent += len(said)
            if len(said) <= FRAGMENT_BYTES:
                self._count(len(said))
                frames.append(said)
            else:
                frames.append(self._cut(memoryview(said), is_first=True))
        return frames

    def _cut(self, text: memoryview, *, is_first: bool) -> Fragment:
        """The beginning of what is long; the rest is left. Such a text is the last of its write."""
        part, rest = bytes(text[:FRAGMENT_BYTES]), text[FRAGMENT_BYTES:]
        self._rest = rest or _NOTHING  # one without bytes would still hold all of the text
        self._count(len(part))
        return Fragment(part, is_first, is_last=not self._rest)

    def _count(self, size: int) -> None:
        """So much was sent that is to be read before much more is."""
        self._unread += size
        self._unmarked += size

    def _take_due(self, now: float, room: int) -> list[Item]:
        items: list[Item] = []
        for attachment in list(self._ready):
            if attachment.due > now:
                continue
            if room <= 0:
                break
            taken, size = attachment.take(room, now)
            room -= size
            items += taken
            del self._ready[attachment]
            if attachment.has_more:  # behind the others
                self._ready[attachment] = None
        return items
