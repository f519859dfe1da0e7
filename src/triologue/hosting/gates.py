"""What Qoder asks its host by itself: whether to write memory or review skills, and for fresh tokens."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from triologue.errors import InvalidOption, brief
from triologue.hosting.callbacks import CallbackError, run_callback
from triologue.messages import (
    FetchJobToken,
    FetchServiceAccountToken,
    MemoryShouldGenerate,
    Request,
    SkillEvolutionShouldReview,
)
from triologue.options import Options

MEMORY_GATE, EVOLUTION_GATE = "memory_should_generate_0", "skill_evolution_should_review_0"
"""The callback ids under which `initialize` announces the two gates."""

Tokens: TypeAlias = Mapping[type[Request], Callable[..., Any]]
"""By request type, what gives a token: takes the request; gives a str, or `token` and perhaps `expires_at` (ms)."""

_CODES: dict[type[Request], str] = {
    FetchJobToken: "job_token_unavailable",
    FetchServiceAccountToken: "service_account_token_unavailable",
}
_MS_SINCE_2001 = 1_000_000_000_000  # less is seconds taken for milliseconds
_EVOLUTION_INPUT = {
    "sessionId": "session_id",
    "turnIndex": "turn_index",
    "cwd": "cwd",
    "prompt": "prompt",
    "response": "response",
    "requestId": "request_id",
    "requestSetId": "request_set_id",
}


def memory_gate(options: Options) -> Any:
    """`should_generate` of `Options.memory`."""
    return setting(options.memory, "generation", "turn_complete", "should_generate")


def evolution_gate(options: Options) -> Any:
    """`should_review` of `Options.evolution`."""
    return setting(options.evolution, "skill", "generation", "turn_complete", "should_review")


def check_gates(options: Options) -> None:
    """Refuse gates that cannot be called.

    Raises:
        InvalidOption: which.
    """
    for name, gate in (
        ("memory: should_generate", memory_gate(options)),
        ("evolution: should_review", evolution_gate(options)),
    ):
        if gate is not None and not callable(gate):
            raise InvalidOption(f"{name}={brief(gate)} is no function")


async def should_generate(options: Options, request: MemoryShouldGenerate) -> dict[str, Any]:
    """Ask the host whether memory is written now.

    Raises:
        CallbackError: there is no such callback, or it gave no `{"run": bool}`.
    """
    gate = memory_gate(options)
    if gate is None or request.callback_id != MEMORY_GATE:
        raise CallbackError(f"no memory callback is registered as {request.callback_id!r}")
    given = await run_callback(gate, request.input, {"signal": None})
    if not isinstance(given, dict) or not isinstance(given.get("run"), bool):
        raise CallbackError(f'should_generate gave {brief(given)}; it gives {{"run": True or False}}')
    return _decision(given)


async def should_review(options: Options, request: SkillEvolutionShouldReview) -> dict[str, Any]:
    """Ask the host whether skills are reviewed now; without a callback they are.

    Raises:
        CallbackError: it gave neither a bool nor `{"run": bool}`.
    """
    gate = evolution_gate(options)
    if gate is None:
        return {"run": True}
    asked = {new: request.input[old] for old, new in _EVOLUTION_INPUT.items() if request.input.get(old) is not None}
    given = await run_callback(gate, asked)
    if isinstance(given, bool):
        return {"run": given}
    if not isinstance(given, dict) or not isinstance(given.get("run"), bool):
        raise CallbackError(f'should_review gave {brief(given)}; it gives a bool, or {{"run": True or False}}')
    return _decision(given)


async def fetch_token(tokens: Tokens, request: Request) -> dict[str, Any]:
    """Ask the host for a token. Nothing that goes wrong shows one.

    Raises:
        CallbackError: nobody gives such tokens, or what was given is none.
    """
    code = _CODES[type(request)]
    provider = tokens.get(type(request))
    if provider is None:
        raise CallbackError(f"{code}: nothing here gives such a token", code=code)
    given = await run_callback(provider, request)
    if isinstance(given, str):
        given = {"token": given}
    token, expires_at = _part(given, "token"), _part(given, "expires_at") or _part(given, "expiresAt")
    if not isinstance(token, str) or not token:
        raise CallbackError(f"{code}: the host gave no token", code=code)
    if expires_at is None:
        return {"token": token}
    if (
        isinstance(expires_at, bool)
        or not isinstance(expires_at, int | float)
        or not math.isfinite(expires_at)
        or expires_at < _MS_SINCE_2001
    ):
        raise CallbackError(f"{code}: expires_at={brief(expires_at)} is no time in milliseconds since 1970", code=code)
    return {"token": token, "expires_at": expires_at}


def _decision(given: dict[str, Any]) -> dict[str, Any]:
    reason = given.get("reason")
    return {"run": given["run"], **({"reason": reason} if isinstance(reason, str) else {})}


def setting(settings: Any, *path: str) -> Any:
    """What is found under these names; the vendor's settings are dicts, or objects of its own."""
    for name in path:
        settings = _part(settings, name)
    return settings


def _part(whole: Any, name: str) -> Any:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)
