"""A chat that holds no connection: it keeps its session id in its mutable `Options`, and resumes with each prompt."""

import trio

import triologue as tri


class Chat:
    """Costs nothing while nobody talks."""

    def __init__(self, agent: tri.Agent | None) -> None:
        self.agent = agent
        self.options = tri.Options()

    async def say(self, prompt: str) -> str:
        """Send a prompt; return the reply."""
        async with tri.query(prompt, options=self.options, agent=self.agent) as answer:
            reply = "".join([tri.text(m) async for m in answer if isinstance(m, tri.AssistantMessage)])
        self.options.resume = answer.session_id  # options are copied at use, so they may be changed at any time
        return reply


async def main(agent: tri.Agent | None = None) -> None:
    chat = Chat(agent)
    print(await chat.say("Remember: I like Python"))
    print(await chat.say("What do I like?"))


if __name__ == "__main__":
    trio.run(main)
