"""`max_turns`: a prompt that takes more round trips with the model ends with an `error_max_turns` result.

Error results are messages like any other: nothing is raised, and the conversation goes on.
"""

import trio

import triologue as tri


def look(direction: str) -> str:
    """Look somewhere."""
    return f"nothing to be seen in the {direction}"


async def main(agent: tri.Agent | None = None, prompt: str = 'Call look(direction="north") 5 times') -> None:
    async with tri.Client(tri.Options(max_turns=2), agent or tri.Embedded(tools=[look])) as client:
        for each in (prompt, "Say enough"):
            await client.query(each)
            async for message in client.receive_response():
                if isinstance(message, tri.ResultMessage):
                    print(message.subtype, message.is_error, message.errors or message.result)


if __name__ == "__main__":
    trio.run(main)
