"""Several agents that talk to each other: in a ring, each hears what the one before said, and adds a thing."""

from contextlib import AsyncExitStack
from itertools import cycle

import trio

import triologue as tri

THINGS = ("an apple", "a book", "a cat", "a drum", "an egg")


async def reply_to(client: tri.Client, prompt: str) -> str:
    await client.query(prompt)
    return "".join([tri.text(m) async for m in client.receive_response() if isinstance(m, tri.AssistantMessage)])


async def main(agent: tri.Agent | None = None, prompt: str = "Repeat after me: {}") -> None:
    async with AsyncExitStack() as stack:
        players = {name: await stack.enter_async_context(tri.Client(agent=agent)) for name in ("Ada", "Bob", "Cyd")}
        said = "I pack"
        for (name, client), thing in zip(cycle(players.items()), THINGS, strict=False):
            said = await reply_to(client, prompt.format(f"{said} {thing}"))
            print(f"{name}: {said}")


if __name__ == "__main__":
    trio.run(main)
