"""One conversation, two turns, on the built-in agent: no key, no network."""

import trio

import triologue as tri


async def main() -> None:
    async with tri.open_manager(tri.Embedded()) as manager:  # or tri.ClaudeCode()
        session = manager.session("slack:C1:170000")  # any key of yours; costs nothing
        await session.ask("Remember: I like Python")
        async with session.turn("What do I like?") as turn:
            async for message in turn:
                if isinstance(message, tri.AssistantMessage):
                    print(tri.text(message))


if __name__ == "__main__":
    trio.run(main)
