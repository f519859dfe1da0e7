"""Branches of a conversation: copied as a whole, up to a message, or together with the next prompt."""

import trio

from triologue.sdk.cortex import (
    AssistantMessage,
    CortexCodeAgentOptions,
    CortexCodeSDKClient,
    ResultMessage,
    fork_session,
    query,
)


async def ask(prompt: str, options: CortexCodeAgentOptions) -> tuple[str, str | None]:
    """The conversation's id, and the reply."""
    results = [m async for m in query(prompt=prompt, options=options) if isinstance(m, ResultMessage)]
    return results[-1].session_id, results[-1].result


async def tell(*facts: str) -> tuple[str, str | None]:
    """A new conversation: its id, and the uuid of its first reply, which the vendor's SDK does not tell."""
    original, replies = "", []
    async with CortexCodeSDKClient() as client:
        for fact in facts:
            await client.query(fact)
            async for message in client.receive_response():
                if isinstance(message, AssistantMessage):
                    replies.append(message.uuid)
                elif isinstance(message, ResultMessage):
                    original = message.session_id
    return original, replies[0]


async def main() -> None:
    original, first_reply = await tell("Remember: the table is called ORDERS", "Remember: the key is called ID")
    whole = await fork_session(original)
    early = await fork_session(original, up_to_message_id=first_reply)
    print("three ids: ", len({original, whole, early}) == 3)
    forked, _ = await ask("Remember: it is late", CortexCodeAgentOptions(resume=original, fork_session=True))
    print("in passing:", forked not in (original, whole, early))

    for name, session_id in {"whole": whole, "early": early, "original": original}.items():
        _, told = await ask("What did I tell you?", CortexCodeAgentOptions(resume=session_id))
        print(f"{name}:", told)


if __name__ == "__main__":
    trio.run(main)
