"""Opening the sessions of a gateway."""

import ipaddress
import math
import ssl
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import trio

from triologue.errors import InvalidOption, ManagerClosed, brief
from triologue.loops import open_frame, refuse_outside
from triologue.messages.loose import is_text

if TYPE_CHECKING:
    from triologue.remote.link import Carrier, Link
    from triologue.remote.sessions import RemoteManager

_MAX_FRAME_BYTES: Final = 128 * 1024 * 1024
"""Of what the gateway sends: one line of an agent may have 64 MiB, and its bytes may be escaped."""
_SCHEMES: Final = ("ws", "wss")


@asynccontextmanager
async def open_remote(
    url: str,
    token: str | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    insecure: bool = False,
    client: str = "",
    give_up: float = math.inf,
    held_bytes: int = 4 * 1024 * 1024,
    max_waiting: int = 1_000,
) -> AsyncGenerator["RemoteManager"]:
    """Open the sessions of a gateway, which `triologue serve` or `open_gateway` runs, here or on another machine.

    The first connection must succeed. When one breaks later another is made, at once, and then after longer and longer
    pauses of up to 30 seconds. What is read goes on where it was, prompts without a receipt are sent again under their
    ids, and what is asked meanwhile waits. Leaving the block leaves the sessions and their turns alone,
    but for turns that are withdrawn: it waits up to 2 seconds until the gateway knows of these, whoever is cancelled,
    and then half a second at most for the close.

    Args:
        url: `ws://host:port` or `wss://host:port`, with the path in front of `/v1` if there is one.
        token: who this is, where the gateway asks for that.
        tls: which certificates count, with `wss`; None: those that the system trusts.
        insecure: send the token to another machine without TLS, where anyone on the way can read it.
        client: this program's name, for the gateway's log.
        give_up: seconds without a connection; then it is over, and whoever waits gets `GatewayLost`.
        held_bytes: what a `RemoteTurn`, or a subscriber that is behind, may keep here, in bytes of lines.
        max_waiting: requests that may wait for their replies; one more raises `LimitError`.

    Raises:
        InvalidOption: an argument that cannot be; a token that would travel in clear; the extra `gateway` is not
            installed.
        GatewayLost: nobody answers there.
        GatewayRefused: the gateway does not want this client, or there is no gateway.
        RuntimeError: this is not called inside `trio.run`.
    """
    refuse_outside()
    if find_spec("trio_websocket") is None:
        raise InvalidOption("open_remote needs the library trio_websocket: pip install 'triologue[gateway]'")
    parts = _checked(url, token, tls, insecure=insecure)
    if not isinstance(client, str) or not is_text(client):
        raise InvalidOption(f"client={brief(client)} is no text")
    _check_numbers(give_up=give_up, held_bytes=held_bytes, max_waiting=max_waiting)
    from triologue.protocol.carrier import connect
    from triologue.remote.link import Link
    from triologue.remote.machine import Machine

    def opened() -> "AbstractAsyncContextManager[Carrier]":
        return connect(url, tls=tls, max_frame_bytes=_MAX_FRAME_BYTES)

    machine = Machine(token, client, held_bytes=held_bytes, max_waiting=max_waiting)
    async with keep_open(Link(machine, opened, f"{parts.scheme}://{parts.netloc}{parts.path}", give_up)) as manager:
        yield manager


@asynccontextmanager
async def keep_open(link: "Link") -> AsyncGenerator["RemoteManager"]:
    """The sessions behind a link, which stays connected in this block.

    Raises:
        GatewayError: the first attempt to connect has failed.
    """
    from triologue.remote.sessions import RemoteManager

    connecting = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with connecting:
            await link.run(task_status=task_status)

    async with open_frame() as frame:
        try:
            await frame.start(run)
            connecting.shield = True  # what cancels the block withdraws turns, and the gateway is to hear of that
            yield RemoteManager(link)
        finally:
            try:
                await link.flush()
            finally:  # a second Ctrl-C ends the wait, and not this
                link.machine.fail(
                    ManagerClosed("the block of open_remote was left; the session and its turns go on over there")
                )
                connecting.cancel()


def _checked(url: object, token: object, tls: object, *, insecure: object) -> SplitResult:
    """The parts of the gateway's address.

    Raises:
        InvalidOption: it is none, or the token would travel to it in clear.
    """
    parts = _parts_of(url)
    if token is not None and (not isinstance(token, str) or not token or not is_text(token)):
        raise InvalidOption(f"token is no text that can be sent; it was a {type(token).__name__}")  # never its value
    if tls is not None and (not isinstance(tls, ssl.SSLContext) or parts.scheme != "wss"):
        raise InvalidOption(f"tls is an ssl.SSLContext for a wss:// address; it was {brief(tls)}, for {brief(url)}")
    if token is not None and parts.scheme == "ws" and not insecure and not _is_loopback(parts.hostname or ""):
        raise InvalidOption(
            f"the token would travel to {parts.netloc!r} in clear, for anyone on the way to read; use wss://, or say "
            "insecure=True"
        )
    return parts


def _parts_of(url: object) -> SplitResult:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        is_address = parts is not None and parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        parts, is_address = None, False
    if parts is None or not is_address:
        raise InvalidOption(f"url={brief(url)} is no ws://host:port or wss://host:port")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidOption(
            f"url={brief(f'{parts.scheme}://{parts.hostname}...')} has a user, a query or a fragment; the token is an "
            "argument of its own, because addresses end up in logs"
        )
    if parts.path.rstrip("/").endswith("/v1"):
        raise InvalidOption(f"url={brief(url)} ends with /v1, which is added to it; leave that out")
    if not _can_be_sent(parts):
        raise InvalidOption(
            f"url={brief(url)} cannot be asked for: write what is not ASCII, and spaces, as xn--... in the host and as "
            "%... in the path; a part of a host's name has 1 to 63 characters"
        )
    return parts


def _can_be_sent(parts: SplitResult) -> bool:
    try:
        (parts.hostname or "").encode("idna")  # as the resolver does, whose error would be no triologue's
    except UnicodeError:
        return False
    return all("!" <= character <= "~" for character in parts.netloc + parts.path)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_numbers(**numbers: object) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
            raise InvalidOption(f"{name}={brief(number)} is no number greater than 0")
