"""Interrupt a reply in the middle, and go on in the same conversation."""

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None, prompt: str = "Count to 100000") -> None:
    async with tri.Client(tri.Options(include_partial_messages=True), agent) as client:
        await client.query(prompt)
        has_begun = False
        async for message in client.receive_response():
            if tri.text(message) and not has_begun:  # the first words are enough
                has_begun = True
                print("interrupt:", await client.interrupt())
            if isinstance(message, tri.ResultMessage):
                print("result:", message.subtype)

        await client.query("Say that was enough")
        async for message in client.receive_response():
            if isinstance(message, tri.ResultMessage):
                print("result:", message.subtype, "-", message.result)


if __name__ == "__main__":
    trio.run(main)
