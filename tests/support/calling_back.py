"""An agent that calls back: by a tool in this program, a hook, or a question whether it may use one of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, final

import triologue as tri
from triologue.messages import HookCallback
from triologue.testing import AgentTurn, CallHost, Step, UseTool

PLACES = ("tool", "hook", "permission")


@final
class CallingBack:
    """The callbacks of a session's options, one of each kind, and the steps of a script by which an agent reaches them.

    Args:
        called: what they do, with the number that the step has.
    """

    def __init__(self, called: Callable[[int], Awaitable[None]]) -> None:
        self._called = called
        self.options = tri.Options(
            mcp_servers={"host": [self.act]},
            can_use_tool=self._permit,
            hooks={"PreToolUse": [tri.HookMatcher(hooks=[self._hook])]},
        )

    def step(self, where: str, number: int = 0) -> Step:
        """The step that calls back in one of the `PLACES`."""

        async def call_hook(turn: AgentTurn) -> None:
            await turn.ask(HookCallback(callback_id="hook_0", input={"number": number}))

        match where:
            case "tool":
                return CallHost("host", "act", {"number": number})
            case "permission":
                return UseTool("Bash", {"number": number}, asks=True)
            case _:
                return call_hook

    async def act(self, number: int) -> str:
        """Do it."""
        await self._called(number)
        return "done"

    async def _permit(self, _: str, tool_input: dict[str, Any], __: Any) -> tri.PermissionResult:
        if "number" in tool_input:
            await self._called(tool_input["number"])
        return tri.PermissionResultAllow()

    async def _hook(self, hook_input: Any, _: str | None, __: Any) -> dict[str, Any]:
        await self._called(hook_input["number"])
        return {}
