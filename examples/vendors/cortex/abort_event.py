"""An event in the options that stops a turn: set by anything, known to no client; the conversation stays usable."""

import trio

from triologue.sdk.cortex import CortexCodeAgentOptions, CortexCodeSDKClient, ResultMessage, StreamEvent


async def main(prompt: str = "Count to 100000", words: int = 20) -> None:
    abort = trio.Event()
    options = CortexCodeAgentOptions(abort_event=abort, include_partial_messages=True)
    async with CortexCodeSDKClient(options) as client:
        await client.query(prompt)
        heard = 0
        async for message in client.receive_response():
            if isinstance(message, StreamEvent) and message.event.get("type") == "content_block_delta":
                heard += 1
                if heard == words:
                    abort.set()
            elif isinstance(message, ResultMessage):
                print("aborted:", message.subtype, "after", "some" if heard < 100_000 else "all", "of the words")

        await client.query("Say I am still here")
        async for message in client.receive_response():
            if isinstance(message, ResultMessage):
                print("alive:  ", message.result)


if __name__ == "__main__":
    trio.run(main)
