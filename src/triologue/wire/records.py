"""Messages as a store keeps them: what an agent said as the line that it came in, and what triologue says beside it."""

from collections.abc import Callable
from typing import TypeAlias, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from triologue import errors
from triologue.errors import AgentStartError, TriologueError, TurnError, TurnTimeout
from triologue.messages import (
    CallbackFailed,
    CostWarning,
    Message,
    Outcome,
    OversizeMessage,
    PermissionAnswered,
    PermissionAsked,
    ResultMessage,
    SettingsChanged,
    StateChanged,
    TurnAccepted,
    TurnEnded,
    TurnStarted,
    UnknownMessage,
)
from triologue.messages.events import OutcomeKind
from triologue.messages.loose import as_text, encodable, encodable_text
from triologue.messages.message import plain
from triologue.wire.codec import decode_line, encode

# What is rebuilt of an error from its text. Others become the nearest of these that they are.
_REBUILT = (
    "AgentCrashed",
    "AgentError",
    "AgentNotFound",
    "AgentProtocolError",
    "AgentStartError",
    "CallerError",
    "InvalidOption",
    "LimitError",
    "ManagerClosed",
    "NotLoggedIn",
    "SessionFailed",
    "StoreError",
    "TriologueError",
    "TurnCancelled",
    "TurnError",
    "TurnFailed",
    "TurnInterrupted",
    "TurnLost",
    "TurnRejected",
)


class _Told(Struct, omit_defaults=True):
    """An error."""

    name: str
    text: str
    cause: "_Told | None" = None
    about: str = ""
    """Of a deadline that passed."""
    seconds: float | None = None
    """The same: how long it was."""
    retry: str = ""
    """The same: what the agent had told of the model's API."""
    is_final: bool = False
    """Of an `AgentStartError`."""


class _Ended(Struct, tag="#turn_ended", tag_field="type", omit_defaults=True):
    """A `TurnEnded`, whose outcome holds an exception."""

    kind: OutcomeKind
    result: Raw | UnsetType = UNSET
    error: _Told | None = None
    reason: str | None = None
    into: str | None = None
    cost_usd: float | None = None


_Ours: TypeAlias = (
    TurnAccepted
    | TurnStarted
    | StateChanged
    | SettingsChanged
    | PermissionAsked
    | PermissionAnswered
    | CallbackFailed
    | CostWarning
    | OversizeMessage
)
_OURS = frozenset(str(kind.__struct_config__.tag) for kind in (*get_args(_Ours), _Ended))
_encode = msgspec.json.Encoder(enc_hook=as_text).encode
_decode: Callable[[bytes], _Ours | _Ended] = msgspec.json.Decoder(_Ours | _Ended).decode


def kind_of(message: Message) -> str:
    """What it is: its `type` on the wire; `unknown` where that is none of ours, and says it were."""
    kind = message.kind if isinstance(message, UnknownMessage) else str(message.__struct_config__.tag)
    return "unknown" if kind in _OURS and message.line else kind


def encode_record(message: Message) -> bytes:
    """A complete message as one line without a newline."""
    if message.line:
        return message.line
    if isinstance(message, TurnEnded):
        return _encode(_ended(message.outcome))
    if kind_of(message) not in _OURS:
        return encode(message).removesuffix(b"\n")
    try:
        return _encode(message)
    except UnicodeEncodeError:  # a lone surrogate
        return _encode(encodable(plain(message)))


def decode_record(kind: str, line: bytes) -> Message:
    """The message of a line that `encode_record` made, whose `kind_of` was this."""
    if kind not in _OURS:
        return decode_line(line) or UnknownMessage(line=line)
    try:
        kept = _decode(line)
    except msgspec.DecodeError:
        return UnknownMessage(line=line)
    return TurnEnded(outcome=_outcome(kept)) if isinstance(kept, _Ended) else kept


def _ended(outcome: Outcome) -> _Ended:
    result = Raw(encode(outcome.result).rstrip()) if outcome.result is not None else UNSET
    error = _told(outcome.error) if outcome.error is not None else None
    reason = encodable_text(outcome.reason) if outcome.reason is not None else None
    return _Ended(outcome.kind, result, error, reason, outcome.into, outcome.cost_usd)


def _told(error: BaseException) -> _Told:
    cause = _told(error.__cause__) if error.__cause__ is not None else None
    if isinstance(error, TurnTimeout):
        about, retry = encodable_text(error.about), encodable_text(error.retry)
        return _Told("TurnTimeout", error.phase, cause, about, error.seconds, retry=retry)
    name = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _REBUILT), "TriologueError")
    is_final = isinstance(error, AgentStartError) and error.is_final
    return _Told(name, encodable_text(str(error)), cause, is_final=is_final)


def _outcome(kept: _Ended) -> Outcome:
    result = decode_line(bytes(kept.result)) if isinstance(kept.result, Raw) else None
    if not isinstance(result, ResultMessage):
        result = None
    else:
        result.cost_usd = kept.cost_usd
    error = _error(kept.error, result) if kept.error is not None else None
    return Outcome(
        kind=kept.kind, result=result, error=error, reason=kept.reason, into=kept.into, cost_usd=kept.cost_usd
    )


def _error(told: _Told, result: ResultMessage | None) -> TriologueError:
    error = _rebuilt(told, result)
    if told.cause is not None:
        error.__cause__ = _error(told.cause, None)
    return error


def _rebuilt(told: _Told, result: ResultMessage | None) -> TriologueError:
    if told.name == "TurnTimeout":
        return TurnTimeout(told.text, told.about, seconds=told.seconds, retry=told.retry)
    if told.name == "AgentStartError":
        return AgentStartError(told.text, is_final=told.is_final)
    kind: type[TriologueError] = getattr(errors, told.name, TriologueError) if told.name in _REBUILT else TriologueError
    return kind(told.text, result=result) if issubclass(kind, TurnError) else kind(told.text)
