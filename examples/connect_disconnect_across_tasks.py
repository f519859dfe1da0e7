"""`connect()` in one task, `disconnect()` in another: for a client that is a part of something longer-lived."""

import trio

import triologue as tri


async def open_up(client: tri.Client, *, task_status: trio.TaskStatus[None]) -> None:
    await client.connect()
    task_status.started()  # and this task ends; the connection does not


async def talk(client: tri.Client, prompt: str) -> None:
    await client.query(prompt)
    async for message in client.receive_response():
        if isinstance(message, tri.ResultMessage):
            print(message.result)


async def main(agent: tri.Agent | None = None) -> None:
    client = tri.Client(agent=agent)
    async with trio.open_nursery() as nursery:
        await nursery.start(open_up, client)
    await talk(client, "Remember: I like boats")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk, client, "What do I like?")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.disconnect)
    print("connected" if client.is_connected else "disconnected")


if __name__ == "__main__":
    trio.run(main)
