"""One question, one answer: `query()` is an async iterable of everything that the agent says."""

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None) -> None:
    async for message in tri.query("Remember: I like Python", agent=agent):
        if isinstance(message, tri.AssistantMessage):
            print(tri.text(message))
        elif isinstance(message, tri.ResultMessage):
            print("error" if message.is_error else "answered", "in", message.num_turns, "round trip with the model")


if __name__ == "__main__":
    trio.run(main)
