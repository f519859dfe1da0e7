"""Input as a stream: the prompts of one conversation come from an async iterable, which may take its time."""

from collections.abc import AsyncIterator

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None, pause: float = 0.5) -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "Remember: I like trio"
        await trio.sleep(pause)  # somebody is typing
        yield "What do I like?"

    # It ends after the result of the last prompt, and leaving the block has let everything go.
    async with tri.query(prompts(), agent=agent) as answers:
        async for message in answers:
            if isinstance(message, tri.ResultMessage):
                print(message.result)


if __name__ == "__main__":
    trio.run(main)
