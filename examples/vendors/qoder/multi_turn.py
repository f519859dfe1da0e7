"""Several turns of one conversation, where the reply decides what is asked next; the client is closed by its block."""

import trio

from triologue.sdk.qoder import (
    AssistantMessage,
    QoderAgentOptions,
    QoderSDKClient,
    ResultMessage,
    TextBlock,
    access_token_from_env,
)


async def ask(client: QoderSDKClient, prompt: str) -> str:
    print("you:  ", prompt)
    await client.query(prompt)
    said = ""
    async for message in client.receive_response():
        if isinstance(message, AssistantMessage):
            said += "".join(block.text for block in message.content if isinstance(block, TextBlock))
        elif isinstance(message, ResultMessage) and message.is_error:
            raise RuntimeError(message.result)
    print("agent:", said)
    return said


async def main() -> None:
    options = QoderAgentOptions(auth=access_token_from_env())
    async with QoderSDKClient(options) as client:
        capital = await ask(client, "Name the capital of Norway in one word.")
        river = await ask(client, f"Which river flows through {capital.rstrip('.')}?")
        await ask(client, "Is it a long one?" if "Akerselva" in river else "Are you sure?")
        await ask(client, "What was all that I asked?")


if __name__ == "__main__":
    trio.run(main)
