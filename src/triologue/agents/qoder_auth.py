"""How the Qoder CLI logs in, under the vendor's names. No text and no `repr` of these shows a secret."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from triologue.errors import AgentStartError, InvalidOption, NotLoggedIn, brief
from triologue.ports import Account

ACCESS_TOKEN_VARIABLE = "QODER_PERSONAL_ACCESS_TOKEN"
SERVICE_ACCOUNT_VARIABLE = "QODER_SERVICE_ACCOUNT_KEY"

TokenProvider: TypeAlias = Callable[[Any], Any]
"""Takes the CLI's request (`FetchJobToken` or `FetchServiceAccountToken`; its `reason` is `initial`, `expiring` or
`unauthorized`); gives a token as str, or what has a `token` and perhaps `expires_at` (milliseconds since 1970).
Sync or async."""


class AccessToken(Struct, frozen=True):
    """A personal access token."""

    token: str

    def __repr__(self) -> str:
        return "AccessToken(...)"


class AccessTokenFromEnv(Struct, frozen=True):
    """A personal access token, in a variable that is read at each start."""

    variable: str


class QoderCliLogin(Struct, frozen=True):
    """The account that `qodercli login` left on this machine."""


class ServiceAccountKey(Struct, frozen=True):
    """A service account's key."""

    key: str

    def __repr__(self) -> str:
        return "ServiceAccountKey(...)"


class ServiceAccountKeyFromEnv(Struct, frozen=True):
    """A service account's key, in a variable that is read at each start."""

    variable: str


class ServiceAccountTokens(Struct, frozen=True):
    """A service account's tokens, which this program provides whenever the CLI asks for one."""

    fetch: TokenProvider


class JobTokens(Struct, frozen=True):
    """Job tokens, which this program provides whenever the CLI asks for one."""

    fetch: TokenProvider


QoderAuth: TypeAlias = (
    AccessToken
    | AccessTokenFromEnv
    | QoderCliLogin
    | ServiceAccountKey
    | ServiceAccountKeyFromEnv
    | ServiceAccountTokens
    | JobTokens
)


def access_token(token: str) -> AccessToken:
    """Log in with a personal access token."""
    if not isinstance(token, str) or not token.strip():
        raise InvalidOption("access_token(...) needs a token that is not empty")
    return AccessToken(token)


def access_token_from_env(env_var: str = ACCESS_TOKEN_VARIABLE) -> AccessTokenFromEnv:
    """Log in with the personal access token that a variable holds when the CLI is started."""
    return AccessTokenFromEnv(_variable(env_var))


def qodercli_auth() -> QoderCliLogin:
    """Use the account that `qodercli login` left on this machine."""
    return QoderCliLogin()


def service_account(
    *, service_account_key: str | None = None, fetch_service_account_token: TokenProvider | None = None
) -> ServiceAccountKey | ServiceAccountTokens:
    """Log in as a service account: with its key, or with tokens that a function provides.

    Raises:
        InvalidOption: neither is given, or both.
    """
    if (service_account_key is None) == (fetch_service_account_token is None):
        raise InvalidOption(
            "service_account(...) takes service_account_key or fetch_service_account_token, one of them"
        )
    if fetch_service_account_token is not None:
        return ServiceAccountTokens(_function("fetch_service_account_token", fetch_service_account_token))
    if not isinstance(service_account_key, str) or not service_account_key.strip():
        raise InvalidOption("service_account(service_account_key=...) needs a key that is not empty")
    return ServiceAccountKey(service_account_key)


def service_account_from_env(env_var: str = SERVICE_ACCOUNT_VARIABLE) -> ServiceAccountKeyFromEnv:
    """Log in with the service account's key that a variable holds when the CLI is started."""
    return ServiceAccountKeyFromEnv(_variable(env_var))


def job_token(fetch_job_token: TokenProvider) -> JobTokens:
    """Log in with job tokens that a function provides."""
    return JobTokens(_function("fetch_job_token", fetch_job_token))


def credential_variables(auth: QoderAuth) -> tuple[str, ...]:
    """The variables that the CLI, and what it runs, have no business with."""
    match auth:
        case AccessTokenFromEnv(variable=variable):
            return (variable,)
        case ServiceAccountKeyFromEnv(variable=variable):
            return (SERVICE_ACCOUNT_VARIABLE, variable)
        case ServiceAccountKey() | ServiceAccountTokens():
            return (SERVICE_ACCOUNT_VARIABLE,)
        case _:
            return ()


def payload(auth: QoderAuth, environ: Mapping[str, str]) -> dict[str, str]:
    """What the CLI is told.

    Raises:
        NotLoggedIn: the variable is not set.
    """
    match auth:
        case AccessToken(token=token):
            return {"type": "accessToken", "accessToken": token}
        case AccessTokenFromEnv(variable=variable):
            return {"type": "accessToken", "accessToken": _read(variable, environ)}
        case QoderCliLogin():
            return {"type": "qodercli"}
        case ServiceAccountKey(key=key):
            return {"type": "serviceAccount", "serviceAccountKey": key}
        case ServiceAccountKeyFromEnv(variable=variable):
            return {"type": "serviceAccount", "serviceAccountKey": _read(variable, environ)}
        case ServiceAccountTokens():
            return {"type": "serviceAccount", "serviceAccountTokenProvider": "host"}
        case JobTokens():
            return {"type": "jobToken", "jobTokenProvider": "host"}


@contextlib.contextmanager
def payload_file(content: Mapping[str, str], account: Account | None = None) -> Generator[Path]:
    """A file that only one user can read, in a folder of its own; both are gone when the block is left.

    The CLI removes the file as soon as it has read it.

    Args:
        content: what is told.
        account: who the CLI runs as; None: the user of this program.

    Raises:
        AgentStartError: it cannot be written.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="triologue-auth-"))
    except OSError as error:
        raise AgentStartError(f"the Qoder CLI cannot be told how to log in, by a file: {error}") from None
    try:
        path = folder / "payload.json"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(content, file)
            if account is not None:
                for mine in (path, folder):
                    os.chown(mine, account.uid, account.gid)
        except OSError as error:
            raise AgentStartError(f"the Qoder CLI cannot be told how to log in, by a file: {error}") from None
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise NotLoggedIn(
            f"the Qoder CLI has no account: the variable {variable} is not set; set it, or log in otherwise"
        )
    return value


def _variable(name: object) -> str:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise InvalidOption(f"env_var={brief(name)} cannot be a variable's name")
    return name


def _function(name: str, value: TokenProvider) -> TokenProvider:
    if not callable(value):
        raise InvalidOption(f"{name} is no function")
    return value
