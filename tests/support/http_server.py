"""A small HTTP/1.1 server on trio streams: h11 does the protocol, a handler answers one request at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import h11
import trio

MAX_BODY_BYTES = 128 * 1024 * 1024
READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class HttpRequest:
    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@final
class Exchange:
    """One request, and the reply that a handler gives to it."""

    def __init__(self, request: HttpRequest, connection: h11.Connection, stream: trio.SocketStream) -> None:
        self.request = request
        self._connection = connection
        self._stream = stream
        self.is_started = False
        self.is_dropped = False

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Sends the status line and the headers, once."""
        self.is_started = True
        await self._send(h11.Response(status_code=status, headers=list(headers.items())))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        await self._send(h11.EndOfMessage())

    async def respond(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """A whole reply at once."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        if body and self.request.method != "HEAD":
            await self.send(body)
        await self.finish()

    def drop(self) -> None:
        """Asks for the connection to be cut once the handler has returned, whatever was sent."""
        self.is_dropped = True

    async def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data:
            await self._stream.send_all(data)


Handler: TypeAlias = Callable[[Exchange], Awaitable[None]]


async def serve_connection(stream: trio.SocketStream, handler: Handler) -> None:
    """Answers the requests of one client until it or the handler ends the connection."""
    connection = h11.Connection(h11.SERVER)
    async with stream:
        try:
            while (request := await _read_request(connection, stream)) is not None:
                exchange = Exchange(request, connection, stream)
                await _answer(exchange, handler, connection, stream)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await _refuse(connection, stream, error)
        except trio.BrokenResourceError:
            return


async def _read_request(connection: h11.Connection, stream: trio.SocketStream) -> HttpRequest | None:
    """The next request with its whole body; None when the client has left."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(await stream.receive_some(READ_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("body too long", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, bytes(body))
        else:
            return None


def _request(head: h11.Request, body: bytes) -> HttpRequest:
    return HttpRequest(
        method=head.method.decode(),
        path=head.target.decode().partition("?")[0],
        headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )


async def _answer(exchange: Exchange, handler: Handler, connection: h11.Connection, stream: trio.SocketStream) -> None:
    """Runs the handler, and cancels it when the client leaves before the reply is complete."""

    async def watch_client() -> None:
        try:
            data = await stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError:
            data = b""
        if data:
            # A client that sends ahead is not watched any more: its bytes have no bound here.
            connection.receive_data(data)
            return
        nursery.cancel_scope.cancel()

    async def run_handler() -> None:
        try:
            await handler(exchange)
        except trio.BrokenResourceError:
            pass
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_client)
        nursery.start_soon(run_handler)


async def _refuse(connection: h11.Connection, stream: trio.SocketStream, error: h11.RemoteProtocolError) -> None:
    if connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return
    head = h11.Response(status_code=error.error_status_hint, headers=[("connection", "close"), ("content-length", "0")])
    data = (connection.send(head) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return
