"""Where a conversation's id is told, how to choose it, and how to list and read what is kept under it."""

from uuid import uuid4

import trio

from triologue.sdk.claude import (
    AssistantMessage,
    ClaudeAgentOptions,
    ResultMessage,
    SystemMessage,
    get_session_messages,
    list_sessions,
    query,
)


async def ask(prompt: str, options: ClaudeAgentOptions) -> tuple[str | None, str | None]:
    """The conversation's id as the first message told it, and as the last one did."""
    begun = ended = None
    async for message in query(prompt=prompt, options=options):
        if isinstance(message, SystemMessage) and message.subtype == "init":
            begun = message.data["session_id"]
        elif isinstance(message, AssistantMessage):
            print("   ", "".join(getattr(block, "text", "") for block in message.content))
        elif isinstance(message, ResultMessage):
            ended = message.session_id
    return begun, ended


async def main() -> None:
    print("an id of the agent's own:")
    begun, ended = await ask("Remember: I like Python", ClaudeAgentOptions())
    print("    told twice:", begun is not None and begun == ended)

    print("an id that we choose:")
    chosen = str(uuid4())
    begun, ended = await ask("Remember: I like tea", ClaudeAgentOptions(session_id=chosen))
    print("    taken:", (begun, ended) == (chosen, chosen))

    print("resumed by its id:")
    begun, ended = await ask("What do I like?", ClaudeAgentOptions(resume=chosen))
    print("    the same:", (begun, ended) == (chosen, chosen))

    print("kept:")
    for session in sorted(list_sessions(), key=lambda session: session.first_prompt or ""):
        kinds = [message.type for message in get_session_messages(session.session_id)]
        print(f"    {session.first_prompt}: {', '.join(kinds)}")


if __name__ == "__main__":
    trio.run(main)
