"""What a session has to know of its agent's dialect: a small part of what an agent is, so that it knows none."""

from collections.abc import Mapping
from typing import Any, Protocol

from triologue.errors import UnsupportedRequest
from triologue.messages import CanUseTool, PermissionResult, Request, subtype_of

UNSUPPORTED = "unsupported_request"
"""The error code of a control request that the other end does not know."""


class Peer(Protocol):
    """The agent, as its session sees it. Pure."""

    @property
    def name(self) -> str:
        """For errors."""
        ...

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        """The control requests that it answers, each with the capability that it must announce for it, or None."""
        ...

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        """The answer to a permission request, as it reads it."""
        ...


def unsupported(peer: Peer, request: Request, detail: str, version: str | None) -> UnsupportedRequest:
    """The error of a request that it cannot do."""
    capability = peer.requests.get(type(request))
    return UnsupportedRequest(peer.name, subtype_of(request), detail, capability=capability, version=version)
