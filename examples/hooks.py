"""Hooks: one looks at every tool call and stops what it does not like, one is told of every prompt."""

from typing import Any

import trio

import triologue as tri


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def only_small(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
    if max(given["tool_input"].values()) < 100:
        return {}
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "only small numbers",
        }
    }


async def note(given: Any, tool_use_id: str | None, context: tri.HookContext) -> dict[str, Any]:
    print(f"{given['hook_event_name']}: {given['prompt']}")
    return {}


async def main(agent: tri.Agent | None = None, prompt: str = "Call mcp__desk__add(a={}, b=1)") -> None:
    options = tri.Options(
        mcp_servers={"desk": [add]},
        allowed_tools=["mcp__desk__add"],
        hooks={
            "PreToolUse": [tri.HookMatcher("mcp__desk__.*", [only_small], timeout=5)],
            "UserPromptSubmit": [tri.HookMatcher(hooks=[note])],
        },
    )
    async with tri.open_manager(agent, options=options) as manager:
        for number in (1, 100):
            print(f"result: {(await manager.session('sums').ask(prompt.format(number))).result}")


if __name__ == "__main__":
    trio.run(main)
