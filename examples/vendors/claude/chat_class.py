"""A chat as a class over a client: connected by hand, counting its turns, and able to begin a new conversation."""

import trio

from triologue.sdk.claude import AssistantMessage, ClaudeAgentOptions, ClaudeSDKClient, TextBlock


class Chat:
    """One conversation at a time."""

    def __init__(self, options: ClaudeAgentOptions | None = None) -> None:
        self.client = ClaudeSDKClient(options)
        self.turns = 0

    async def open(self) -> None:
        """Start Claude Code."""
        await self.client.connect()
        self.turns = 0

    async def say(self, prompt: str) -> str:
        """Send a prompt; return the reply."""
        await self.client.query(prompt)
        self.turns += 1
        reply: list[str] = []
        async for message in self.client.receive_response():
            if isinstance(message, AssistantMessage):
                reply += [block.text for block in message.content if isinstance(block, TextBlock)]
        return "".join(reply)

    async def start_over(self) -> None:
        """Forget everything: the same client, another conversation."""
        await self.close()
        await self.open()

    async def close(self) -> None:
        """Let it go."""
        await self.client.disconnect()


async def main() -> None:
    chat = Chat(ClaudeAgentOptions(system_prompt="You are a patient assistant."))
    await chat.open()
    try:
        for prompt in ("Remember: my name is Ada", "What is my name?"):
            print(f"[{chat.turns + 1}] {await chat.say(prompt)}")
        await chat.start_over()
        print(f"[{chat.turns + 1}] {await chat.say('What is my name?')}")
    finally:
        await chat.close()


if __name__ == "__main__":
    trio.run(main)
