"""Qoder's login, as far as a program needs it that has no account: what a host hands over is taken as Qoder does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final
from uuid import uuid4

from msgspec import Struct

from triologue.messages import (
    ControlError,
    ControlRequest,
    ControlResponse,
    FetchJobToken,
    FetchServiceAccountToken,
    Message,
    ResultMessage,
)

NO_ACCOUNT = 41
"""What Qoder ends with when nobody is logged in."""

PAYLOAD_VARIABLE = "QODER_SDK_AUTH_PAYLOAD_FILE"
LOGIN_VARIABLE = "TRIOLOGUE_LOGIN"

_MISSING = 'No qodercli login found. Run "qodercli login" first.'
_SERVICE_TOKEN = "sat-"


class Login(Struct, frozen=True):
    """What a host says about the account."""

    refusal: ResultMessage | None = None
    """Said in place of everything else."""
    asks: FetchJobToken | FetchServiceAccountToken | None = None
    """What the host is asked for before anything else is heard."""


def read_login(dialect: str, environment: Mapping[str, str]) -> Login:
    """Look at what the host hands over.

    A login is never needed. With `$TRIOLOGUE_LOGIN=missing` it is missed, so that a host can be tested for that; and a
    payload of an SDK that cannot be one is refused. As with Qoder, the payload's file is gone once it was read.
    """
    if dialect != "qoder":
        return Login()
    payload: dict[str, Any] | None = {"type": ""}
    if path := environment.get(PAYLOAD_VARIABLE):
        payload = _read_payload(Path(path))
    if payload is None:
        return Login(refusal("The auth payload of the SDK is invalid.", "auth_payload_invalid"))
    if environment.get(LOGIN_VARIABLE) == "missing":
        return Login(refusal(_MISSING, "auth_required"))
    if payload.get("jobTokenProvider") == "host":
        return Login(asks=FetchJobToken(reason="initial"))
    if payload.get("serviceAccountTokenProvider") == "host":
        return Login(asks=FetchServiceAccountToken(reason="initial"))
    return Login()


def _read_payload(path: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(path.read_bytes())
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) and isinstance(read.get("type"), str) else None


def refusal(text: str, reason: str | None = None) -> ResultMessage:
    """The result of a session that did not begin."""
    return ResultMessage(
        subtype="error_during_execution",
        duration_ms=0,
        duration_api_ms=0,
        is_error=True,
        num_turns=0,
        session_id=str(uuid4()),
        errors=[text],
        terminal_reason=reason,
        total_cost_usd=0,
        uuid=str(uuid4()),
    )


@final
class TokenGate:
    """Holds what the host says until it has given the token that it was asked for."""

    def __init__(self, asks: FetchJobToken | FetchServiceAccountToken | None) -> None:
        self.request = ControlRequest(request_id=str(uuid4()), request=asks) if asks is not None else None
        """What is asked, until it is answered."""
        self.problem: str | None = None
        """Why the answer is none."""
        self._held: list[Message] = []

    def pass_on(self, messages: list[Message]) -> list[Message]:
        """What may be heard of all that was said so far."""
        asked = self.request
        if asked is None:
            return messages
        self._held += messages
        for message in messages:
            if isinstance(message, ControlResponse) and message.response.request_id == asked.request_id:
                self.problem = _find_problem(asked, message)
                self.request = None
                return [each for each in self._held if each is not message]
        return []


def _find_problem(asked: ControlRequest, answer: ControlResponse) -> str | None:
    response = answer.response
    if isinstance(response, ControlError):
        return f"The host gave no token: {response.error}"
    token = (response.response or {}).get("token")
    if not isinstance(token, str) or not token:
        return "The host gave no token."
    if isinstance(asked.request, FetchServiceAccountToken) and not token.startswith(_SERVICE_TOKEN):
        return f"The host's service-account token does not begin with {_SERVICE_TOKEN!r}."
    return None
