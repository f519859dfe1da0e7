"""One client, from its `hello` to its end."""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final, final

import trio

from triologue.errors import TriologueError, brief
from triologue.gateway.attachments import Attachments
from triologue.gateway.frames import BadFrame, read_hello, read_request
from triologue.gateway.hall import Hall
from triologue.gateway.incoming import Incoming
from triologue.gateway.outgoing import Outgoing
from triologue.gateway.refusing import Refusal
from triologue.gateway.requests import Requests
from triologue.gateway.tokens import Grant
from triologue.protocol import codes
from triologue.protocol.asked import Cancel, Hello, Interrupt, Ping, Prompt, Request
from triologue.protocol.carrier import Closed, NotText, ServerCarrier
from triologue.protocol.told import Failed, Pong, Reply, Welcome

logger = logging.getLogger("triologue.gateway")

GRACE: Final = 5.0
"""Seconds for what waits to be sent when the gateway ends, and for a cancel whose client has left."""


def _own_version() -> str:
    try:
        return version("triologue")
    except PackageNotFoundError:  # it runs from a folder
        return "unknown"


_VERSION: Final = _own_version()


@final
class Connection:
    """A WebSocket that was opened.

    Args:
        carrier: of the client.
        hall: of the gateway.
    """

    def __init__(self, carrier: ServerCarrier, hall: Hall) -> None:
        self._carrier = carrier
        self._hall = hall
        self._limits = hall.limits
        self._counters = hall.counters
        self._ending: tuple[int, str] | None = None
        self._reading = trio.CancelScope()
        self._work: dict[trio.CancelScope, type[Request]] = {}
        self._refusals = 0
        self._grant: Grant | None = None
        self._outgoing = Outgoing(carrier, hall.flusher, self._limits, self._counters)
        self._incoming = Incoming(carrier, self._outgoing, self._limits)
        self._attachments: Attachments | None = None

    @property
    def viewers(self) -> int:
        """See `Guest`."""
        return len(self._attachments) if self._attachments is not None else 0

    @property
    def waiting_bytes(self) -> int:
        """See `Guest`."""
        return self._attachments.waiting if self._attachments is not None else 0

    @property
    def token(self) -> str | None:
        """See `Guest`."""
        return self._grant.id if self._grant is not None else None

    @property
    def is_welcome(self) -> bool:
        """See `Guest`."""
        return self._grant is None or self._hall.rights.is_valid(self._grant)

    def end(self, code: int, reason: str) -> None:
        """See `Guest`. The first reason counts."""
        if self._ending is None:
            self._ending = (code, reason)
            self._reading.cancel()

    async def serve(self, hello_by: float, greeted: Callable[[], None]) -> None:
        """Serve it until it leaves or has to.

        Args:
            hello_by: when it must have said `hello`, on trio's clock.
            greeted: called when it has.
        """
        grant = await self._greet(hello_by)
        if grant is not None:
            greeted()
            self._grant = grant
            self._hall.guests[self] = None
            try:
                await self._converse(grant)
            finally:
                del self._hall.guests[self]
        else:
            await self._close()

    async def _close(self) -> None:
        code, reason = self._ending or (codes.CLOSE_NORMAL, "")
        self._counters.slow_closes += code == codes.CLOSE_TOO_SLOW
        await self._carrier.aclose(code, reason)

    async def _greet(self, hello_by: float) -> Grant | None:
        """What the client may do; None: nothing, and it is to be told why."""
        try:
            with trio.fail_at(hello_by):
                hello = read_hello(await self._carrier.receive())
        except trio.TooSlowError:
            self.end(codes.CLOSE_TOO_LATE, f"no hello came within {self._limits.hello:g} seconds")
        except (BadFrame, NotText) as error:
            self.end(codes.CLOSE_BAD_FRAME, str(error))
        except Closed as closed:
            self._end_by(closed)
        else:
            return self._admit(hello)
        return None

    def _admit(self, hello: Hello) -> Grant | None:
        grant = self._hall.rights.check(hello.token)
        if grant is None:
            self.end(codes.CLOSE_UNAUTHORIZED, "no token, or none that is valid")
        elif not self._hall.has_room_for(grant):
            text = f"this token has {self._limits.connections_per_token} connections already"
            self._hall.tell_limit("connections_per_token", text, grant)
            self.end(codes.CLOSE_TOO_MANY, text)
        else:
            logger.info("%r came with the token %s", hello.client[:100], grant.id)
            return grant
        self._counters.refused += 1
        return None

    async def _converse(self, grant: Grant) -> None:
        async with trio.open_nursery() as nursery:
            self._attachments = Attachments(self._hall.rooms, self._outgoing, nursery, self._limits, self._counters)
            requests = Requests(self._hall.manager, grant, self._hall.rights, self._attachments)
            nursery.start_soon(self._incoming.run)
            nursery.start_soon(self._write)
            self._outgoing.reply(
                Welcome(
                    version=_VERSION,
                    name=grant.name,
                    rights=sorted(grant.rights),
                    prefix=grant.prefix,
                    max_frame_bytes=self._limits.frame_bytes,
                    max_requests=self._limits.requests,
                )
            )
            try:
                with self._reading:
                    await self._read(requests)
                if self._ending is not None and self._ending[0] == codes.CLOSE_GOING_AWAY:
                    with trio.move_on_after(GRACE):
                        await self._outgoing.wait_sent()
            finally:
                self._attachments.close()
                self._leave_work()
            await self._close()  # behind what is being written
            nursery.cancel_scope.cancel()

    def _leave_work(self) -> None:
        """Nobody hears the replies; or who comes back again and again would leave more and more behind."""
        for scope, kind in self._work.items():
            if kind is Cancel:  # often a client's last word, right behind which it leaves
                scope.deadline = trio.current_time() + GRACE
            elif kind is not Prompt:
                scope.cancel()

    async def _write(self) -> None:
        try:
            await self._outgoing.run()
        except* Closed:
            self.end(codes.CLOSE_NORMAL, "")

    async def _read(self, requests: Requests) -> None:
        try:
            while True:
                text: str | None = None
                with trio.move_on_at(self._next_look()):
                    text = await self._incoming.take()
                if text is not None:
                    self._take(text, requests)
        except NotText as error:
            self.end(codes.CLOSE_BAD_FRAME, str(error))
        except Closed as closed:
            self._end_by(closed)

    def _end_by(self, closed: Closed) -> None:
        """The client has left, or the library has closed it."""
        if closed.code == codes.CLOSE_TOO_LONG:
            text = f"a frame was too long for the gateway, or for the client: {brief(closed.reason)}"
            self._hall.tell_limit("frame_bytes", text, self._grant)
        self.end(codes.CLOSE_NORMAL, "")

    def _next_look(self) -> float:
        """When it is to be seen whether the client is alive; it is closed if it is not."""
        now, stall = trio.current_time(), self._limits.stall
        began, unheard = self._carrier.sending_since, self._outgoing.unheard_since
        deadlines = [began + stall] if began is not None else []
        if unheard is not None:
            deadlines.append(unheard + stall)  # whatever else it says: it may not read
        if deadlines and now >= min(deadlines):
            self.end(codes.CLOSE_TOO_SLOW, f"nothing was read, or no ping answered, for {stall:g} seconds")
        return min(deadlines, default=now + stall)

    def _take(self, text: str, requests: Requests) -> None:
        """A frame came."""
        self._counters.requests += 1
        self._counters.bytes_received += len(text)
        try:
            request = read_request(text, depth=self._limits.depth, containers=self._limits.containers)
        except BadFrame as error:
            self._refuse(error)
            return
        if isinstance(request, Ping):  # which waits for nothing
            self._outgoing.reply(Pong(re=request.id))
        elif self._is_busy(request):
            text = f"this connection has {self._limits.requests} requests that are worked on"
            self._reply(self._refused(request.id, Refusal(codes.TOO_MANY, text, limit="requests")))
        else:
            # A prompt that is on its way in when everything ends is not taken back: its client may send it again.
            scope = trio.CancelScope(shield=isinstance(request, Prompt))
            self._work[scope] = type(request)
            self._hall.nursery.start_soon(self._perform, request, requests, scope)

    def _is_busy(self, request: Request) -> bool:
        """Is as much done already as may be? Interrupts have a count of their own."""
        is_interrupt = isinstance(request, Interrupt)
        alike = sum((kind is Interrupt) == is_interrupt for kind in self._work.values())
        return alike >= self._limits.requests

    def _refuse(self, error: BadFrame) -> None:
        self._refusals += 1
        if self._refusals > self._limits.refusals:
            text = f"more than {self._limits.refusals} frames were no requests"
            self._hall.tell_limit("refusals", text, self._grant)
            self.end(codes.CLOSE_TOO_MANY, text)
        elif error.id is None:
            self.end(codes.CLOSE_BAD_FRAME, str(error))
        else:
            self._reply(Failed(re=error.id, code="invalid", message=str(error)))

    async def _perform(self, request: Request, requests: Requests, scope: trio.CancelScope) -> None:
        if scope.shield:
            self._hall.prompts[scope] = None
        try:
            with scope:
                await self._answer(request, requests)
        finally:
            del self._work[scope]
            self._hall.prompts.pop(scope, None)

    async def _answer(self, request: Request, requests: Requests) -> None:
        try:
            self._reply(await self._reply_to(request, requests))
        except Exception as error:  # a reply that cannot be encoded, too
            kind = type(request).__name__
            if (suffix := self._hall.failures.suffix(kind, error)) is not None:
                logger.exception("a request of the kind %r broke%s", kind, suffix)
            text = "the gateway has a bug; its log says more"
            self._reply(Failed(re=request.id, code=codes.INTERNAL, message=text))

    async def _reply_to(self, request: Request, requests: Requests) -> Reply:
        try:
            return await requests.perform(request)
        except Refusal as refusal:
            return self._refused(request.id, refusal)
        except TriologueError as error:
            return codes.failed(request.id, error, is_draining=self._hall.manager.is_draining)

    def _refused(self, re: int, refusal: Refusal) -> Failed:
        if (limit := refusal.data.get("limit")) is not None:
            self._hall.tell_limit(limit, str(refusal), self._grant)
        return refusal.told(re)

    def _reply(self, reply: Reply) -> None:
        self._counters.failures += isinstance(reply, Failed)
        self._outgoing.reply(reply)
