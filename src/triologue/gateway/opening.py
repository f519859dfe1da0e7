"""Opening a gateway, and leaving it so that nobody is cut off in the middle of a word."""

import logging
import ssl
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, final

import trio

from triologue.errors import InvalidOption, brief
from triologue.gateway.hall import Hall
from triologue.gateway.limits import GatewayLimits, check_gateway_limits
from triologue.gateway.names import Names, can_be_host, is_loopback
from triologue.gateway.rights import TOKEN_META, Rights
from triologue.gateway.statistics import GatewayStatistics
from triologue.gateway.token_file import TokenFile
from triologue.gateway.tokens import Tokens
from triologue.loops import NoThread, open_frame
from triologue.manager import SessionManager
from triologue.manager.entrance import Entrance
from triologue.protocol.codes import CLOSE_GOING_AWAY

if TYPE_CHECKING:
    from triologue.gateway.front import Front

logger = logging.getLogger("triologue.gateway")

LEAVING_SECONDS: Final = 15.0
"""For connections to take what waits for them and to close, when a gateway ends; then they are cut off."""

GRACE: Final = 5.0
"""The same for prompts that are on their way in."""

_BACKLOG: Final = 1024


@final
class Gateway:
    """Lends a manager's sessions to other programs, as long as its block runs. Made by `open_gateway`."""

    def __init__(self, hall: Hall, url: str, port: int) -> None:
        self._hall = hall
        self._url = url
        self._port = port

    def __repr__(self) -> str:
        return f"<Gateway {self._url}: {len(self._hall.guests)} connections>"

    @property
    def url(self) -> str:
        """What clients are given: `ws://` or `wss://`, host and port."""
        return self._url

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def statistics(self) -> GatewayStatistics:
        """A snapshot."""
        return self._hall.statistics()


@asynccontextmanager
async def open_gateway(
    manager: SessionManager,
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    tokens: Tokens | str | Path | None = None,
    tls: ssl.SSLContext | None = None,
    origins: Collection[str] = (),
    insecure: bool = False,
    limits: GatewayLimits | None = None,
) -> AsyncGenerator[Gateway]:
    """Lend the sessions of a manager to other programs, over WebSocket, and show them on a page.

    Work goes on when nobody is connected. Leaving the block takes nobody in any more, sends what waits, and closes all
    connections with 1001; sessions and their turns stay with the manager. Where there is a store, call
    `manager.recover()` inside the block: then turns whose token was revoked meanwhile do not run.

    Args:
        manager: whose sessions.
        host: where to listen: an address or a name of this machine.
        port: the same; 0: any that is free.
        tokens: who may come in, and what they may do: a `TokenFile`, its path, or your own `Tokens`. None: whoever can
            connect may do everything, so that is for loopback only.
        tls: for `wss://` and `https://`; an `ssl.SSLContext` with a certificate.
        origins: of other pages that may open a WebSocket, as in `https://chat.example.org`; the gateway's own page may.
        insecure: listen on an address that others can reach, without TLS or without tokens.
        limits: how much there may be.

    Raises:
        InvalidOption: an argument that cannot be; an address that others can reach, without TLS and tokens; the manager has
            a gateway already; the extra `gateway` is not installed.
        OSError: it cannot listen there.
        StoreError: the file of tokens cannot be read.
    """
    _check_installed()
    limits = limits if limits is not None else GatewayLimits()
    _check(manager, host, port, tls, tokens)
    check_gateway_limits(limits)
    if not insecure and not is_loopback(host) and (tls is None or tokens is None):
        raise InvalidOption(
            f"host={host!r} can be reached by others, so give it tls=... (--tls-cert) and tokens=... (--tokens), or listen on 127.0.0.1; "
            "insecure=True (--insecure) means that whoever can connect may read, and perhaps do, everything"
        )
    names = Names(host, origins, is_encrypted=tls is not None)
    known = TokenFile(tokens) if isinstance(tokens, str | Path) else tokens
    rights = Rights(known, manager, prompts_per_second=limits.prompts_per_second)
    with manager.guarding(TOKEN_META, rights.may_run):
        listeners = await _listen(host, port)
        port = listeners[0].socket.getsockname()[1]
        async with _open(manager, limits, rights, Door(names, known, listeners, tls)) as hall:
            shown = f"[{host}]" if ":" in host else host
            yield Gateway(hall, f"{'ws' if tls is None else 'wss'}://{shown}:{port}", port)


class Door(NamedTuple):
    """Where connections come in."""

    names: Names
    tokens: Tokens | None
    sockets: list[trio.SocketListener]
    tls: ssl.SSLContext | None

    def listeners(self) -> list[trio.abc.Listener[trio.abc.Stream]]:
        """Those that give streams that can be read."""
        entrances = [Entrance(each, logger, "clients of the gateway") for each in self.sockets]
        if self.tls is None:
            return [*entrances]
        return [trio.SSLListener(each, self.tls, https_compatible=True) for each in entrances]


@asynccontextmanager
async def _open(manager: SessionManager, limits: GatewayLimits, rights: Rights, door: Door) -> AsyncGenerator[Hall]:
    leave = trio.Event()
    ours, theirs = trio.open_memory_channel[Hall](1)
    async with open_frame() as frame:
        # Not by `start`, which would wait for what is shielded, for ever, where it is cancelled or Ctrl-C comes.
        frame.start_soon(_keep, manager, limits, rights, door, leave, ours)
        try:
            yield await theirs.receive()
        finally:
            leave.set()


async def _keep(
    manager: SessionManager,
    limits: GatewayLimits,
    rights: Rights,
    door: Door,
    leave: trio.Event,
    opened: trio.MemorySendChannel[Hall],
) -> None:
    """Serve until the block is left, apart from what cancels the block: clients are to hear of the end in any case."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as work:  # rooms, and prompts whose clients have left
            hall = Hall(manager, limits, rights, work)
            work.start_soon(rights.watch)
            try:
                async with trio.open_nursery() as connections:
                    async with _taking(door, hall, connections):
                        opened.send_nowait(hall)
                        await leave.wait()
                    hall.end(CLOSE_GOING_AWAY, "the gateway ends; come again")
                    connections.cancel_scope.deadline = trio.current_time() + LEAVING_SECONDS
            finally:
                hall.hurry(GRACE)
            work.cancel_scope.cancel()


@asynccontextmanager
async def _taking(door: Door, hall: Hall, connections: trio.Nursery) -> AsyncGenerator[None]:
    """In this block connections are taken in."""
    take = _front(hall, door).take
    async with trio.open_nursery() as taking:
        await taking.start(partial(trio.serve_listeners, take, door.listeners(), handler_nursery=connections))
        yield
        taking.cancel_scope.cancel()
        for socket in door.sockets:
            socket.socket.close()


def _front(hall: Hall, door: Door) -> "Front":
    """Imports what the extra `gateway` brings."""
    from triologue.gateway.front import Front
    from triologue.gateway.site import Site

    return Front(hall, door.names, Site(hall.manager, hall.statistics, door.tokens).answer)


def _check_installed() -> None:
    """Refuse to begin without the libraries that this needs."""
    missing = [name for name in ("h11", "prometheus_client", "trio_websocket") if find_spec(name) is None]
    if missing:
        raise InvalidOption(f"a gateway needs the libraries {', '.join(missing)}: pip install 'triologue[gateway]'")


def _check(manager: object, host: object, port: object, tls: object, tokens: object) -> None:
    if not isinstance(manager, SessionManager):
        raise InvalidOption(f"manager={brief(manager)} is no manager; it is what `open_manager` gives")
    if not isinstance(host, str) or not can_be_host(host):
        raise _no_host(host)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 1 << 16:
        raise InvalidOption(f"port={brief(port)} is no port, which is 0 to 65535")
    if tls is not None and not isinstance(tls, ssl.SSLContext):
        raise InvalidOption(f"tls={brief(tls)} is no ssl.SSLContext")
    is_named = isinstance(tokens, str | Path) and tokens != ""
    if tokens is not None and not is_named and not all(hasattr(tokens, name) for name in ("check", "get", "watch")):
        raise InvalidOption(
            "tokens are the path of a token file or an object with check(), get() and watch(); see Tokens"
        )


def _no_host(host: object) -> InvalidOption:
    return InvalidOption(f"host={brief(host)} is no address and no name, as 127.0.0.1, ::1 or localhost")


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except UnicodeError as error:  # a name with an empty or too long part, or a sign that names do not have
        raise _no_host(host) from error
    except RuntimeError as error:  # names are looked up in a thread
        raise NoThread from error
