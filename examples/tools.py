"""Python functions as tools of the built-in agent, and how tool calls and their results look from outside."""

import trio

import triologue as tri


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def nap(seconds: float) -> str:
    """Rest a little."""
    await trio.sleep(seconds)
    return "rested"


async def main(agent: tri.Agent | None = None, prompt: str = "Call add(a=1, b=2) and call nap(seconds=0.1)") -> None:
    agent = agent or tri.Embedded(tools=[add, nap])
    async for message in tri.query(prompt, agent=agent):
        if not isinstance(message, tri.AssistantMessage | tri.UserMessage):
            continue
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
