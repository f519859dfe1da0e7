"""What a conversation costs: each result tells the total so far, the tokens of its turn, and the share of each model."""

import trio

from triologue.sdk.claude import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage

ENOUGH = 3
"""Turns; a budget in dollars is `ClaudeAgentOptions(max_budget_usd=...)`."""


async def main() -> None:
    before = 0.0
    async with ClaudeSDKClient(ClaudeAgentOptions(max_budget_usd=1.0)) as client:
        for number in range(1, ENOUGH + 1):
            await client.query(f"Say this is turn {number}")
            async for message in client.receive_response():
                if isinstance(message, ResultMessage):
                    total = message.total_cost_usd or 0.0
                    tokens = (message.usage or {}).get("output_tokens", 0)
                    print(f"turn {number}: ${total - before:.6f} of ${total:.6f}, {tokens} tokens said")
                    before = total
                    shares = [model["costUSD"] for model in (message.model_usage or {}).values()]
                    print("    the models' shares are the total:", abs(sum(shares) - total) < 1e-9)


if __name__ == "__main__":
    trio.run(main)
