"""The control dialogue of one connection, for either end; pure.

Each end asks (its own request ids) and answers (the other's). A request is answered once. When the other end is gone,
everything that was asked fails at once, and nothing more is sent.
"""

from typing import Any, TypeAlias, final

from msgspec import Struct

from triologue.messages import (
    AnyRequest,
    ControlCancel,
    ControlError,
    ControlFrame,
    ControlRequest,
    ControlResponse,
    ControlSuccess,
    KeepAlive,
    Request,
)


class Answered(Struct, frozen=True):
    """Our request was answered."""

    request_id: str
    response: dict[str, Any]


class Refused(Struct, frozen=True):
    """Our request was refused or failed over there."""

    request_id: str
    error: str
    code: str | None = None


class Asked(Struct, frozen=True):
    """The other end asks; answer with `answer` or `refuse`."""

    request_id: str
    request: AnyRequest


class Withdrawn(Struct, frozen=True):
    """The other end no longer wants an answer."""

    request_id: str


class Ignored(Struct, frozen=True):
    """A frame without effect: an answer too late, a request id in use, a keep-alive."""

    why: str


Heard: TypeAlias = Answered | Refused | Asked | Withdrawn | Ignored


@final
class Dialogue:
    """Who asked what, in both directions, on one connection.

    Args:
        prefix: begins the ids of our own requests; they need to be unique only among ours.
    """

    __slots__ = ("_closed", "_count", "_ours", "_prefix", "_theirs")

    def __init__(self, prefix: str = "req_") -> None:
        self._prefix = prefix
        self._count = 0
        self._ours: dict[str, None] = {}  # in the order in which they were asked
        self._theirs: dict[str, None] = {}  # no set, which takes four times as much while there are none
        self._closed = False

    @property
    def asked(self) -> frozenset[str]:
        """Our requests that wait for an answer."""
        return frozenset(self._ours)

    @property
    def owed(self) -> frozenset[str]:
        """Their requests that wait for ours."""
        return frozenset(self._theirs)

    def ask(self, request: Request) -> ControlRequest:
        """The frame of a new request of ours.

        Raises:
            ConnectionError: the dialogue was closed.
        """
        if self._closed:
            raise ConnectionError("the other end of the control dialogue is gone")
        self._count += 1
        request_id = f"{self._prefix}{self._count}"
        self._ours[request_id] = None
        return ControlRequest(request_id=request_id, request=request)  # type: ignore[arg-type]  # every Request is one of AnyRequest

    def withdraw(self, request_id: str) -> ControlCancel | None:
        """We no longer want this answer; None when it has come, or the other end is gone."""
        if request_id not in self._ours:
            return None
        _strike(self._ours, request_id)
        return ControlCancel(request_id=request_id)

    def answer(self, request_id: str, response: dict[str, Any] | None = None) -> ControlResponse | None:
        """The frame that answers a request of theirs; None when it was answered, withdrawn, or they are gone."""
        if request_id not in self._theirs:
            return None
        _strike(self._theirs, request_id)
        return ControlResponse(response=ControlSuccess(request_id=request_id, response=response))

    def refuse(self, request_id: str, error: str, *, code: str | None = None) -> ControlResponse | None:
        """The frame that refuses a request of theirs; None as for `answer`."""
        if request_id not in self._theirs:
            return None
        _strike(self._theirs, request_id)
        # Claude Code reads the one name of the code, Qoder the other.
        return ControlResponse(response=ControlError(request_id=request_id, error=error, error_code=code, code=code))

    def forget(self, request_id: str) -> None:
        """A request of theirs needs no answer any more: what it was for was stopped."""
        self._theirs.pop(request_id, None)

    def hear(self, frame: ControlFrame) -> Heard:
        """Take in a control frame of theirs."""
        match frame:
            case ControlResponse(response=response):
                return self._settle(response)
            case ControlRequest(request_id=request_id, request=request):
                if self._closed:
                    return Ignored("closed")
                if request_id in self._theirs:
                    return Ignored(f"request id {request_id!r} is in use")
                self._theirs[request_id] = None
                return Asked(request_id, request)
            case ControlCancel(request_id=request_id):
                if request_id not in self._theirs:
                    return Ignored(f"nothing to cancel under {request_id!r}")
                _strike(self._theirs, request_id)
                return Withdrawn(request_id)
            case KeepAlive():
                return Ignored("keep-alive")

    def close(self) -> list[str]:
        """The other end is gone: the ids of our requests that will never be answered, in the order of asking."""
        lost = list(self._ours)
        self._ours.clear()
        self._theirs.clear()
        self._closed = True
        return lost

    def _settle(self, response: ControlSuccess | ControlError) -> Heard:
        if response.request_id not in self._ours:
            return Ignored(f"an answer to {response.request_id!r}, which waits for none")
        _strike(self._ours, response.request_id)
        if isinstance(response, ControlSuccess):
            return Answered(response.request_id, response.response or {})
        code = response.error_code or (str(response.code) if response.code is not None else None)
        return Refused(response.request_id, response.error, code)


def _strike(ids: dict[str, None], request_id: str) -> None:
    """Take one off. The last one takes the room for all of them along: most connections ask each other once."""
    del ids[request_id]
    if not ids:
        ids.clear()
