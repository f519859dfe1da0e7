"""Stable names of what went wrong: in `failed` frames, and when a connection is closed."""

from typing import Any, Final

import msgspec
import trio

from triologue import errors
from triologue.errors import SessionFailed, TriologueError, TurnError
from triologue.messages import ResultMessage
from triologue.messages.loose import encodable_text
from triologue.protocol.told import Failed
from triologue.wire import decode_line

# The nearest of these that an error is gives its code; each comes back as its class at the other end.
_KINDS: Final[dict[str, type[TriologueError]]] = {
    "error": errors.TriologueError,
    "caller_error": errors.CallerError,
    "invalid": errors.InvalidOption,
    "unsupported_option": errors.UnsupportedOption,
    "unsupported_request": errors.UnsupportedRequest,
    "already_answered": errors.AlreadyAnswered,
    "would_deadlock": errors.WouldDeadlock,
    "session_exists": errors.SessionExists,
    "session_id_in_use": errors.SessionIdInUse,
    "forbidden": errors.Forbidden,
    "not_found": errors.NotFound,
    "closed": errors.ManagerClosed,
    "agent_error": errors.AgentError,
    "agent_not_found": errors.AgentNotFound,
    "agent_start_error": errors.AgentStartError,
    "not_logged_in": errors.NotLoggedIn,
    "agent_crashed": errors.AgentCrashed,
    "model_error": errors.ModelError,
    "agent_protocol_error": errors.AgentProtocolError,
    "turn_error": errors.TurnError,
    "turn_failed": errors.TurnFailed,
    "turn_interrupted": errors.TurnInterrupted,
    "turn_cancelled": errors.TurnCancelled,
    "turn_lost": errors.TurnLost,
    "limit": errors.LimitError,
    "mailbox_full": errors.MailboxFull,
    "turn_rejected": errors.TurnRejected,
    "budget_exceeded": errors.BudgetExceeded,
    "session_failed": errors.SessionFailed,
    "store_error": errors.StoreError,
    "session_not_found": errors.SessionNotFound,
    "session_elsewhere": errors.SessionElsewhere,
}
_CODES: Final = {kind: code for code, kind in _KINDS.items()}

# What travels of an error beside its text. A value that was refused may be a secret, and is not among them.
_ATTRIBUTES: Final[dict[type[TriologueError], tuple[str, ...]]] = {
    errors.UnsupportedOption: ("agent", "option"),
    errors.UnsupportedRequest: ("agent", "request", "capability", "version"),
    errors.AlreadyAnswered: ("by", "answer"),
    errors.AgentStartError: ("is_final",),
    errors.AgentCrashed: ("exit_code",),
    errors.ModelError: ("status",),
    errors.AgentProtocolError: ("code",),
    errors.MailboxFull: ("key", "waiting", "limit"),
    errors.TurnRejected: ("reason", "key"),
    errors.BudgetExceeded: ("reason", "key", "cost_usd", "limit_usd"),
    errors.SessionFailed: ("reason",),
    errors.SessionNotFound: ("session_id",),
    errors.SessionElsewhere: ("owner", "until"),
}
# What the rest of them is at the other end.
_BLANK: Final[dict[type[TriologueError], dict[str, Any]]] = {
    errors.UnsupportedOption: {"value": None},
    errors.AgentCrashed: {"stderr_tail": ""},
    errors.SessionNotFound: {"cwd": None, "config_dir": None},
}

# What only a gateway says.
FORBIDDEN: Final = "forbidden"
"""The token lacks the right; `data.right` names it."""
NOT_FOUND: Final = "not_found"
"""There is no such session, turn or permission request, or not for this token."""
TOO_MANY: Final = "too_many"
"""More at once, or a second, than this connection or token may; `data.limit` names the bound."""
INTERNAL: Final = "internal"
"""A bug of the gateway; its log says more."""


class GatewayBroke(TriologueError):
    """A bug of the gateway, of which a client hears no more than that: `internal`."""


# What these are at the other end, where no class is their own.
_NEAREST: Final[dict[str, type[TriologueError]]] = {
    TOO_MANY: errors.LimitError,
    INTERNAL: errors.TriologueError,
}

# Codes with which a connection is closed (RFC 6455, section 7.4; those from 4000 are an application's own).
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
"""The gateway ends; come again."""
CLOSE_TOO_LONG: Final = 1009
"""A message is longer than the side that closes takes."""
CLOSE_BAD_FRAME: Final = 4400
"""A frame that is none of the protocol; the reason says what."""
CLOSE_UNAUTHORIZED: Final = 4401
"""No token, a wrong one, or one that is revoked or expired."""
CLOSE_TOO_LATE: Final = 4408
"""No `hello` in time."""
CLOSE_TOO_MANY: Final = 4429
"""Over a limit of connections, or of frames that were refused."""
CLOSE_TOO_SLOW: Final = 4430
"""What it was sent was not read for too long. Attach again after the last `seq` that came."""


def code_of(error: TriologueError) -> str:
    """The stable name of an error: its own, or that of the nearest class that has one."""
    if isinstance(error, GatewayBroke):
        return INTERNAL
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def failed(re: int, error: TriologueError, *, is_draining: bool = False) -> Failed:
    """The reply that tells of an error; with `is_draining`, of a manager that is about to end."""
    kind = _KINDS.get(code_of(error), TriologueError)
    data = {name: getattr(error, name) for name in _ATTRIBUTES.get(kind, ())}
    if isinstance(error, SessionFailed) and error.retry_at is not None:  # two machines have no clock in common
        data["retry_in"] = max(0.0, error.retry_at - trio.current_time())
    if isinstance(error, TurnError) and error.result is not None:
        data["result"] = error.result.data
    if isinstance(error, errors.ManagerClosed) and is_draining:
        data["is_draining"] = True
    return Failed(re=re, code=code_of(error), message=encodable_text(str(error)), data=data)


def error_of(told: Failed) -> TriologueError:
    """The error that a reply tells of; of an unknown code, a `TriologueError`."""
    kind = _KINDS.get(told.code) or _NEAREST.get(told.code, TriologueError)
    # Not by its own `__init__`, which would make another text of what is a text already.
    error = kind.__new__(kind, told.message)
    known = {name: told.data.get(name) for name in _ATTRIBUTES.get(kind, ())}
    for name, value in {**_BLANK.get(kind, {}), **known}.items():
        setattr(error, name, value)
    if isinstance(error, SessionFailed):
        retry_in = told.data.get("retry_in")
        error.retry_at = trio.current_time() + retry_in if isinstance(retry_in, int | float) else None
    if isinstance(error, TurnError):
        error.result = _result(told.data.get("result"))
    return error


def _result(told: object) -> ResultMessage | None:
    message = decode_line(msgspec.json.encode(told)) if isinstance(told, dict) else None
    return message if isinstance(message, ResultMessage) else None
