"""Stable names of what went wrong: in `failed` frames, and when a connection is closed."""

from typing import Final

from triologue import errors
from triologue.errors import TriologueError

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

# What only a gateway says.
FORBIDDEN: Final = "forbidden"
"""The token lacks the right; `data.right` names it."""
NOT_FOUND: Final = "not_found"
"""There is no such turn or permission request, or not for this token."""
TOO_MANY: Final = "too_many"
"""More at once, or a second, than this connection or token may; `data.limit` names the bound."""
INTERNAL: Final = "internal"
"""A bug of the gateway; its log says more."""

# Codes with which a connection is closed (RFC 6455, section 7.4; those from 4000 are an application's own).
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
"""The gateway ends; come again."""
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
