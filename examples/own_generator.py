"""A plain `async for` inside an async generator of your own, left by `break`.

Nothing has to be closed by hand: the query holds no cancel scope in your generator, is let go soon after it was
abandoned, and in any case before `trio.run` returns. Abandoning it is still a leak for a moment, so Python's
`ResourceWarning` tells of it (`python -X dev`); `async with tri.query(...)` has none.
"""

from collections.abc import AsyncIterator

import trio

import triologue as tri


async def paragraphs(prompt: str, agent: tri.Agent | None) -> AsyncIterator[str]:
    async for message in tri.query(prompt, agent=agent):
        if isinstance(message, tri.AssistantMessage):
            yield tri.text(message)


async def main(agent: tri.Agent | None = None) -> None:
    async for paragraph in paragraphs("Remember: I like tea", agent):
        print(paragraph)
        break
    async for paragraph in paragraphs("Remember: I like cake", agent):
        print(paragraph)


if __name__ == "__main__":
    trio.run(main)
