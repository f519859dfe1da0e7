"""What agents ask the user or the host, and what they are answered."""

from typing import Any

import pytest
import trio
from mcp.types import ElicitResult
from trio.testing import MockClock

from tests.support.serving import open_service
from triologue.errors import InvalidOption
from triologue.hosting import CallbackError, Unsupported, check_callbacks
from triologue.messages import (
    AnyRequest,
    Elicitation,
    FetchJobToken,
    FetchServiceAccountToken,
    GetModelPolicy,
    Initialize,
    McpOauthRequired,
    MemoryShouldGenerate,
    RequestUserDialog,
    SkillEvolutionShouldReview,
    UnknownRequest,
)
from triologue.options import Options


class Giver:
    """Gives the same to whoever asks, and keeps what it was asked."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.asked: Any = None

    async def __call__(self, *asked: Any) -> Any:
        self.asked = asked[0] if len(asked) == 1 else asked
        return self.given


async def answer(request: AnyRequest, tokens: Any = None, **options: Any) -> dict[str, Any]:
    async with open_service(Options(**options), tokens=tokens) as service:
        return await service.answer(request)


ELICITATION = Elicitation(
    mcp_server_name="s", message="Who?", requested_schema={"type": "object"}, elicitation_id="e", display_name="S"
)


async def test_an_elicitation_nobody_answers_is_cancelled() -> None:
    assert await answer(ELICITATION) == {"action": "cancel"}
    assert await answer(ELICITATION, on_elicitation=Giver(None)) == {"action": "cancel"}


async def test_an_elicitation_has_the_vendors_names() -> None:
    giver = Giver({"action": "accept", "content": {"name": "Ada"}, "noise": 1})
    assert await answer(ELICITATION, on_elicitation=giver) == {"action": "accept", "content": {"name": "Ada"}}
    assert giver.asked == {
        "serverName": "s",
        "message": "Who?",
        "elicitationId": "e",
        "requestedSchema": {"type": "object"},
        "displayName": "S",
    }


async def test_qoders_older_name_for_it() -> None:
    giver = Giver(ElicitResult(action="decline"))
    body = {"subtype": "elicitation_response", "mcp_server_name": "s", "prompt": "Who?", "mode": "form"}
    assert await answer(UnknownRequest(body=body), on_elicitation=giver) == {"action": "decline"}
    assert giver.asked == {"serverName": "s", "message": "Who?", "mode": "form"}


@pytest.mark.parametrize("given", [{"action": "agree"}, {}, "accept"])
async def test_an_elicitation_with_another_answer(given: Any) -> None:
    with pytest.raises(CallbackError, match=r"on_elicitation gave .* whose `action` is one of"):
        await answer(ELICITATION, on_elicitation=lambda asked: given)


LOG_IN = McpOauthRequired(server_name="s", auth_url="https://log.in", scopes=["read"])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"accessToken": "t", "expiresIn": 1}, {"token": {"accessToken": "t", "expiresIn": 1}}),
        ({"token": {"accessToken": "t"}, "noise": 1}, {"token": {"accessToken": "t"}}),
        ({"callbackUrl": "https://back"}, {"callbackUrl": "https://back"}),
        ({"code": "c"}, {"code": "c"}),
        ({"code": "c", "state": "s"}, {"code": "c", "state": "s"}),
    ],
)
async def test_logging_in(given: Any, sent: Any) -> None:
    giver = Giver(given)
    assert await answer(LOG_IN, on_mcp_oauth_required=giver) == sent
    assert giver.asked == {"server_name": "s", "auth_url": "https://log.in", "scopes": ["read"]}


async def test_not_logging_in() -> None:
    with pytest.raises(Unsupported, match="no on_mcp_oauth_required callback"):
        await answer(LOG_IN)
    with pytest.raises(CallbackError, match="the host declined to log in to MCP server 's'"):
        await answer(LOG_IN, on_mcp_oauth_required=Giver(None))
    with pytest.raises(CallbackError, match="gave neither") as failure:
        await answer(LOG_IN, on_mcp_oauth_required=Giver({"secret": "hush"}))
    assert "hush" not in str(failure.value)


POLICY = GetModelPolicy(purpose="main", session_id="S", turn_index=3)
CUSTOM = {"provider": "acme", "model": "m", "api_key": "k", "url": "u", "is_vl": True}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, {}),
        ("opus", {"model": "opus"}),
        ({}, {}),
        ({"model": "opus", "parameters": {"effort": "low"}}, {"model": "opus", "parameters": {"effort": "low"}}),
        ({"custom_model": {"provider": "acme"}}, {"custom_model": {"provider": "acme"}}),
        (
            {"model": CUSTOM},
            {
                "model": "m",
                "custom_model": {"provider": "acme", "api_key": "k", "url": "u", "style": "openai", "isVl": True},
            },
        ),
    ],
)
async def test_choosing_a_model(given: Any, sent: dict[str, Any]) -> None:
    giver = Giver(given)
    assert await answer(POLICY, resolve_model=giver) == {"type": "get_model_policy", **sent}
    assert giver.asked == {"purpose": "main", "sessionId": "S", "turnIndex": 3, "availableModels": []}


async def test_without_resolve_model_the_agent_chooses() -> None:
    assert await answer(POLICY) == {"type": "get_model_policy"}


async def test_choosing_a_model_has_a_time_limit(autojump_clock: MockClock) -> None:
    async def slow(asked: Any) -> str:
        await trio.sleep(0.6)
        return "opus"

    assert await answer(POLICY, resolve_model=slow, resolve_model_timeout_ms=700) == {
        "type": "get_model_policy",
        "model": "opus",
    }
    with pytest.raises(TimeoutError, match="resolve_model took longer than 500 ms; raise resolve_model_timeout_ms"):
        await answer(POLICY, resolve_model=slow)
    with pytest.raises(CallbackError, match="resolve_model gave int"):
        await answer(POLICY, resolve_model=Giver(3))


class Token:
    def __init__(self, token: str, expires_at: float | None = None) -> None:
        self.token, self.expires_at = token, expires_at


LATER = 1_800_000_000_000


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("t", {"token": "t"}),
        ({"token": "t"}, {"token": "t"}),
        ({"token": "t", "expiresAt": LATER}, {"token": "t", "expires_at": LATER}),
        (Token("t"), {"token": "t"}),
        (Token("t", LATER), {"token": "t", "expires_at": LATER}),
    ],
)
async def test_a_token(given: Any, sent: dict[str, Any]) -> None:
    giver, request = Giver(given), FetchJobToken(reason="initial", session_id="S")
    assert await answer(request, {FetchJobToken: giver}) == sent
    assert giver.asked == request


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ({}, "service_account_token_unavailable: nothing here gives such a token"),
        ({FetchServiceAccountToken: lambda request: None}, "the host gave no token"),
        ({FetchServiceAccountToken: lambda request: {"token": ""}}, "the host gave no token"),
        ({FetchServiceAccountToken: lambda request: {"token": "hush", "expires_at": 5}}, "expires_at=5 is no time"),
        ({FetchServiceAccountToken: lambda request: Token("hush", float("inf"))}, "expires_at=inf is no time"),
    ],
)
async def test_no_token(tokens: Any, told: str) -> None:
    with pytest.raises(CallbackError, match=told) as failure:
        await answer(FetchServiceAccountToken(reason="expiring"), tokens)
    assert failure.value.code == "service_account_token_unavailable"
    assert "hush" not in str(failure.value)


def memory(gate: Any) -> dict[str, Any]:
    return {"mode": "custom", "generation": {"turn_complete": {"should_generate": gate}}}


async def test_writing_memory() -> None:
    request = MemoryShouldGenerate(callback_id="memory_should_generate_0", input={"turn": 1})
    giver = Giver({"run": False, "reason": "late", "noise": 1})
    assert await answer(request, memory=memory(giver)) == {"run": False, "reason": "late"}
    assert giver.asked == ({"turn": 1}, {"signal": None})
    with pytest.raises(CallbackError, match="should_generate gave True"):
        await answer(request, memory=memory(Giver(True)))
    other = MemoryShouldGenerate(callback_id="other", input={})
    for unknown, options in ((other, {"memory": memory(giver)}), (request, {}), (request, {"memory": {}})):
        with pytest.raises(CallbackError, match="no memory callback is registered as"):
            await answer(unknown, **options)


class Named:
    """Settings that are an object, as the vendor's are."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


async def test_reviewing_skills() -> None:
    request = SkillEvolutionShouldReview(
        callback_id="x", input={"sessionId": "S", "turnIndex": 2, "cwd": "/", "prompt": "p", "response": "r"}
    )
    assert await answer(request) == {"run": True}
    giver = Giver(False)
    skill = Named(generation=Named(turn_complete={"should_review": giver}))
    assert await answer(request, evolution={"skill": skill}) == {"run": False}
    assert giver.asked == {"session_id": "S", "turn_index": 2, "cwd": "/", "prompt": "p", "response": "r"}
    giver.given = {"run": True, "reason": "why not"}
    assert await answer(request, evolution={"skill": skill}) == {"run": True, "reason": "why not"}
    giver.given = "yes"
    with pytest.raises(CallbackError, match="should_review gave 'yes'"):
        await answer(request, evolution={"skill": skill})


def test_gates_that_cannot_be_called() -> None:
    with pytest.raises(InvalidOption, match="memory: should_generate=3 is no function"):
        check_callbacks(Options(memory=memory(3)))
    evolution = {"skill": {"generation": {"turn_complete": {"should_review": "x"}}}}
    with pytest.raises(InvalidOption, match="evolution: should_review='x' is no function"):
        check_callbacks(Options(evolution=evolution))


@pytest.mark.parametrize(
    ("request_", "subtype"),
    [
        (RequestUserDialog(dialog_kind="x"), "request_user_dialog"),
        (UnknownRequest(body={"subtype": "dance"}), "dance"),
        (Initialize(), "initialize"),
    ],
)
async def test_what_nobody_answers(request_: AnyRequest, subtype: str) -> None:
    with pytest.raises(Unsupported, match=f"Unsupported control request subtype: {subtype}") as failure:
        await answer(request_)
    assert failure.value.code == "unsupported_request"
