"""How Qoder's SDK is told to log in, and what that is to our `Qoder`. No text and no `repr` of these shows a secret."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
import trio
from msgspec import Struct

from triologue import agents
from triologue.agents import QoderAuth
from triologue.errors import InvalidOption
from triologue.sdk.vendor.errors import SDKError

DEFAULT_ACCESS_TOKEN_ENV_VAR = "QODER_PERSONAL_ACCESS_TOKEN"
DEFAULT_SERVICE_ACCOUNT_ENV_VAR = "QODER_SERVICE_ACCOUNT_KEY"


class AuthNotConfiguredError(SDKError):
    """`QoderAgentOptions.auth` is missing."""

    code = "auth_not_configured"

    def __init__(self) -> None:
        super().__init__(
            "QoderAgentOptions has no auth; give access_token(...), access_token_from_env(), service_account(...), "
            "service_account_from_env(), job_token(...) or qodercli_auth()"
        )


class AuthAccessTokenEnvVarError(SDKError):
    """The variable that is to hold the access token is not set."""

    code = "auth_access_token_env_var_not_configured"

    def __init__(self, env_var: str) -> None:
        self.env_var = env_var
        super().__init__(
            f"the variable {env_var!r} is to hold an access token and is not set; set it, or log in otherwise"
        )


class AuthServiceAccountEnvVarError(SDKError):
    """The variable that is to hold the service account's key is not set."""

    code = "auth_service_account_env_var_not_configured"

    def __init__(self, env_var: str) -> None:
        self.env_var = env_var
        super().__init__(
            f"the variable {env_var!r} is to hold a service account's key and is not set; set it, or log in otherwise"
        )


class AccessTokenEnvVar(Struct, frozen=True):
    """A variable that holds an access token."""

    env_var: str


class ServiceAccountEnvVar(Struct, frozen=True):
    """A variable that holds a service account's key."""

    env_var: str


class JobTokenRequest(Struct, frozen=True):
    """The CLI wants a job token; `reason`: `initial`, `expiring` or `unauthorized`."""

    request_id: str
    reason: str
    session_id: str | None = None


class JobTokenContext(Struct, frozen=True):
    """What comes with it. `signal` is set when nobody waits for the token any more; the callback is cancelled then too."""

    signal: trio.Event


class JobTokenResult(Struct, frozen=True):
    """A job token; `expires_at`: milliseconds since 1970."""

    token: str
    expires_at: int | None = None

    def __repr__(self) -> str:
        return "JobTokenResult(...)"


class ServiceAccountTokenResult(Struct, frozen=True):
    """A service account's token; `expires_at`: milliseconds since 1970."""

    token: str
    expires_at: int | None = None

    def __repr__(self) -> str:
        return "ServiceAccountTokenResult(...)"


FetchJobToken: TypeAlias = Callable[
    [JobTokenRequest, JobTokenContext], Awaitable[JobTokenResult | dict[str, Any] | None]
]
FetchServiceAccountToken: TypeAlias = Callable[[], Awaitable[ServiceAccountTokenResult | dict[str, Any] | None]]
ServiceAccountKeyInput: TypeAlias = str | ServiceAccountEnvVar


class AccessTokenAuthOptions(Struct, frozen=True):
    """Log in with a personal access token."""

    access_token: str | AccessTokenEnvVar
    type: str = "accessToken"

    def __repr__(self) -> str:
        return "AccessTokenAuthOptions(...)"


class QoderCLIAuthOptions(Struct, frozen=True):
    """Use the account that `qodercli login` left on this machine."""

    type: str = "qodercli"


class ServiceAccountAuthOptions(Struct, frozen=True):
    """Log in as a service account: with its key, or with tokens that a function provides."""

    service_account_key: ServiceAccountKeyInput | None = None
    fetch_service_account_token: FetchServiceAccountToken | None = None
    type: str = "serviceAccount"

    def __post_init__(self) -> None:
        if (self.service_account_key is None) == (self.fetch_service_account_token is None):
            raise InvalidOption(
                "a service account logs in with service_account_key or fetch_service_account_token, one"
            )
        if self.fetch_service_account_token is not None and not callable(self.fetch_service_account_token):
            raise InvalidOption("fetch_service_account_token is no function")

    def __repr__(self) -> str:
        return "ServiceAccountAuthOptions(...)"


class JobTokenAuthOptions(Struct, frozen=True):
    """Log in with job tokens that a function provides."""

    fetch_job_token: FetchJobToken
    type: str = "jobToken"


AuthOptions: TypeAlias = AccessTokenAuthOptions | QoderCLIAuthOptions | ServiceAccountAuthOptions
InternalAuthOptions: TypeAlias = AuthOptions | JobTokenAuthOptions


def access_token(token: str) -> AccessTokenAuthOptions:
    """Log in with a personal access token."""
    return AccessTokenAuthOptions(token)


def access_token_from_env(env_var: str = DEFAULT_ACCESS_TOKEN_ENV_VAR) -> AccessTokenAuthOptions:
    """Log in with the personal access token that a variable holds."""
    return AccessTokenAuthOptions(AccessTokenEnvVar(env_var))


def qodercli_auth() -> QoderCLIAuthOptions:
    """Use the account that `qodercli login` left on this machine."""
    return QoderCLIAuthOptions()


def service_account(
    *,
    service_account_key: str | None = None,
    fetch_service_account_token: FetchServiceAccountToken | None = None,
) -> ServiceAccountAuthOptions:
    """Log in as a service account: with its key, or with tokens that a function provides."""
    return ServiceAccountAuthOptions(service_account_key, fetch_service_account_token)


def service_account_from_env(env_var: str = DEFAULT_SERVICE_ACCOUNT_ENV_VAR) -> ServiceAccountAuthOptions:
    """Log in with the service account's key that a variable holds."""
    return ServiceAccountAuthOptions(ServiceAccountEnvVar(env_var))


def job_token(fetch_job_token: FetchJobToken) -> JobTokenAuthOptions:
    """Log in with job tokens that a function provides."""
    return JobTokenAuthOptions(fetch_job_token)


def normalize_auth(auth: Any) -> InternalAuthOptions | None:
    """A login that was written as a dict, as an object. Raises `ValueError` where it cannot be."""
    if auth is None or isinstance(auth, InternalAuthOptions):
        return auth
    kind = auth.get("type") if isinstance(auth, Mapping) else None
    match kind:
        case "accessToken":
            token = _credential(auth, "access_token", "accessToken", AccessTokenEnvVar)
            if token is None:
                raise InvalidOption("auth of type 'accessToken' needs an access_token, or the variable that holds it")
            return AccessTokenAuthOptions(token)
        case "qodercli":
            return QoderCLIAuthOptions()
        case "serviceAccount":
            key = _credential(auth, "service_account_key", "serviceAccountKey", ServiceAccountEnvVar)
            return ServiceAccountAuthOptions(
                key, _either(auth, "fetch_service_account_token", "fetchServiceAccountToken")
            )
        case "jobToken":
            return JobTokenAuthOptions(_function(_either(auth, "fetch_job_token", "fetchJobToken")))
        case _:
            raise InvalidOption("auth is none of what access_token(...), qodercli_auth() and the like give")


def settled_auth(auth: Any, env: Mapping[str, str | None]) -> QoderAuth:
    """What our `Qoder` takes.

    Args:
        auth: `QoderAgentOptions.auth`.
        env: `QoderAgentOptions.env`; the rest of the environment is this process's.

    Raises:
        AuthNotConfiguredError: there is none.
        AuthAccessTokenEnvVarError, AuthServiceAccountEnvVarError: the variable is not set.
        InvalidOption: it cannot be.
    """
    match normalize_auth(auth):
        case None:
            raise AuthNotConfiguredError
        case QoderCLIAuthOptions():
            return agents.qodercli_auth()
        case JobTokenAuthOptions(fetch_job_token=fetch):
            return agents.job_token(_job_tokens(fetch))
        case AccessTokenAuthOptions(access_token=AccessTokenEnvVar(env_var=name)):
            if not _is_set(name, env):
                raise AuthAccessTokenEnvVarError(name)
            return agents.access_token_from_env(name)
        case AccessTokenAuthOptions(access_token=token):
            return agents.access_token(str(token))
        case account:
            return _settled_account(account, env)


def _settled_account(account: ServiceAccountAuthOptions, env: Mapping[str, str | None]) -> QoderAuth:
    key, fetch = account.service_account_key, account.fetch_service_account_token
    if fetch is not None:
        return agents.service_account(fetch_service_account_token=_service_account_tokens(fetch))
    if isinstance(key, ServiceAccountEnvVar):
        if not _is_set(key.env_var, env):
            raise AuthServiceAccountEnvVarError(key.env_var)
        return agents.service_account_from_env(key.env_var)
    return agents.service_account(service_account_key=key)


def _service_account_tokens(fetch: FetchServiceAccountToken) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    async def provide(request: dict[str, Any]) -> Any:
        return _plain(await fetch())

    return provide


def _job_tokens(fetch: FetchJobToken) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    async def provide(request: dict[str, Any]) -> Any:
        said = _either(request, "reason", "reason")
        asked = JobTokenRequest(
            str(_either(request, "request_id", "requestId") or ""),
            str(said or "initial"),
            _either(request, "session_id", "sessionId"),
        )
        context = JobTokenContext(trio.Event())
        try:
            return _plain(await fetch(asked, context))
        except trio.Cancelled:
            context.signal.set()  # for what the callback started and left behind
            raise

    return provide


def _plain(token: Any) -> Any:
    return msgspec.structs.asdict(token) if isinstance(token, Struct) else token


def _function(value: Any) -> Any:
    if not callable(value):
        raise InvalidOption("auth of type 'jobToken' needs a function fetch_job_token")
    return value


def _is_set(name: str, env: Mapping[str, str | None]) -> bool:
    return bool((env.get(name, os.environ.get(name)) or "").strip())


def _either(auth: Mapping[str, Any], name: str, wire: str) -> Any:
    return auth.get(name, auth.get(wire))


def _credential(auth: Mapping[str, Any], name: str, wire: str, kind: type[Any]) -> Any:
    """A text, or the variable that is to hold it."""
    given = _either(auth, name, wire)
    if isinstance(given, str | kind):
        return given
    variable = _either(given, "env_var", "envVar") if isinstance(given, Mapping) else None
    return kind(variable) if isinstance(variable, str) else None
