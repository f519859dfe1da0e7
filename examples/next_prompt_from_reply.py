"""The previous reply decides the next prompt: a walk down the Collatz sequence, with the agent as the memory."""

import trio

import triologue as tri


async def reply_to(client: tri.Client, prompt: str) -> str:
    await client.query(prompt)
    return "".join([tri.text(m) async for m in client.receive_response() if isinstance(m, tri.AssistantMessage)])


async def main(agent: tri.Agent | None = None, prompt: str = "Say {}") -> None:
    async with tri.Client(agent=agent) as client:
        number = 6
        while number != 1:
            number = int(await reply_to(client, prompt.format(number)))
            print(number)
            number = 3 * number + 1 if number % 2 else number // 2
    print("done")


if __name__ == "__main__":
    trio.run(main)
