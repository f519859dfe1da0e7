"""Every method of `Controls`, called once, and the request that it makes."""

from collections.abc import Awaitable, Callable
from typing import Any, final

from triologue.manager import Controls
from triologue.messages import (
    ApplyFlagSettings,
    BackgroundTasks,
    CancelAsyncMessage,
    ClearGoal,
    FlushMemory,
    FlushSkillEvolution,
    GetByokConfig,
    GetContextUsage,
    GetGoal,
    GetModels,
    GetPlanMode,
    GetUsageInfo,
    ListPlugins,
    McpAuthenticate,
    McpClearAuth,
    McpInjectToken,
    McpOauthCallback,
    McpReconnect,
    McpSetServers,
    McpSetServersResult,
    McpStatus,
    McpToggle,
    RefreshMemory,
    ReloadPlugins,
    Request,
    Rewind,
    RewindFiles,
    ServerInfo,
    SetGoal,
    SetPlanMode,
    SetProxy,
    SideQuestion,
    StopTask,
)


@final
class Recorder(Controls):
    """Remembers what was asked, and answers what it was told to."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.asked: list[Request | dict[str, Any]] = []
        self.answer = answer or {}

    async def control(self, request: Request | dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        return self.answer

    async def set_mcp_servers(self, servers: dict[str, Any]) -> McpSetServersResult:
        self.asked.append(McpSetServers(servers=servers))
        return McpSetServersResult()

    async def get_server_info(self) -> ServerInfo:
        self.asked.append(McpStatus())
        return ServerInfo()


Call = Callable[[Controls], Awaitable[Any]]
CALLS: dict[str, tuple[Call, Request]] = {
    "get_mcp_status": (lambda c: c.get_mcp_status(), McpStatus()),
    "reconnect_mcp_server": (lambda c: c.reconnect_mcp_server("calc"), McpReconnect(server_name="calc")),
    "toggle_mcp_server": (
        lambda c: c.toggle_mcp_server("calc", False),
        McpToggle(server_name="calc", enabled=False),
    ),
    "set_mcp_servers": (lambda c: c.set_mcp_servers({}), McpSetServers(servers={})),
    "mcp_authenticate": (
        lambda c: c.mcp_authenticate("calc", redirect_uri="http://h"),
        McpAuthenticate(server_name="calc", redirect_uri="http://h"),
    ),
    "mcp_submit_oauth_callback_url": (
        lambda c: c.mcp_submit_oauth_callback_url("calc", "http://h?code=1"),
        McpOauthCallback(server_name="calc", callback_url="http://h?code=1"),
    ),
    "inject_mcp_token": (
        lambda c: c.inject_mcp_token("calc", {"accessToken": "t"}),
        McpInjectToken(server_name="calc", token={"accessToken": "t"}),
    ),
    "mcp_clear_auth": (lambda c: c.mcp_clear_auth("calc"), McpClearAuth(server_name="calc")),
    "stop_task": (lambda c: c.stop_task("t1"), StopTask(task_id="t1")),
    "background_tasks": (lambda c: c.background_tasks("toolu_1"), BackgroundTasks(tool_use_id="toolu_1")),
    "cancel_async_message": (lambda c: c.cancel_async_message("u1"), CancelAsyncMessage(message_uuid="u1")),
    "rewind_files": (lambda c: c.rewind_files("u1"), RewindFiles(user_message_id="u1")),
    "rewind": (
        lambda c: c.rewind("u1", "files", dry_run=True),
        Rewind(user_message_id="u1", scope="files", dry_run=True),
    ),
    "get_context_usage": (lambda c: c.get_context_usage(), GetContextUsage()),
    "ask_side_question": (
        lambda c: c.ask_side_question("why?", history=[{"question": "a", "response": "b"}]),
        SideQuestion(question="why?", history=[{"question": "a", "response": "b"}]),
    ),
    "set_plan_mode": (lambda c: c.set_plan_mode(True), SetPlanMode(active=True)),
    "get_plan_mode": (lambda c: c.get_plan_mode(), GetPlanMode()),
    "set_goal": (
        lambda c: c.set_goal(objective="o", status="active", credits_budget=2.5),
        SetGoal(objective="o", status="active", credits_budget=2.5),
    ),
    "get_goal": (lambda c: c.get_goal(), GetGoal()),
    "clear_goal": (lambda c: c.clear_goal(), ClearGoal()),
    "apply_flag_settings": (
        lambda c: c.apply_flag_settings({"model": "m"}),
        ApplyFlagSettings(settings={"model": "m"}),
    ),
    "set_proxy": (lambda c: c.set_proxy("http://p"), SetProxy(proxy="http://p")),
    "flush_memory": (lambda c: c.flush_memory(), FlushMemory()),
    "refresh_memory": (lambda c: c.refresh_memory(), RefreshMemory()),
    "flush_skill_evolution": (lambda c: c.flush_skill_evolution(), FlushSkillEvolution()),
    "get_available_models": (lambda c: c.get_available_models(), GetModels()),
    "get_usage_info": (lambda c: c.get_usage_info(), GetUsageInfo()),
    "list_byok_providers": (lambda c: c.list_byok_providers(), GetByokConfig()),
    "list_plugins": (lambda c: c.list_plugins(), ListPlugins()),
    "reload_plugins": (lambda c: c.reload_plugins(), ReloadPlugins()),
}

FROM_THE_HANDSHAKE = ("get_server_info", "supported_agents")
"""Methods that ask nothing of an agent that runs."""
