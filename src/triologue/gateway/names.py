"""Which names a gateway answers to, and which pages may open a WebSocket to it."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final, final
from urllib.parse import urlsplit

from triologue.errors import InvalidOption, brief
from triologue.gateway.http import Head

_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def can_be_host(text: str) -> bool:
    """Can it be an address, or a name? A port, a scheme and brackets are of neither."""
    return _is_address(text) or (bool(text) and not set(text) & set(":/[] "))


@final
class Names:
    """Refuses what a foreign page had a browser ask for.

    Args:
        host: where the gateway listens.
        origins: of other pages that may open a WebSocket, as in `https://chat.example.org`.
        is_encrypted: browsers check the name against the certificate.

    Raises:
        InvalidOption: an origin that is none.
    """

    def __init__(self, host: str, origins: Collection[str], *, is_encrypted: bool) -> None:
        self._origins = frozenset(_checked_origin(origin) for origin in origins)
        named = {host.lower()} | {urlsplit(origin).hostname or "" for origin in self._origins}
        self._hosts = {"localhost"} | {name.rstrip(".") for name in named}
        self._is_encrypted = is_encrypted

    def knows_host(self, head: Head) -> bool:
        """Is this gateway meant, and not a name that somebody has pointed at it (DNS rebinding)?

        An address cannot be pointed elsewhere, and a certificate is of one name.
        """
        name = _host_of(head.header("host") or "")
        return self._is_encrypted or name in self._hosts or _is_address(name)

    def admits_origin(self, head: Head) -> bool:
        """Is it no page that asks, or one that may?"""
        origin = head.header("origin")
        host = (head.header("host") or "").lower()
        return origin is None or origin.lower() in {f"http://{host}", f"https://{host}", *self._origins}


def _checked_origin(origin: str) -> str:
    checked = _as_browsers_say_it(origin) if isinstance(origin, str) else None
    if checked is None:
        raise InvalidOption(
            f"the origin {brief(origin)} is none; it is a scheme and a host, as https://chat.example.org"
        )
    return checked


def _as_browsers_say_it(origin: str) -> str | None:
    """In lower case, and without the port that goes without saying; None: it is no origin."""
    try:
        parts = urlsplit(origin)
        is_address = parts.hostname and parts.username is None and parts.port != 0 and origin.isascii()  # as xn--...
    except ValueError:  # half an IPv6 address, or no port
        return None
    usual, said = _USUAL_PORTS.get(parts.scheme), f"{parts.scheme}://{parts.netloc}".lower()
    if not is_address or usual is None or origin.lower() != said:
        return None
    return said.removesuffix(usual)


def _host_of(netloc: str) -> str:
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
