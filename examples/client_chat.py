"""A chat with `Client`: prompt, reply, prompt, reply, in one conversation; the text is shown while it is made."""

import trio

import triologue as tri

PROMPTS = ("Remember: my name is Ada", "What is my name?")


async def main(agent: tri.Agent | None = None) -> None:
    async with tri.Client(tri.Options(include_partial_messages=True), agent) as client:
        for prompt in PROMPTS:
            print(f"> {prompt}")
            await client.query(prompt)
            async for message in client.receive_response():
                if isinstance(message, tri.StreamEvent):
                    print(tri.text(message), end="", flush=True)
            print()


if __name__ == "__main__":
    trio.run(main)
