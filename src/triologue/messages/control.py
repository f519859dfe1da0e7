"""The frames of the control dialogue: requests that either end makes of the other, and what becomes of them."""

from typing import Any, TypeAlias

from msgspec import Struct

from triologue.messages.message import Message
from triologue.messages.requests import AnyRequest


class ControlRequest(Message, tag="control_request", kw_only=True):
    """A request of either end; its sender chose `request_id`."""

    request_id: str
    request: AnyRequest


class ControlSuccess(Struct, tag="success", tag_field="subtype", kw_only=True, gc=False, omit_defaults=True):
    """Done; a missing `response` means there is nothing to tell."""

    request_id: str
    response: dict[str, Any] | None = None
    pending_permission_requests: list[Any] | None = None
    pending_user_dialog_requests: list[Any] | None = None


class ControlError(Struct, tag="error", tag_field="subtype", kw_only=True, gc=False, omit_defaults=True):
    """Refused or failed."""

    request_id: str
    error: str
    error_code: str | None = None
    code: Any = None
    retryable: bool | None = None
    details: Any = None


class ControlResponse(Message, tag="control_response", kw_only=True):
    """The answer to a `ControlRequest`; here the id is inside."""

    response: ControlSuccess | ControlError


class ControlCancel(Message, tag="control_cancel_request", kw_only=True):
    """The sender withdraws its request; there is no reply, and a late answer is ignored."""

    request_id: str


class KeepAlive(Message, tag="keep_alive", kw_only=True):
    """Nothing; it keeps the line open."""


ControlFrame: TypeAlias = ControlRequest | ControlResponse | ControlCancel | KeepAlive
