"""Input without an end: nobody hangs up, so another task does after a while of silence; the loop ends normally."""

from collections.abc import AsyncIterator

import trio

import triologue as tri


async def prompts() -> AsyncIterator[str]:
    yield "Remember: I like tea"
    yield "What do I like?"
    await trio.sleep_forever()  # a line that stays open


async def hang_up(conversation: tri.Query, patience: trio.CancelScope) -> None:
    with patience:
        await trio.sleep_forever()
    await conversation.aclose()


async def main(agent: tri.Agent | None = None, silence: float = 2.0) -> None:
    patience = trio.CancelScope()
    async with trio.open_nursery() as nursery, tri.query(prompts(), agent=agent) as conversation:
        nursery.start_soon(hang_up, conversation, patience)
        async for message in conversation:
            if isinstance(message, tri.ResultMessage):
                print(message.result)
                patience.deadline = trio.current_time() + silence
        print("closed")


if __name__ == "__main__":
    trio.run(main)
