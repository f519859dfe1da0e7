"""A conversation of several turns with a client: the text while it is made, then the result of each turn."""

import trio

from triologue.sdk.cortex import CortexCodeAgentOptions, CortexCodeSDKClient, ResultMessage, StreamEvent


async def main() -> None:
    options = CortexCodeAgentOptions(connection="default", include_partial_messages=True)
    async with CortexCodeSDKClient(options) as client:
        for prompt in ("Remember: my table is ORDERS", "What is my table?", "Count to 5"):
            await client.query(prompt)
            print("> ", prompt)
            async for message in client.receive_response():
                if isinstance(message, StreamEvent):
                    print(message.event.get("delta", {}).get("text", ""), end="")
                elif isinstance(message, ResultMessage):
                    print(f"\n({message.subtype})")


if __name__ == "__main__":
    trio.run(main)
