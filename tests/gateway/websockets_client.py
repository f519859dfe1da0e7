"""A client of the gateway that has nothing of triologue: the `websockets` library, on asyncio.

    python websockets_client.py <url> <key> <leaves>

It hands in two prompts, answers what it is asked, and leaves so many times in the middle, to come back at its position.
What it has seen it prints as JSON. `node_client.mjs` tells the same story.
"""

import asyncio
import itertools
import json
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROMPTS = {"t1": "story", "t2": "touch"}
FRAMES_BEFORE_LEAVING = 2


class Client:
    def __init__(self, url: str, key: str, leaves: int) -> None:
        self._url, self._key, self._leaves = url, key, leaves
        self._numbers = itertools.count(1)
        self._position = 0
        self._unsent = dict(PROMPTS)
        self._open: set[str] = set()
        self._running = set(PROMPTS)
        self.seen: list[list[Any]] = []
        self.told: dict[str, Any] = {"events": self.seen, "partials": 0, "connections": 0, "failed": []}

    async def run(self) -> None:
        while self._running:
            protocols: Any = ["triologue.v1"]
            async with connect(self._url, subprotocols=protocols, proxy=None) as socket:
                self.told["connections"] += 1
                await socket.send(json.dumps({"type": "hello", "client": "websockets"}))
                await self._ask(socket, type="attach", key=self._key, after=self._position)
                for turn, prompt in self._unsent.items():
                    await self._ask(socket, type="prompt", key=self._key, prompt=prompt, turn=turn)
                await self._read(socket)

    async def _ask(self, socket: ClientConnection, **request: Any) -> None:
        await socket.send(json.dumps({"id": next(self._numbers), **request}))

    async def _read(self, socket: ClientConnection) -> None:
        frames = 0
        async for text in socket:
            frame = json.loads(text)
            match frame["type"]:
                case "events":
                    frames += 1
                    for event in frame["events"]:
                        self._take(**event)
                    for id in self._open:
                        await self._ask(socket, type="answer", permission=id, allow=True)
                    self._open.clear()
                case "accepted":
                    self._unsent.pop(frame["turn"], None)
                case "failed":
                    self.told["failed"].append(frame["code"])
                case _:
                    pass
            is_leaving = self._leaves > 0 and frames >= FRAMES_BEFORE_LEAVING and not self._unsent
            self._leaves -= is_leaving
            if is_leaving or not self._running:
                return

    def _take(self, seq: int | None, turn: str | None, kind: str, message: dict[str, Any], **_: Any) -> None:
        if kind == "stream_event":
            self.told["partials"] += 1
            return
        self.seen.append([seq, turn, kind, message])
        self._position = seq or message["last"]
        match kind:
            case "#permission_asked":
                self._open.add(message["id"])
            case "#turn_ended":
                self._running.discard(turn or "")
            case _:
                pass


async def main(url: str, key: str, leaves: str) -> None:
    client = Client(url, key, int(leaves))
    await client.run()
    print(json.dumps(client.told))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
