"""The door: every connection comes in here, says in HTTP what it wants, and gets an answer or a WebSocket."""

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, final

import h11
import trio

from triologue.gateway.connection import Connection
from triologue.gateway.hall import Hall
from triologue.gateway.http import Head, Response
from triologue.gateway.names import Names
from triologue.protocol.carrier import LINGER_SECONDS, PATH, SUBPROTOCOL, Closed, accept
from triologue.protocol.peeked import finish

logger = logging.getLogger("triologue.gateway")

HEAD_BYTES: Final = 16 * 1024
"""A longer head of a request is refused."""

_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, OSError, Closed)


@final
class Front:
    """Takes connections in.

    Args:
        hall: of the gateway.
        names: which it answers to.
        answer: answers plain HTTP.
    """

    def __init__(self, hall: Hall, names: Names, answer: Callable[[Head], Awaitable[Response]]) -> None:
        self._hall = hall
        self._names = names
        self._answer = answer

    async def take(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end. Nothing that a client does raises."""
        self._hall.counters.accepted += 1
        try:
            with self._handshake() as handshake:
                await self._serve(stream, handshake)
        except* _BROKEN as group:
            logger.debug("a client has left: %r", group.exceptions[0])
        except* Exception as group:
            if (suffix := self._hall.failures.suffix("connection", group)) is not None:
                logger.exception("a connection broke%s", suffix)
        finally:
            await trio.aclose_forcefully(stream)

    @contextmanager
    def _handshake(self) -> Generator[trio.CancelScope]:
        """Of clients that say nothing the oldest makes room: whoever really wants in is quick."""
        handshakes = self._hall.handshakes
        if len(handshakes) >= self._hall.limits.handshakes:
            oldest = next(iter(handshakes))
            del handshakes[oldest]
            oldest.cancel()
            self._hall.counters.refused += 1
            self._hall.tell_limit("handshakes", "who had not said hello for the longest time was cut off")
        with trio.move_on_after(self._hall.limits.hello) as scope:
            handshakes[scope] = None
            try:
                yield scope
            finally:
                handshakes.pop(scope, None)

    async def _serve(self, stream: trio.abc.Stream, handshake: trio.CancelScope) -> None:
        hello_by = handshake.deadline
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        read = b""
        try:
            if isinstance(stream, trio.SSLStream):
                await stream.do_handshake()
            request, read = await _read_head(stream, http)
        except h11.RemoteProtocolError as error:
            await _send(stream, http, _plain(error.error_status_hint, f"this is no request: {error}\n"))
            return
        head = _head_of(request)
        if not _is_upgrade(head):
            is_known = self._names.knows_host(head)
            await _send(stream, http, await self._answer(head) if is_known else _wrong_host(), to=head.method)
        elif (refusal := self._refusal(head)) is not None:
            self._hall.counters.refused += 1
            await _send(stream, http, refusal, to=head.method)
        else:
            handshake.deadline = hello_by + self._hall.limits.stall  # from here on the connection looks after it
            async with accept(stream, read, max_frame_bytes=self._hall.limits.frame_bytes) as carrier:
                await Connection(carrier, self._hall).serve(hello_by, lambda: self._greeted(handshake))

    def _greeted(self, handshake: trio.CancelScope) -> None:
        handshake.deadline = float("inf")
        self._hall.handshakes.pop(handshake, None)

    def _refusal(self, head: Head) -> Response | None:
        """Why there is no WebSocket for this request, if there is none."""
        protocols = [each.strip() for each in (head.header("sec-websocket-protocol") or "").split(",")]
        if not self._names.knows_host(head):
            return _wrong_host()
        if head.target.partition("?")[0] != PATH:
            return _plain(404, f"WebSockets are opened at {PATH}\n")
        if not self._names.admits_origin(head):
            return _plain(403, "a page of this origin may open no WebSocket here\n")
        if head.method != "GET" or not head.header("sec-websocket-key") or _has_body(head) or not _is_ascii(head):
            return _plain(400, "this is no request for a WebSocket\n")
        if head.header("sec-websocket-version") != "13":
            return _plain(426, "only version 13 of WebSockets is spoken here\n", ("sec-websocket-version", "13"))
        if SUBPROTOCOL not in protocols:
            return _plain(400, f"only the subprotocol {SUBPROTOCOL} is spoken here\n")
        if len(self._hall.guests) >= self._hall.limits.connections:
            text = "there are as many connections as there may be"
            self._hall.tell_limit("connections", text)
            return _plain(503, f"{text}\n", ("retry-after", "10"))
        return None


async def _read_head(stream: trio.abc.Stream, http: h11.Connection) -> tuple[h11.Request, bytes]:
    """The head of a request, and all that was read for it.

    Raises:
        h11.RemoteProtocolError: it is none.
        trio.BrokenResourceError: the client left before its end.
    """
    read = b""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event, read
        data = await stream.receive_some(HEAD_BYTES + 1 - len(read))  # one more, and h11 refuses it
        if not data:
            raise trio.BrokenResourceError("it said nothing, or half a request")
        read += data
        http.receive_data(bytes(data))


def _head_of(request: h11.Request) -> Head:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
    return Head(request.method.decode("latin-1"), request.target.decode("latin-1"), headers)


def _has_body(head: Head) -> bool:
    """Where a proxy would see a body, and a WebSocket its frames."""
    return head.header("transfer-encoding") is not None or head.header("content-length") not in (None, "0")


def _is_ascii(head: Head) -> bool:
    """The library breaks on other headers."""
    return all(value.isascii() for _, value in head.headers)


def _is_upgrade(head: Head) -> bool:
    return (head.header("upgrade") or "").lower() == "websocket"


async def _send(stream: trio.abc.Stream, http: h11.Connection, response: Response, *, to: str = "") -> None:
    """Send the answer to a request of this method: to HEAD all but the body of it."""
    headers = [*response.headers, ("content-length", str(len(response.body))), ("connection", "close")]
    said = http.send(h11.Response(status_code=response.status, reason=_phrase(response.status), headers=headers)) or b""
    if response.body and to != "HEAD":
        said += http.send(h11.Data(data=response.body)) or b""
    await stream.send_all(said + (http.send(h11.EndOfMessage()) or b""))
    with trio.move_on_after(LINGER_SECONDS):
        await finish(stream)
    await stream.aclose()


def _phrase(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, [("content-type", "text/plain; charset=utf-8"), *headers], text.encode())


def _wrong_host() -> Response:
    return _plain(421, "this gateway answers to no such name; --origin adds it\n")
