"""A conversation for each user, by name, all held open and talked to at the same time; none hears of another."""

import trio

from triologue.sdk.claude import ClaudeSDKClient, ResultMessage

FACTS = {"ada": "my project is in Rust", "alan": "my project is in Lisp", "grace": "my project is in Cobol"}


async def ask(client: ClaudeSDKClient, prompt: str) -> ResultMessage:
    await client.query(prompt)
    results = [m async for m in client.receive_response() if isinstance(m, ResultMessage)]
    return results[-1]


async def main() -> None:
    clients = {name: ClaudeSDKClient() for name in FACTS}
    answers: dict[str, ResultMessage] = {}

    async def tell(name: str) -> None:
        await clients[name].connect()
        await ask(clients[name], f"Remember: {FACTS[name]}")

    async def question(name: str) -> None:
        answers[name] = await ask(clients[name], "What is my project in?")

    try:
        for step in (tell, question):
            async with trio.open_nursery() as nursery:
                for name in clients:
                    nursery.start_soon(step, name)
    finally:
        for client in clients.values():
            await client.disconnect()
    for name in FACTS:
        print(f"{name}: {answers[name].result}")
    print("conversations:", len({answer.session_id for answer in answers.values()}))


if __name__ == "__main__":
    trio.run(main)
