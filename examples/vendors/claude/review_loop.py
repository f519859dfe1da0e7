"""Two agents in a loop: one writes, the other reviews, and what it says goes back, until it approves."""

import trio

from triologue.sdk.claude import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage

TASK = "Write a haiku about a pond."
REVIEW = "Review this draft: {}"
REVISE = "The review of your draft says: {}"
MOST = 4

WRITER = ClaudeAgentOptions(system_prompt="You write, and answer with the text alone.", tools=[])
REVIEWER = ClaudeAgentOptions(system_prompt="You review. Answer APPROVED, or what is to change.", tools=[])


async def ask(client: ClaudeSDKClient, prompt: str) -> str:
    await client.query(prompt)
    results = [m async for m in client.receive_response() if isinstance(m, ResultMessage)]
    return results[-1].result or ""


async def main(task: str = TASK, review: str = REVIEW, revise: str = REVISE) -> None:
    async with ClaudeSDKClient(WRITER) as writer, ClaudeSDKClient(REVIEWER) as reviewer:
        prompt = task
        for number in range(1, MOST + 1):
            draft = await ask(writer, prompt)
            print(f"draft {number}:  {draft}")
            verdict = await ask(reviewer, review.replace("{}", draft))
            print(f"review {number}: {verdict}")
            if "APPROVED" in verdict:
                break
            prompt = revise.replace("{}", verdict)
        else:
            print("never approved")


if __name__ == "__main__":
    trio.run(main)
