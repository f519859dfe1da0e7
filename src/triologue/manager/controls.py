"""What can be asked of an agent beside its conversation: one typed method for each request, for `Session` and `Client`."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, Literal, TypeVar

import msgspec

from triologue.errors import AgentProtocolError, InvalidOption, brief
from triologue.hosting import McpServer, declared_servers, local_servers
from triologue.messages import (
    ApplyFlagSettings,
    BackgroundTasks,
    CancelAsyncMessage,
    ClearGoal,
    ContextUsageResponse,
    ControlReply,
    ControlRequest,
    FlushMemory,
    FlushSkillEvolution,
    GetByokConfig,
    GetContextUsage,
    GetGoal,
    GetModels,
    GetPlanMode,
    GetUsageInfo,
    GoalSnapshot,
    ListPlugins,
    McpAuthenticate,
    McpAuthentication,
    McpClearAuth,
    McpInjectToken,
    McpOauthCallback,
    McpReconnect,
    McpSetServers,
    McpSetServersResult,
    McpStatus,
    McpStatusResponse,
    McpToggle,
    ModelInfo,
    PlanModeSnapshot,
    PluginDetails,
    RefreshMemory,
    ReloadPlugins,
    ReloadPluginsResponse,
    Request,
    Rewind,
    RewindFiles,
    RewindFilesResult,
    RewindResult,
    ServerInfo,
    SetGoal,
    SetPlanMode,
    SetProxy,
    SideQuestion,
    SideQuestionResult,
    StopTask,
    UnknownRequest,
    UsageInfo,
    subtype_of,
)
from triologue.wire import encode, read_replies, read_reply

R = TypeVar("R", bound=ControlReply)

# These are more than a request: what they change is kept over a restart, or belongs to the life of a turn or a link.
HAVE_METHODS = {
    "initialize": "it is sent when the agent starts, with what the options say",
    "interrupt": "use interrupt()",
    "set_model": "use set_model()",
    "set_permission_mode": "use set_permission_mode()",
    "mcp_set_servers": "use set_mcp_servers()",
}


class Controls(ABC):
    """The control requests, under the vendors' names.

    Each starts the agent if it sleeps, goes out at once, also while a turn runs, and waits for the answer. Cancelling
    the wait withdraws the request. All of them raise:

    - `UnsupportedRequest`: this agent cannot do it, or this version of it.
    - `AgentProtocolError`: the agent refused it or failed, in its words; or did not answer within `Deadlines.control`.
    - `InvalidOption`: an argument that cannot be.
    - what the start of the agent raises.
    """

    @abstractmethod
    async def control(self, request: Request | dict[str, Any]) -> dict[str, Any]:
        """Ask anything of the agent; returns what it answered, as it came.

        Args:
            request: a typed request; or the wire's `{"subtype": ..., ...}` for those that have no type here, which
                goes to the agent whether triologue knows it or not.

        Raises:
            AgentProtocolError: the agent refused it, or went away before it answered.
            WouldDeadlock: a tool or a callback asks an agent for which there is no room before it returns; it is not
                asked then.
        """

    @abstractmethod
    async def set_mcp_servers(self, servers: dict[str, Any]) -> McpSetServersResult:
        """Replace the MCP servers that were added this way, beside those that the agent was started with.

        They last as long as the agent runs: name what is always wanted in `Options.mcp_servers`.

        Args:
            servers: as `Options.mcp_servers`, by name; `{}` removes all of them.
        """

    @abstractmethod
    async def get_server_info(self) -> ServerInfo:
        """What the agent told of itself when it started."""

    async def _answer(self, request: Request, kind: type[R]) -> R:
        return read_reply(kind, await self.control(request))

    # MCP servers.

    async def get_mcp_status(self) -> McpStatusResponse:
        """Which MCP servers there are, and which of them are connected."""
        return await self._answer(McpStatus(), McpStatusResponse)

    async def reconnect_mcp_server(self, server_name: str) -> None:
        """Connect an MCP server again; returns when it is connected."""
        await self.control(McpReconnect(server_name=server_name))

    async def toggle_mcp_server(self, server_name: str, enabled: bool) -> None:  # noqa: FBT001 - as the vendors have it
        """Switch an MCP server on or off."""
        await self.control(McpToggle(server_name=server_name, enabled=enabled))

    async def mcp_authenticate(self, server_name: str, redirect_uri: str | None = None) -> McpAuthentication:
        """Begin to log in to an MCP server."""
        return await self._answer(
            McpAuthenticate(server_name=server_name, redirect_uri=redirect_uri), McpAuthentication
        )

    async def mcp_submit_oauth_callback_url(self, server_name: str, callback_url: str) -> None:
        """Hand on the address that the log-in page came back to."""
        await self.control(McpOauthCallback(server_name=server_name, callback_url=callback_url))

    async def inject_mcp_token(self, server_name: str, token: dict[str, Any]) -> None:
        """Give an MCP server the token of a log-in that was done elsewhere: `{"accessToken": ...}`."""
        await self.control(McpInjectToken(server_name=server_name, token=token))

    async def mcp_clear_auth(self, server_name: str) -> None:
        """Log out of an MCP server."""
        await self.control(McpClearAuth(server_name=server_name))

    # What runs, and what was done.

    async def stop_task(self, task_id: str) -> None:
        """Stop one background task. One that is over, or never was, is no error."""
        await self.control(StopTask(task_id=task_id))

    async def background_tasks(self, tool_use_id: str | None = None) -> bool:
        """Send one tool call, or all that run in the foreground, to the background; False when there was none."""
        reply = await self.control(BackgroundTasks(tool_use_id=tool_use_id))
        return reply.get("backgrounded") is not False

    async def cancel_async_message(self, message_uuid: str) -> bool:
        """Drop a prompt that waits inside the agent; False when it waits there no more."""
        return (await self.control(CancelAsyncMessage(message_uuid=message_uuid))).get("cancelled") is True

    async def rewind_files(self, user_message_id: str, *, dry_run: bool = False) -> RewindFilesResult:
        """Put files back as they were at a prompt; needs `Options(enable_file_checkpointing=True)`.

        Where that cannot be done it raises `AgentProtocolError`; a dry run returns that as its result.
        """
        request = RewindFiles(user_message_id=user_message_id, dry_run=dry_run or None)
        result = await self._answer(request, RewindFilesResult)
        if not (result.can_rewind or dry_run):
            raise AgentProtocolError(f"the files were not rewound: {result.error or 'the agent does not say why'}")
        return result

    async def rewind(
        self,
        user_message_id: str,
        scope: Literal["conversation", "files", "both"] = "both",
        *,
        dry_run: bool = False,
    ) -> RewindResult:
        """Go back to a prompt: with the conversation, the files, or both.

        Where it was rejected it raises `AgentProtocolError`; a dry run returns that as its result. `partial` is no
        error: look at `failed_files`.
        """
        request = Rewind(user_message_id=user_message_id, scope=scope, dry_run=dry_run or None)
        result = await self._answer(request, RewindResult)
        if result.status == "rejected" and not dry_run:
            raise AgentProtocolError(f"nothing was rewound: {result.error or 'the agent does not say why'}")
        return result

    async def get_context_usage(self) -> ContextUsageResponse:
        """How full the model's context window is, and of what."""
        return await self._answer(GetContextUsage(), ContextUsageResponse)

    async def ask_side_question(
        self, question: str, *, history: list[dict[str, Any]] | None = None
    ) -> SideQuestionResult | None:
        """Ask about the conversation without adding to it, also while a turn runs; None: there was no answer.

        Args:
            question: what to ask.
            history: side questions before this one: `{"question": ..., "response": ...}`.
        """
        reply = await self.control(SideQuestion(question=question, history=history or None))
        return read_reply(SideQuestionResult, reply) if isinstance(reply.get("response"), str) else None

    # How it works.

    async def set_plan_mode(self, active: bool) -> PlanModeSnapshot:  # noqa: FBT001 - as the vendor has it
        """Switch plan mode, whatever the permission mode is."""
        return read_reply(PlanModeSnapshot, (await self.control(SetPlanMode(active=active))).get("plan_mode"))

    async def get_plan_mode(self) -> PlanModeSnapshot:
        """Whether plan mode is on."""
        return read_reply(PlanModeSnapshot, (await self.control(GetPlanMode())).get("plan_mode"))

    async def set_goal(
        self, *, objective: str | None = None, status: str | None = None, credits_budget: float | None = None
    ) -> GoalSnapshot | None:
        """Set or change the goal that is worked on; what is None stays as it is."""
        return _goal(await self.control(SetGoal(objective=objective, status=status, credits_budget=credits_budget)))

    async def get_goal(self) -> GoalSnapshot | None:
        """The goal that is worked on; None: there is none."""
        return _goal(await self.control(GetGoal()))

    async def clear_goal(self) -> bool:
        """Work on no goal any more; False when there was none."""
        return (await self.control(ClearGoal())).get("cleared") is True

    async def apply_flag_settings(self, settings: dict[str, Any]) -> None:
        """Change settings of the agent that runs, as `Options.settings` would at its start."""
        await self.control(ApplyFlagSettings(settings=settings))

    async def set_proxy(self, proxy: str | None = None) -> None:
        """Use this network proxy from now on; None: none."""
        await self.control(SetProxy(proxy=proxy))

    async def flush_memory(self) -> None:
        """Have written down what is to be remembered; needs `Options(memory=...)`."""
        await self.control(FlushMemory())

    async def refresh_memory(self) -> None:
        """Have read again what is remembered; needs `Options(memory=...)`."""
        await self.control(RefreshMemory())

    async def flush_skill_evolution(self) -> None:
        """Have the review of skills finished that is due; takes as long as a model needs for it."""
        await self.control(FlushSkillEvolution())

    # What it has.

    async def get_available_models(self) -> list[ModelInfo]:
        """The models to choose from. Agents without this request name them in `get_server_info().models`."""
        return read_replies(ModelInfo, (await self.control(GetModels())).get("models"))

    async def supported_agents(self) -> list[dict[str, Any]]:
        """The sub-agents of the conversation: `{"name", "description", "model"}`."""
        return (await self.get_server_info()).agents

    async def get_usage_info(self) -> UsageInfo:
        """What the account has used, and what is left."""
        return await self._answer(GetUsageInfo(), UsageInfo)

    async def list_byok_providers(self) -> list[dict[str, Any]]:
        """The providers for whose models one's own keys can be used."""
        providers = (await self.control(GetByokConfig())).get("providers")
        return [each for each in providers if isinstance(each, dict)] if isinstance(providers, list) else []

    async def list_plugins(self) -> list[PluginDetails]:
        """The plugins that are loaded."""
        return read_replies(PluginDetails, (await self.control(ListPlugins())).get("plugins"))

    async def reload_plugins(self) -> ReloadPluginsResponse:
        """Have the plugins read again from their folders."""
        return await self._answer(ReloadPlugins(), ReloadPluginsResponse)


def _goal(reply: dict[str, Any]) -> GoalSnapshot | None:
    goal = reply.get("goal")
    return read_reply(GoalSnapshot, goal) if isinstance(goal, dict) else None


def checked_request(request: Request | dict[str, Any]) -> Request:
    """The request to send.

    Raises:
        InvalidOption: it is none, has a method of its own, or holds a value of a wrong type.
    """
    if isinstance(request, dict):
        request = UnknownRequest(body=dict(request))
    if not isinstance(request, Request):
        raise InvalidOption(f"{brief(request)} is no control request; give a typed one, or a dict with a 'subtype'")
    subtype = subtype_of(request)
    if not subtype:
        # Its names only: the values may be tokens.
        names = brief(list(request.body)) if isinstance(request, UnknownRequest) else brief(request)
        raise InvalidOption(f"a control request has a 'subtype', some text, beside {names}")
    if subtype in HAVE_METHODS:
        raise InvalidOption(f"{subtype!r} cannot be sent by control(): {HAVE_METHODS[subtype]}")
    return typed(request)


def typed(request: Request) -> Request:
    """The same request, whose values are of the types that they should be.

    Raises:
        InvalidOption: one is not.
    """
    try:
        encode(ControlRequest(request_id="", request=request))  # type: ignore[arg-type]  # every Request is one of AnyRequest
        msgspec.convert(msgspec.to_builtins(request), type(request))
    except (TypeError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise InvalidOption(f"{subtype_of(request)}: {error}") from None
    return request


def local_and_declared(servers: dict[str, Any], begun_with: Any) -> tuple[dict[str, McpServer], Request]:
    """The servers that live in this program, and the request that tells an agent that runs of all of them.

    Args:
        servers: which are added.
        begun_with: `Options.mcp_servers` of the session. Those of them that live here are told of again, because
            agents take such servers for added ones, and drop what is left out.

    Raises:
        InvalidOption: no dict, or a server that is none.
    """
    if not isinstance(servers, dict):
        raise InvalidOption(f"servers={brief(type(servers))} is no dict of MCP servers by name")
    local, told = (
        local_servers(servers),
        {**_declared(local_servers(begun_with), begun_with), **_declared(servers, servers)},
    )
    # Claude Code fails to start a program of this request whose arguments are left out.
    told = {name: {"args": [], **server} if "command" in server else server for name, server in told.items()}
    return local, typed(McpSetServers(servers=told))


def _declared(names: Collection[str], servers: Any) -> dict[str, Any]:
    told = declared_servers(servers)
    return {name: told[name] for name in names} if isinstance(told, dict) else {}
