"""What agents and their MCP servers want to know from the user or the host: elicitation, log-ins, models, memory."""

from typing import Any

import msgspec

from triologue.errors import brief
from triologue.hosting.callbacks import CallbackError, Unsupported, run_callback, run_within
from triologue.hosting.tool_results import plain_model
from triologue.messages import GetModelPolicy, McpOauthRequired, Request, UnknownRequest
from triologue.options import Options

_ACTIONS = ("accept", "decline", "cancel")
# The vendors' names for what `on_elicitation` gets, by those on the wire; `prompt` is an older one for `message`.
_ELICITATION = {
    "mcp_server_name": "serverName",
    "message": "message",
    "prompt": "message",
    "mode": "mode",
    "url": "url",
    "elicitation_id": "elicitationId",
    "requested_schema": "requestedSchema",
    "title": "title",
    "display_name": "displayName",
    "description": "description",
}


def fields_of(request: Request) -> dict[str, Any]:
    """What a request says, under the names of the wire and without its tag."""
    fields: dict[str, Any] = request.body if isinstance(request, UnknownRequest) else msgspec.to_builtins(request)
    return {name: value for name, value in fields.items() if name not in ("subtype", "type") and value is not None}


async def elicit(options: Options, request: Request) -> dict[str, Any]:
    """Ask `on_elicitation` what an MCP server wants to know; without it, or for None, the answer is `cancel`.

    Raises:
        CallbackError: it gave something else.
    """
    if options.on_elicitation is None:
        return {"action": "cancel"}
    fields = fields_of(request)
    asked = {new: fields[old] for old, new in reversed(_ELICITATION.items()) if old in fields}
    given = plain_model(await run_callback(options.on_elicitation, asked))
    if given is None:
        return {"action": "cancel"}
    if not isinstance(given, dict) or given.get("action") not in _ACTIONS:
        raise CallbackError(f"on_elicitation gave {brief(given)}; it gives a dict whose `action` is one of {_ACTIONS}")
    return {key: given[key] for key in ("action", "content", "_meta") if given.get(key) is not None}


async def log_in(options: Options, request: McpOauthRequired) -> dict[str, Any]:
    """Ask `on_mcp_oauth_required` to log in to an MCP server.

    Raises:
        Unsupported: there is no such callback.
        CallbackError: it gave None, or no token, callback URL or code.
    """
    if options.on_mcp_oauth_required is None:
        raise Unsupported("no on_mcp_oauth_required callback is there to log in to an MCP server")
    given = plain_model(await run_callback(options.on_mcp_oauth_required, fields_of(request)))
    if given is None:
        raise CallbackError(f"the host declined to log in to MCP server {request.server_name!r}")
    match given:
        case {"accessToken": _}:
            return {"token": given}
        case {"token": dict() as token}:
            return {"token": token}
        case {"callbackUrl": url}:
            return {"callbackUrl": url}
        case {"code": code}:
            return {"code": code, **({"state": given["state"]} if "state" in given else {})}
        case _:
            raise CallbackError("on_mcp_oauth_required gave neither a `token`, a `callbackUrl` nor a `code`")


async def model_policy(options: Options, request: GetModelPolicy) -> dict[str, Any]:
    """Ask `resolve_model` which model a call should use; without it, or for None, the agent's own choice stands.

    Raises:
        TimeoutError: it took longer than `resolve_model_timeout_ms`.
        CallbackError: it gave something else than a name, a dict or None.
    """
    policy: dict[str, Any] = {"type": "get_model_policy"}
    if options.resolve_model is None:
        return policy
    asked = fields_of(request)
    asked["availableModels"] = asked.pop("models", [])
    limit = options.resolve_model_timeout_ms
    late = f"resolve_model took longer than {limit} ms; raise resolve_model_timeout_ms, or make it faster"
    return {**policy, **_chosen(plain_model(await run_within(limit / 1000, late, options.resolve_model, asked)))}


def _chosen(given: Any) -> dict[str, Any]:
    """What `resolve_model` gave, as the wire says it."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {"model": given}
    if not isinstance(given, dict):
        raise CallbackError(f"resolve_model gave {type(given).__name__}; it gives a model's name, a dict or None")
    model = given.get("model")
    chosen = {key: given[key] for key in ("model", "custom_model", "parameters") if given.get(key) is not None}
    if isinstance(model, dict):  # a model of the host's own account, all in one dict
        custom = {key: value for key, value in model.items() if key not in ("model", "is_vl")}
        custom["style"] = custom.get("style") or "openai"
        if model.get("is_vl") is not None:
            custom["isVl"] = model["is_vl"]
        chosen |= {"model": str(model.get("model", "")), "custom_model": custom}
    return chosen
