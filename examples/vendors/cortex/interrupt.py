"""Stop a turn that runs, read it to its result, and go on in the same conversation."""

import trio

from triologue.sdk.cortex import (
    CortexCodeAgentOptions,
    CortexCodeSDKClient,
    ResultMessage,
    StreamEvent,
)


async def main(prompt: str = "Count to 100000") -> None:
    options = CortexCodeAgentOptions(include_partial_messages=True)
    async with CortexCodeSDKClient(options) as client:
        await client.query(prompt)
        has_begun = trio.Event()

        async def stop_it() -> None:  # a button, say: something else than the task that reads
            await has_begun.wait()
            await client.interrupt()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_it)
            async for message in client.receive_response():
                if isinstance(message, StreamEvent) and message.event.get("type") == "content_block_delta":
                    has_begun.set()
                elif isinstance(message, ResultMessage):
                    print("interrupted:", message.subtype)

        await client.query("Say that was enough")
        async for message in client.receive_response():
            if isinstance(message, ResultMessage):
                print("afterwards: ", message.subtype, "-", message.result)


if __name__ == "__main__":
    trio.run(main)
