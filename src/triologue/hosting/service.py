"""One connection's callbacks: what its agent asks of this program, permission requests aside."""

from collections.abc import Mapping, Set as AbstractSet
from typing import Any, final

import msgspec

from triologue.hosting.callbacks import Unsupported
from triologue.hosting.gates import Tokens, check_gates, fetch_token, should_generate, should_review
from triologue.hosting.hooks import Hooks, check_hooks
from triologue.hosting.mcp_hosts import McpHosts, StartSoon
from triologue.hosting.questions import elicit, log_in, model_policy
from triologue.hosting.servers import McpServer, check_servers, local_servers
from triologue.messages import (
    AnyRequest,
    Elicitation,
    FetchJobToken,
    FetchServiceAccountToken,
    GetModelPolicy,
    HookCallback,
    McpMessage,
    McpOauthRequired,
    McpToolCall,
    MemoryShouldGenerate,
    SkillEvolutionShouldReview,
    UnknownRequest,
    subtype_of,
)
from triologue.options import Options


def check_callbacks(options: Options) -> None:
    """Refuse hooks, MCP servers and other callbacks that could not work, before anything starts.

    Raises:
        InvalidOption: where it is and what is wrong with it.
    """
    check_hooks(options)
    check_servers(options)
    check_gates(options)


@final
class Service:
    """Answers the requests of one connection. Its MCP servers start when they are first spoken to.

    Args:
        options: what the connection was started with.
        tokens: by request type (`FetchJobToken` ...), what gives a token; it belongs to an agent's log-in.
        start_soon: of a nursery in which `close` is called before it is left; the servers run there.

    Raises:
        InvalidOption: as for `check_callbacks`.
    """

    __slots__ = ("_hooks", "_mcp", "_options", "_tokens")

    def __init__(self, options: Options, tokens: Tokens, start_soon: StartSoon) -> None:
        self._options, self._tokens = options, tokens
        self._mcp = McpHosts(local_servers(options.mcp_servers), start_soon)
        self._hooks = Hooks(options.hooks)

    def add_servers(self, servers: Mapping[str, McpServer]) -> frozenset[str]:
        """Host these MCP servers too; gives the names of all that were added before."""
        return self._mcp.add(servers)

    def remove_servers(self, names: AbstractSet[str]) -> None:
        """End those of them that were added."""
        self._mcp.remove(names)

    async def close(self) -> None:
        """End the MCP servers, side by side, within 5 s."""
        await self._mcp.close()

    async def answer(self, request: AnyRequest) -> dict[str, Any]:
        """The response to a request. Many run at once; cancelling one stops its callback.

        Raises:
            Unsupported: no callback is there for it.
            CallbackError: a callback gave what the agent cannot use.
            Exception: whatever the callback raised. Some have a `code` for the agent.
        """
        response = await self._answer(request)
        # Here, where it is this callback's failure, and not later, where it would be the connection's.
        msgspec.json.encode(response)
        return response

    def about_failure(self, request: AnyRequest) -> str:
        """What the log says of a callback that failed, behind its kind."""
        return self._hooks.about_failure(request.callback_id) if isinstance(request, HookCallback) else ""

    async def _answer(self, request: AnyRequest) -> dict[str, Any]:  # noqa: C901 - a table
        match request:
            case HookCallback():
                return await self._hooks.answer(request)
            case McpMessage():
                return await self._mcp.message(request)
            case McpToolCall():
                return await self._mcp.tool_call(request)
            case Elicitation() | UnknownRequest(subtype="elicitation" | "elicitation_response"):
                return await elicit(self._options, request)
            case McpOauthRequired():
                return await log_in(self._options, request)
            case GetModelPolicy():
                return await model_policy(self._options, request)
            case FetchJobToken() | FetchServiceAccountToken():
                return await fetch_token(self._tokens, request)
            case MemoryShouldGenerate():
                return await should_generate(self._options, request)
            case SkillEvolutionShouldReview():
                return await should_review(self._options, request)
            case _:
                raise Unsupported(f"Unsupported control request subtype: {subtype_of(request)}")
