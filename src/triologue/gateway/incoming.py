"""What comes from one client."""

from collections import deque
from typing import final

import trio

from triologue.gateway.limits import GatewayLimits
from triologue.gateway.outgoing import Outgoing
from triologue.protocol.carrier import Closed, NotText, ServerCarrier


@final
class Incoming:
    """Frames of a client, in their order; they wait here while too many replies wait.

    They are read all the same: behind them come the pongs that the rest of a long reply waits for.

    Args:
        carrier: from where it reads.
        outgoing: of the connection.
        limits: of the gateway.
    """

    __slots__ = ("_carrier", "_end", "_max_size", "_max_texts", "_news", "_outgoing", "_size", "_taken", "_texts")

    def __init__(self, carrier: ServerCarrier, outgoing: Outgoing, limits: GatewayLimits) -> None:
        self._carrier = carrier
        self._outgoing = outgoing
        self._max_texts = 2 * limits.requests  # and as many interrupts
        self._max_size = 2 * limits.frame_bytes
        self._texts: deque[str] = deque()
        self._size = 0
        self._end: Closed | NotText | None = None
        self._news = trio.Event()
        self._taken = trio.Event()

    async def run(self) -> None:
        """Read until nothing comes any more. While more waits than there may be, nothing is read."""
        try:
            while True:
                text = await self._carrier.receive()
                self._texts.append(text)
                self._size += len(text)
                self._news.set()
                if self._is_full:
                    await self._wait_for_space()
        except (Closed, NotText) as end:
            self._end = end
        self._news.set()

    @property
    def _is_full(self) -> bool:
        return len(self._texts) >= self._max_texts or self._size > self._max_size

    async def _wait_for_space(self) -> None:
        self._outgoing.hear(is_deaf=True)
        while self._is_full:
            self._taken = trio.Event()
            await self._taken.wait()
        self._outgoing.hear(is_deaf=False)

    async def take(self) -> str:
        """The next text, once not too many replies wait. Cancelling this loses nothing.

        Raises:
            Closed: the client has left, and all that came before was taken.
            NotText: so was all that came before a frame that holds bytes.
        """
        await trio.lowlevel.checkpoint()  # or many that came at once would hold everybody up
        while not self._texts and self._end is None:
            self._news = trio.Event()
            await self._news.wait()
        if not self._texts and self._end is not None:
            raise self._end
        await self._outgoing.wait_for_room()
        text = self._texts.popleft()
        self._size -= len(text)
        self._taken.set()
        return text
