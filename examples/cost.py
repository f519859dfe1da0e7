"""What it costs: each result tells what this turn cost and what the conversation has cost so far."""

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None) -> None:
    async with tri.Client(agent=agent) as client:
        for prompt in ("Remember: I like Python", "What do I like?", "Say thanks"):
            await client.query(prompt)
            async for message in client.receive_response():
                if isinstance(message, tri.ResultMessage):
                    print(f"{prompt:25} ${message.cost_usd:.6f}   in total ${message.total_cost_usd:.6f}")


if __name__ == "__main__":
    trio.run(main)
