"""Python functions as tools of any agent: an MCP server that lives in this process."""

from typing import Any

import trio

import triologue as tri

PROMPT = 'Call mcp__desk__add(a=1, b=2) and call mcp__desk__greet(name="Ada") and call mcp__desk__divide(a=1, b=4)'


@tri.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tri.tool("greet", "Greet a user", {"name": str})
async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"Hi {arguments['name']}"}]}


@tri.tool(annotations={"readOnlyHint": True})
async def divide(a: float, b: float) -> float:
    """Divide a number by another."""
    return a / b


async def main(agent: tri.Agent | None = None, prompt: str = PROMPT) -> None:
    names = ["add", "greet", "divide"]
    options = tri.Options(
        mcp_servers={"desk": tri.create_sdk_mcp_server("desk", tools=[add, greet, divide])},
        allowed_tools=[f"mcp__desk__{name}" for name in names],
    )
    async for message in tri.query(prompt, options=options, agent=agent):
        if isinstance(message, tri.AssistantMessage | tri.UserMessage):
            for block in message.content:
                match block:
                    case tri.ToolUseBlock():
                        print(f"{block.name} {block.input}")
                    case tri.ToolResultBlock():
                        print(f"-> {block.content}")
                    case _:
                        print(tri.text(block))


if __name__ == "__main__":
    trio.run(main)
