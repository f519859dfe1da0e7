"""The types of the callbacks that `Options` name. They run as tasks of their session."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from msgspec import Struct, field

from triologue.messages import CanUseTool, PermissionResult, PermissionUpdate


class ToolPermissionContext(Struct, kw_only=True):
    """What comes with a permission request beside the tool and its input."""

    request: CanUseTool
    """The request as the agent made it."""
    suggestions: list[PermissionUpdate] = field(default_factory=list)
    """Changes of the rules that would make this question unnecessary; for `updated_permissions`."""
    signal: Any = None
    """None; it is there because the vendors' programs look at it."""

    @property
    def tool_use_id(self) -> str | None:
        """Which tool call it is about."""
        return self.request.tool_use_id

    @property
    def agent_id(self) -> str | None:
        """The sub-agent that asks; None: the conversation itself."""
        return self.request.agent_id

    @property
    def blocked_path(self) -> str | None:
        """The path that made the agent ask."""
        return self.request.blocked_path

    @property
    def decision_reason(self) -> Any:
        """Why it asks."""
        return self.request.decision_reason

    @property
    def decision_reason_type(self) -> str | None:
        """What kind of reason that is (Qoder)."""
        return self.request.decision_reason_type

    @property
    def classifier_approvable(self) -> bool | None:
        """Whether the agent's own classifier could allow it (Qoder)."""
        return self.request.classifier_approvable

    @property
    def exit_plan_mode(self) -> "ExitPlanModeApprovalDetails | None":
        """The plan that is asked about, where the tool is `ExitPlanMode` (Qoder). None in what the agent left out."""
        if self.request.tool_name != "ExitPlanMode":
            return None
        details = self.request.details if isinstance(self.request.details, dict) else {}
        return ExitPlanModeApprovalDetails(
            plan_path=details.get("planPath") or self.request.plan_path,
            plan_content=details.get("planContent") or self.request.plan_content,
        )

    @property
    def title(self) -> str | None:
        """The question in the agent's words."""
        return self.request.title

    @property
    def display_name(self) -> str | None:
        """The tool's name for people."""
        return self.request.display_name

    @property
    def description(self) -> str | None:
        """What the call does."""
        return self.request.description


class ExitPlanModeApprovalDetails(Struct):
    """A plan that wants to be approved."""

    plan_path: str | None = None
    plan_content: str | None = None


class HookContext(Struct, kw_only=True):
    """What comes with a hook beside its input."""

    signal: Any = None
    """None; it is there because the vendors' programs look at it."""

    def __getitem__(self, name: str) -> Any:
        """`context["signal"]`, as the vendors type it."""
        if name != "signal":
            raise KeyError(name)
        return self.signal

    def get(self, name: str, otherwise: Any = None) -> Any:
        """As of a dict."""
        return self.signal if name == "signal" else otherwise


CanUseToolCallback: TypeAlias = Callable[
    [str, dict[str, Any], ToolPermissionContext], Awaitable[PermissionResult] | PermissionResult
]
"""`can_use_tool(tool_name, input, context)`: an `async def`, or a plain one, which runs in a worker thread."""

HookCallback: TypeAlias = Callable[[Any, str | None, HookContext], Awaitable[dict[str, Any]] | dict[str, Any]]
"""`hook(input, tool_use_id, context)`, async or not; gives the hook's output, `{}` for none. `async_` and `continue_` stand for
the two keys that Python has as keywords."""

OnElicitation: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None] | dict[str, Any] | None]
"""Takes the request's fields; gives `{"action": "accept" | "decline" | "cancel", "content": ...}`; None cancels."""

OnMcpOauthRequired: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None] | dict[str, Any] | None]
"""Takes `server_name`, `auth_url` ...; gives `{"token": ...}`, `{"callbackUrl": ...}` or `{"code": ...}`; None fails it."""

OnMcpStatusChange: TypeAlias = Callable[[Any], Any]
"""Takes each `McpStatusChange`."""

ResolveModel: TypeAlias = Callable[[dict[str, Any]], Any]
"""Takes `purpose`, `turnIndex` ...; gives a model's name, a dict of `model`, `custom_model` and `parameters`, or None."""


class HookMatcher(Struct):
    """Callbacks of one event for the tools that `matcher` names."""

    matcher: str | None = None
    """A tool's name or a pattern, as the agent reads it; None: every one."""
    hooks: list[HookCallback] = field(default_factory=list)
    timeout: float | None = None
    """Seconds that the agent waits for the callbacks; None: its default."""
    on_failure: str | None = None
    """`block`: a callback that fails stops the tool (Claude Code and the built-in agent; Qoder and Cortex Code refuse it).
    None: it decides nothing, so that a tool runs whose `PreToolUse` callback raised."""
