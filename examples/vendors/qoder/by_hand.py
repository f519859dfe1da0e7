"""A client that no block closes: connected with its first prompt, handed on, and disconnected in the end."""

import trio

from triologue.sdk.qoder import QoderAgentOptions, QoderSDKClient, ResultMessage, access_token_from_env


async def next_result(client: QoderSDKClient) -> str | None:
    results = [m async for m in client.receive_response() if isinstance(m, ResultMessage)]
    return results[-1].result


async def main() -> None:
    client = QoderSDKClient(QoderAgentOptions(auth=access_token_from_env()))
    await client.connect("Remember: I like Python")
    try:
        print(await next_result(client))
        await client.query("What do I like?", priority="next")
        print(await next_result(client))
        await client.set_model("performance")
        await client.query("Which model are you?")
        print(await next_result(client))
    finally:
        await client.disconnect()

    await client.connect()  # the same object, another conversation
    try:
        await client.query("What do I like?")
        print(await next_result(client))
    finally:
        await client.disconnect()


if __name__ == "__main__":
    trio.run(main)
