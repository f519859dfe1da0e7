"""A program of its own that keeps conversations in a database, to be killed at any moment.

    python host_program.py <database> <agent> <sessions> <round> <deeds>

`agent` is `embedded`, or the path of a Claude Code CLI. Everything that it acknowledges it says, one JSON line each, with
one write: what is in the pipe was acknowledged. Each run of a turn of the built-in agent is noted in the file `deeds`
before it is answered, as something that could not be taken back.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

import triologue as tri
from triologue.messages import TextBlock

LINES = 3
"""Turns that a session takes beside each other."""


def say(**fact: Any) -> None:
    os.write(1, json.dumps(fact).encode() + b"\n")


class Scribe:
    """A model that notes each call, and answers with what it was asked so far."""

    name = "scribe"

    def __init__(self, deeds: Path) -> None:
        self._deeds = os.open(deeds, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def reply(self, request: tri.ModelRequest, emit: Callable[[str], None]) -> tri.ModelReply:
        """Answer at once."""
        asked = [message["content"] for message in request.messages if message["role"] == "user"]
        os.write(self._deeds, f"{asked[-1]}\n".encode())
        await trio.sleep(0.002)
        text = " ".join(map(str, asked))
        return tri.ModelReply(content=[TextBlock(text=text)], stop_reason="end_turn", model=self.name)


async def main(*arguments: str) -> None:
    database, agent, sessions, round, deeds = arguments
    if agent == "embedded":
        who: tri.Agent = tri.Embedded(model=Scribe(Path(deeds)))
        options, limits = tri.Options(), tri.Limits()
    else:
        who, options = tri.ClaudeCode(), tri.Options(cli_path=agent, cwd=str(Path(database).parent))
        limits = tri.Limits(max_live=4, max_starting=2)
    async with tri.open_manager(who, store=database, options=options, limits=limits) as manager:
        for recovered in await manager.recover():
            outcome = recovered.turn.outcome
            say(said="recovered", key=recovered.key, id=recovered.turn.id, kind=outcome.kind if outcome else None)
        say(said="ready")
        async with trio.open_nursery() as nursery:
            for number in range(int(sessions)):
                session = manager.session(f"s{number}")
                nursery.start_soon(listen, session)
                for line in range(LINES):
                    nursery.start_soon(talk, session, f"{round}.{line}")


async def listen(session: tri.Session) -> None:
    """Say each position as far as it was read."""
    async with session.subscribe(after=0) as events:
        async for event in events:
            if event.seq is not None:
                say(said="seen", key=session.key, seq=event.seq, type=type(event.message).__name__, id=event.turn_id)


async def talk(session: tri.Session, line: str) -> None:
    """Turn after turn."""
    number = 0
    while True:
        number += 1
        turn = await session.send(f"{session.key}.{line}.{number}", id=f"{line}.{number}")
        say(said="accepted", key=session.key, id=turn.id)
        outcome = await turn.wait()
        say(said="ended", key=session.key, id=turn.id, kind=outcome.kind)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
