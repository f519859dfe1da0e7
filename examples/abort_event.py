"""An `abort_event`, a `trio.Event` that any part of a program may set: it interrupts, and the session lives on."""

import trio

import triologue as tri


async def main(agent: tri.Agent | None = None, prompt: str = "Count to 100000") -> None:
    stop = trio.Event()
    async with tri.Client(tri.Options(abort_event=stop, include_partial_messages=True), agent) as client:
        await client.query(prompt)
        async for message in client.receive_response():
            if tri.text(message):
                stop.set()  # the Stop button of a UI, a signal handler, a budget watcher ...
            if isinstance(message, tri.ResultMessage):
                print("aborted:", message.subtype)

        await client.query("Say I am still here")
        async for message in client.receive_response():
            if isinstance(message, tri.ResultMessage):
                print("alive:", message.result)


if __name__ == "__main__":
    trio.run(main)
