"""What a session has to know of its agent's dialect; data and one pure function, so that it knows no agent."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from triologue.errors import UnsupportedRequest
from triologue.messages import CanUseTool, PermissionResult, Request, UnknownRequest

UNSUPPORTED = "unsupported_request"
"""The error code of a control request that the other end does not know."""


class Peer(Struct, frozen=True):
    """The agent, as its session sees it."""

    name: str
    requests: Mapping[type[Request], str | None]
    """The control requests that it answers, each with the capability that it must announce for it, or None."""
    permission_reply: Callable[[CanUseTool, PermissionResult], dict[str, Any]]
    """The answer to a permission request, as it reads it."""

    def unsupported(self, request: Request, detail: str, version: str | None) -> UnsupportedRequest:
        """The error of a request that it cannot do."""
        capability = self.requests.get(type(request))
        return UnsupportedRequest(self.name, subtype_of(request), detail, capability=capability, version=version)


def subtype_of(request: Request) -> str:
    """What the request is called on the wire."""
    return request.subtype if isinstance(request, UnknownRequest) else str(type(request).__struct_config__.tag)
