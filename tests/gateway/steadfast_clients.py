"""Many clients that do not give up, made with the `websockets` library: each talks in a session of its own.

    python steadfast_clients.py <url> <clients> <turns>

Whenever a connection breaks, a client comes back at its position, and sends the prompt again that nobody has
acknowledged. When all turns have an outcome, what each has seen is printed as JSON, by key.
"""

import asyncio
import json
import random
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

PROMPT = "say " + "word " * 30


class Client:
    def __init__(self, url: str, key: str, turns: int) -> None:
        self._url, self.key = url, key
        self._prompts = [f"{key}.{number}" for number in range(turns)]
        self._is_accepted = False
        self._position = 0
        self.seen: list[list[Any]] = []
        self.connections = 0

    async def run(self) -> None:
        while self._prompts:
            try:
                protocols: Any = ["triologue.v1"]
                async with connect(self._url, subprotocols=protocols, proxy=None, open_timeout=60) as socket:
                    self.connections += 1
                    await self._talk(socket)
            except (OSError, ConnectionClosed, InvalidHandshake, EOFError):
                await asyncio.sleep(random.uniform(0.02, 0.2))

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"type": "hello", "client": "steadfast"}))
        await socket.send(json.dumps({"type": "attach", "id": 1, "key": self.key, "after": self._position}))
        if not self._is_accepted:
            await self._prompt(socket)
        async for text in socket:
            frame = json.loads(text)
            match frame["type"]:
                case "events":
                    for event in frame["events"]:
                        await self._take(socket, **event)
                    if not self._prompts:
                        return
                case "accepted":
                    self._is_accepted = True
                case "failed":
                    raise AssertionError(frame)
                case _:
                    pass

    async def _prompt(self, socket: ClientConnection) -> None:
        self._is_accepted = False
        said = {"type": "prompt", "id": 2, "key": self.key, "turn": self._prompts[0], "prompt": PROMPT}
        await socket.send(json.dumps(said))

    async def _take(self, socket: ClientConnection, seq: int | None, turn: str, kind: str, **rest: Any) -> None:
        if kind == "stream_event":
            return
        self.seen.append([seq, turn, kind, rest["message"]])
        self._position = seq or rest["message"]["last"]
        if kind == "#turn_ended" and turn == self._prompts[0]:
            del self._prompts[0]
            if self._prompts:
                await self._prompt(socket)


async def main(url: str, number: str, turns: str) -> None:
    clients = [Client(url, f"raw:{number}", int(turns)) for number in range(int(number))]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run())
    told = {client.key: {"seen": client.seen, "connections": client.connections} for client in clients}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
