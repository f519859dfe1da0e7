"""A dict of conversations, all talked to at the same time; each remembers its own."""

import trio

import triologue as tri

LIKES = {"ada": "engines", "alan": "apples", "grace": "compilers"}


async def ask(client: tri.Client, prompt: str) -> str | None:
    await client.query(prompt)
    return [message async for message in client.receive_response() if isinstance(message, tri.ResultMessage)][-1].result


async def main(agent: tri.Agent | None = None) -> None:
    conversations = {name: tri.Client(agent=agent) for name in LIKES}
    answers: dict[str, str | None] = {}

    async def converse(name: str) -> None:
        async with conversations[name] as client:
            await ask(client, f"Remember: I like {LIKES[name]}")
            answers[name] = await ask(client, "What do I like?")

    async with trio.open_nursery() as nursery:
        for name in conversations:
            nursery.start_soon(converse, name)
    for name in LIKES:
        print(f"{name}: {answers[name]}")


if __name__ == "__main__":
    trio.run(main)
